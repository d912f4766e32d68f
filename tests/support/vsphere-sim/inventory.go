package main

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"
)

// inventory says what VMs there are. The simulator's own model takes time quadratic in their number
// (17 s for 1,000), so it makes one, and the rest are put into the registry as copies of that one.
type inventory struct {
	vms, folders int
	on, varied   bool
}

// kinds of controllers a disk can hang on, and the names guests go by; a VM takes the i-th of each.
var (
	controllers = []func(types.VirtualController) types.BaseVirtualDevice{
		func(c types.VirtualController) types.BaseVirtualDevice {
			return &types.ParaVirtualSCSIController{VirtualSCSIController: types.VirtualSCSIController{VirtualController: c, SharedBus: "noSharing"}}
		},
		func(c types.VirtualController) types.BaseVirtualDevice {
			return &types.VirtualLsiLogicController{VirtualSCSIController: types.VirtualSCSIController{VirtualController: c, SharedBus: "noSharing"}}
		},
		func(c types.VirtualController) types.BaseVirtualDevice {
			return &types.VirtualLsiLogicSASController{VirtualSCSIController: types.VirtualSCSIController{VirtualController: c, SharedBus: "noSharing"}}
		},
		func(c types.VirtualController) types.BaseVirtualDevice {
			return &types.VirtualAHCIController{VirtualSATAController: types.VirtualSATAController{VirtualController: c}}
		},
		func(c types.VirtualController) types.BaseVirtualDevice {
			return &types.VirtualNVMEController{VirtualController: c}
		},
		nil, // the VM's IDE controller, which is there anyway
	}
	guests = [][2]string{{"otherGuest", "Other (32-bit)"}, {"windows2019srv_64Guest", "Microsoft Windows Server 2019 (64-bit)"},
		{"rhel9_64Guest", "Red Hat Enterprise Linux 9 (64-bit)"}, {"ubuntu64Guest", "Ubuntu Linux (64-bit)"},
		{"debian12_64Guest", "Debian GNU/Linux 12 (64-bit)"}, {"sles15_64Guest", "SUSE Linux Enterprise 15 (64-bit)"},
		{"windows11_64Guest", "Microsoft Windows 11 (64-bit)"}}
	cards = []func(types.VirtualEthernetCard) types.BaseVirtualDevice{
		func(c types.VirtualEthernetCard) types.BaseVirtualDevice {
			return &types.VirtualVmxnet3{VirtualVmxnet: types.VirtualVmxnet{VirtualEthernetCard: c}}
		},
		func(c types.VirtualEthernetCard) types.BaseVirtualDevice {
			return &types.VirtualE1000{VirtualEthernetCard: c}
		},
		func(c types.VirtualEthernetCard) types.BaseVirtualDevice {
			return &types.VirtualE1000e{VirtualEthernetCard: c}
		},
	}
	// Names that are hard to get right: XML's characters, other scripts, spaces, what the inventory path escapes.
	oddNames = []string{"web & <db>", "büro-αβγ-計算機", "with  spaces ", "slash%2fin%2fname", "percent%25", `quote"'s`}
)

// fill makes the inventory out of the one VM there is.
func (s *server) fill(inv inventory) error {
	first := s.reg.Any("VirtualMachine").(*simulator.VirtualMachine)
	root := s.reg.Get(*first.Parent).(*simulator.Folder)
	folders, err := s.makeFolders(root, inv.folders)
	if err != nil {
		return err
	}
	host := s.reg.Get(*first.Runtime.Host).(*simulator.HostSystem)
	store := s.reg.Get(first.Datastore[0]).(*simulator.Datastore)
	pool, _ := s.reg.Get(*first.ResourcePool).(*simulator.ResourcePool)
	for i := range inv.vms {
		vm := first
		if i > 0 {
			vm = s.copyOf(first, fmt.Sprintf("DC0_C0_RP0_VM%d", i))
		}
		if inv.varied && i%10 == 5 {
			rename(vm, oddNames[i/10%len(oddNames)]+fmt.Sprint("-", i))
		}
		if i > 0 {
			folder := folders[i%len(folders)]
			vm.Parent = &types.ManagedObjectReference{Type: folder.Self.Type, Value: folder.Self.Value}
			s.reg.Put(vm)
			vm.Summary.Vm = &vm.Self
			folder.ChildEntity = append(folder.ChildEntity, vm.Self)
			host.Vm = append(host.Vm, vm.Self)
			store.Vm = append(store.Vm, vm.Self)
			if pool != nil {
				pool.Vm = append(pool.Vm, vm.Self)
			}
		}
		kind := 0
		if inv.varied {
			kind = i
			s.vary(vm, i)
		}
		s.fitDisks(vm, len(s.disks), controllers[kind%len(controllers)])
		if inv.on {
			setPower(vm, types.VirtualMachinePowerStatePoweredOn)
		}
		if inv.varied && i%50 == 3 {
			for n := range i/50%3 + 1 {
				if err := s.takeSnapshot(vm, fmt.Sprintf("before update %d", n)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (s *server) makeFolders(root *simulator.Folder, n int) ([]*simulator.Folder, error) {
	out := []*simulator.Folder{root}
	for i := range n {
		parent := root
		if i%3 != 0 {
			parent = out[len(out)-1]
		}
		res, ok := parent.CreateFolder(s.base, &types.CreateFolder{This: parent.Self, Name: fmt.Sprintf("Team %d", i)}).(*methods.CreateFolderBody)
		if !ok || res.Fault_ != nil {
			return nil, fmt.Errorf("folder %d could not be made", i)
		}
		out = append(out, s.reg.Get(res.Res.Returnval).(*simulator.Folder))
	}
	return out, nil
}

func rename(vm *simulator.VirtualMachine, name string) {
	vm.Name = name
	vm.Config.Name = name
	vm.Summary.Config.Name = name
}

// copyOf makes a VM that shares with the first only what is never written.
func (s *server) copyOf(first *simulator.VirtualMachine, name string) *simulator.VirtualMachine {
	vm := *first
	config, guest, layout, layoutEx, storage := *first.Config, *first.Guest, *first.Layout, *first.LayoutEx, *first.Storage
	guestSummary, storageSummary := *first.Summary.Guest, *first.Summary.Storage
	vm.Config, vm.Guest, vm.Layout, vm.LayoutEx, vm.Storage = &config, &guest, &layout, &layoutEx, &storage
	vm.Summary.Guest, vm.Summary.Storage = &guestSummary, &storageSummary
	vm.Self, vm.Snapshot, vm.RootSnapshot = types.ManagedObjectReference{}, nil, nil
	vm.DataSets = map[string]*simulator.DataSet{}
	host, pool := *first.Runtime.Host, *first.ResourcePool
	vm.Runtime.Host, vm.Summary.Runtime.Host, vm.ResourcePool = &host, &host, &pool
	config.Uuid, config.InstanceUuid = uuid.NewString(), uuid.NewString()
	vm.Summary.Config.Uuid, vm.Summary.Config.InstanceUuid = config.Uuid, config.InstanceUuid
	old := first.Name
	move := func(path string) string { return strings.ReplaceAll(path, old, name) }
	config.Files.VmPathName, config.Files.SnapshotDirectory = move(config.Files.VmPathName), move(config.Files.SnapshotDirectory)
	config.Files.LogDirectory, config.Files.SuspendDirectory = move(config.Files.LogDirectory), move(config.Files.SuspendDirectory)
	vm.Summary.Config.VmPathName = config.Files.VmPathName
	layoutEx.File, layoutEx.Snapshot, layout.Snapshot = append([]types.VirtualMachineFileLayoutExFileInfo(nil), layoutEx.File...), nil, nil
	rename(&vm, name)
	store := s.reg.Get(first.Datastore[0]).(*simulator.Datastore)
	_ = os.MkdirAll(filepath.Join(store.Summary.Url, name), 0700) // its snapshots' files go there
	return &vm
}

// vary makes the i-th VM one of its kind.
func (s *server) vary(vm *simulator.VirtualMachine, i int) {
	c := vm.Config
	c.Hardware.NumCPU, c.Hardware.MemoryMB = int32(1<<(i%5)), int32(512*(1+i%32))
	vm.Summary.Config.NumCpu, vm.Summary.Config.MemorySizeMB = c.Hardware.NumCPU, c.Hardware.MemoryMB
	guest := guests[i%len(guests)]
	c.GuestId, c.GuestFullName = guest[0], guest[1]
	vm.Summary.Config.GuestId, vm.Summary.Config.GuestFullName = guest[0], guest[1]
	if i%2 == 1 {
		c.Firmware = string(types.GuestOsDescriptorFirmwareTypeEfi)
		c.BootOptions = &types.VirtualMachineBootOptions{EfiSecureBootEnabled: types.NewBool(i%4 == 1)}
	}
	switch {
	case i%25 == 24:
		c.Template = true
		vm.Summary.Config.Template = true
	case i%10 == 8:
		setPower(vm, types.VirtualMachinePowerStateSuspended)
	case i%2 == 1:
		setPower(vm, types.VirtualMachinePowerStatePoweredOn)
	}
	list := object.VirtualDeviceList(c.Hardware.Device).Select(func(d types.BaseVirtualDevice) bool {
		_, nic := d.(types.BaseVirtualEthernetCard)
		return !nic
	})
	for n := range i % 4 {
		key := int32(4000 + n)
		card := types.VirtualEthernetCard{AddressType: "assigned", MacAddress: fmt.Sprintf("00:50:56:%02x:%02x:%02x", i>>8&0x3f, i&0xff, n),
			VirtualDevice: types.VirtualDevice{Key: key, ControllerKey: 100, UnitNumber: types.NewInt32(int32(7 + n)),
				DeviceInfo:  &types.Description{Label: fmt.Sprintf("Network adapter %d", n+1), Summary: "VM Network"},
				Connectable: &types.VirtualDeviceConnectInfo{StartConnected: true, Connected: n == 0},
				Backing: &types.VirtualEthernetCardNetworkBackingInfo{
					VirtualDeviceDeviceBackingInfo: types.VirtualDeviceDeviceBackingInfo{DeviceName: "VM Network"}}}}
		list = append(list, cards[n%len(cards)](card))
	}
	c.Hardware.Device = list
}

func setPower(vm *simulator.VirtualMachine, state types.VirtualMachinePowerState) {
	vm.Runtime.PowerState = state
	vm.Summary.Runtime.PowerState = state
	running := state == types.VirtualMachinePowerStatePoweredOn
	vm.Guest.GuestState, vm.Guest.ToolsRunningStatus = "notRunning", "guestToolsNotRunning"
	if running {
		vm.Guest.GuestState, vm.Guest.ToolsRunningStatus = "running", "guestToolsRunning"
	}
}

// fitDisks gives a VM so many of the disks, with their capacities, on a controller of that kind (nil: IDE).
func (s *server) fitDisks(vm *simulator.VirtualMachine, n int, kind func(types.VirtualController) types.BaseVirtualDevice) {
	list := object.VirtualDeviceList(vm.Config.Hardware.Device)
	old := list.SelectByType((*types.VirtualDisk)(nil))
	first := *old[0].(*types.VirtualDisk)
	backing := *first.Backing.(*types.VirtualDiskFlatVer2BackingInfo)
	list = list.Select(func(d types.BaseVirtualDevice) bool {
		_, disk := d.(*types.VirtualDisk)
		return !disk && d.GetVirtualDevice().Key != 1000
	})
	key, units := int32(200), []int32{0, 1} // IDE 0 and, past two disks, IDE 1
	if kind != nil {
		key, units = 1000, []int32{0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15}
		list = append(list, kind(types.VirtualController{VirtualDevice: types.VirtualDevice{Key: key, ControllerKey: 100,
			UnitNumber: types.NewInt32(3), DeviceInfo: &types.Description{Label: "Controller 0", Summary: "Controller 0"}}}))
	}
	dir := strings.TrimSuffix(vm.Config.Files.VmPathName, filepath.Base(vm.Config.Files.VmPathName))
	for i := range min(n, len(s.disks)) {
		d, v, b := s.disks[i], first, backing
		v.Key, v.ControllerKey, v.UnitNumber = 2000+int32(i), key+int32(i/len(units)), types.NewInt32(units[i%len(units)])
		v.CapacityInKB, v.CapacityInBytes = d.Capacity/1024, d.Capacity
		v.DeviceInfo = &types.Description{Label: fmt.Sprintf("Hard disk %d", i+1), Summary: fmt.Sprintf("%d KB", d.Capacity/1024)}
		b.FileName = fmt.Sprintf("%sdisk%d.vmdk", dir, i+1)
		v.Backing = &b
		list = append(list, &v)
	}
	vm.Config.Hardware.Device = list
	vm.Summary.Config.NumVirtualDisks = int32(min(n, len(s.disks)))
}

// takeSnapshot makes one without a client and waits for it.
func (s *server) takeSnapshot(vm *simulator.VirtualMachine, name string) error {
	res, ok := vm.CreateSnapshotTask(s.base, &types.CreateSnapshot_Task{This: vm.Self, Name: name}).(*methods.CreateSnapshot_TaskBody)
	if !ok || res.Fault_ != nil {
		return fmt.Errorf("no snapshot of %s", vm.Name)
	}
	task := s.reg.Get(res.Res.Returnval).(*simulator.Task)
	task.Wait()
	if task.Info.Error != nil {
		return fmt.Errorf("no snapshot of %s: %s", vm.Name, reflect.TypeOf(task.Info.Error.Fault))
	}
	return nil
}

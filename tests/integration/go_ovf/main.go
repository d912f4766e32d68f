// Reads an OVF descriptor with govmomi, the library of VMware's own govc, strictly, and prints what it understood as JSON: how
// test_ovf.py sees a descriptor with eyes that are not ours.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/ovf"
	"github.com/vmware/govmomi/vim25/types"
)

type device struct {
	Kind       string `json:"kind"`
	Controller string `json:"controller,omitempty"` // of a disk or drive: kind of what it hangs on
	Bus        *int32 `json:"bus,omitempty"`
	Unit       *int32 `json:"unit,omitempty"`
	Bytes      int64  `json:"bytes,omitempty"`
}

type report struct {
	Name     string            `json:"name"`
	Guest    string            `json:"guest"`
	CimOS    int16             `json:"cim_os"`
	Hardware string            `json:"hardware"`
	Firmware string            `json:"firmware"`
	Secure   bool              `json:"secure_boot"`
	CPUs     int32             `json:"cpus"`
	Cores    *int32            `json:"cores_per_socket"`
	MemoryMB int64             `json:"memory_mb"`
	Files    map[string]uint   `json:"files"`
	Formats  []string          `json:"formats"`
	Networks []string          `json:"networks"`
	NICs     map[string]string `json:"nics"` // address -> model
	Note     string            `json:"annotation"`
	Devices  []device          `json:"devices"`
}

func devices(spec types.VirtualMachineConfigSpec) []device {
	var list object.VirtualDeviceList
	for _, change := range spec.DeviceChange {
		list = append(list, change.GetVirtualDeviceConfigSpec().Device)
	}
	found := []device{}
	for _, d := range list {
		v := d.GetVirtualDevice()
		shown := device{Kind: list.Type(d), Unit: v.UnitNumber}
		if _, ok := d.(types.BaseVirtualEthernetCard); ok {
			shown.Kind = fmt.Sprintf("%T", d)
		}
		if c := list.FindByKey(v.ControllerKey); c != nil {
			shown.Controller = list.Type(c)
		}
		if c, ok := d.(types.BaseVirtualController); ok {
			shown.Bus = &c.GetVirtualController().BusNumber
		}
		if disk, ok := d.(*types.VirtualDisk); ok {
			shown.Bytes = disk.CapacityInBytes
		}
		found = append(found, shown)
	}
	return found
}

func read(path string) (*report, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	e, err := ovf.Unmarshal(f)
	if err != nil {
		return nil, err
	}
	spec, err := e.ToConfigSpecWithOptions(ovf.ToConfigSpecOptions{Strict: true})
	if err != nil {
		return nil, err
	}
	r := &report{Name: spec.Name, Guest: spec.GuestId, Hardware: spec.Version, Firmware: spec.Firmware, CPUs: spec.NumCPUs,
		Cores: spec.NumCoresPerSocket, MemoryMB: spec.MemoryMB, Devices: devices(spec), Files: map[string]uint{},
		NICs: map[string]string{}}
	if e.VirtualSystem.OperatingSystem != nil {
		r.CimOS = e.VirtualSystem.OperatingSystem.ID
	}
	if spec.BootOptions != nil && spec.BootOptions.EfiSecureBootEnabled != nil {
		r.Secure = *spec.BootOptions.EfiSecureBootEnabled
	}
	for _, file := range e.References {
		r.Files[file.Href] = file.Size
	}
	for _, disk := range e.Disk.Disks {
		r.Formats = append(r.Formats, *disk.Format)
	}
	if e.Network != nil {
		for _, n := range e.Network.Networks {
			r.Networks = append(r.Networks, n.Name)
		}
	}
	for _, item := range e.VirtualSystem.VirtualHardware[0].Item {
		if *item.ResourceType == ovf.EthernetAdapter && item.Address != nil {
			r.NICs[*item.Address] = *item.ResourceSubType
		}
	}
	if e.VirtualSystem.Annotation != nil {
		r.Note = e.VirtualSystem.Annotation.Annotation
	}
	return r, nil
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go_ovf FILE.ovf")
		os.Exit(64)
	}
	r, err := read(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(r)
}

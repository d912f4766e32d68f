package main

import (
	"fmt"
	"reflect"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// The wrappers below add methods to the simulator's objects. handler puts them into the
// caller's session, where a method call finds them first; the registry keeps the originals.
type machine struct {
	*simulator.VirtualMachine
	srv *server
}

func (v *machine) ExportVm(ctx *simulator.Context, req *types.ExportVm) soap.HasFault {
	if state := v.Runtime.PowerState; state != types.VirtualMachinePowerStatePoweredOff {
		return &methods.ExportVmBody{Fault_: simulator.Fault("The VM is not powered off", &types.InvalidPowerState{
			RequestedState: types.VirtualMachinePowerStatePoweredOff, ExistingState: state})}
	}
	if v.srv.leased(req.This) {
		return &methods.ExportVmBody{Fault_: simulator.Fault("Another export is in progress", new(types.TaskInProgress))}
	}
	return &methods.ExportVmBody{Res: &types.ExportVmResponse{Returnval: v.srv.newLease(ctx, v.VirtualMachine)}}
}

// snapshotFault is what keeps a snapshot from being made, if anything does.
func (v *machine) snapshotFault(quiesce bool) types.BaseMethodFault {
	if f := v.srv.currentFaults(); quiesce && f.Quiesce != "" {
		v.srv.add("quiesce_refused", 1)
		return newFault(f.Quiesce, v.Self)
	}
	if v.srv.take(&v.srv.faults.FailSnapshot) {
		return new(types.GenericVmConfigFault)
	}
	return nil
}

// failedTask is a task that ends with that fault.
func failedTask(ctx *simulator.Context, vm types.ManagedObjectReference, name string, fault types.BaseMethodFault) types.ManagedObjectReference {
	return simulator.CreateTask(vm, name, func(*simulator.Task) (types.AnyType, types.BaseMethodFault) { return nil, fault }).Run(ctx)
}

func (v *machine) CreateSnapshotTask(ctx *simulator.Context, req *types.CreateSnapshot_Task) soap.HasFault {
	if fault := v.snapshotFault(req.Quiesce); fault != nil {
		return &methods.CreateSnapshot_TaskBody{Res: &types.CreateSnapshot_TaskResponse{Returnval: failedTask(ctx, v.Self, "createSnapshot", fault)}}
	}
	v.srv.add("snapshots_created", 1)
	return v.VirtualMachine.CreateSnapshotTask(ctx, req)
}

func (v *machine) CreateSnapshotExTask(ctx *simulator.Context, req *types.CreateSnapshotEx_Task) soap.HasFault {
	if fault := v.snapshotFault(req.QuiesceSpec != nil); fault != nil {
		return &methods.CreateSnapshotEx_TaskBody{Res: &types.CreateSnapshotEx_TaskResponse{Returnval: failedTask(ctx, v.Self, "createSnapshot", fault)}}
	}
	v.srv.add("snapshots_created", 1)
	return v.VirtualMachine.CreateSnapshotExTask(ctx, req)
}

type snapshot struct {
	*simulator.VirtualMachineSnapshot
	srv *server
}

func (v *snapshot) ExportSnapshot(ctx *simulator.Context, _ *types.ExportSnapshot) soap.HasFault {
	vm, ok := ctx.Map.Get(v.Vm).(*simulator.VirtualMachine)
	if !ok {
		return &methods.ExportSnapshotBody{Fault_: simulator.Fault("", &types.ManagedObjectNotFound{Obj: v.Vm})}
	}
	return &methods.ExportSnapshotBody{Res: &types.ExportSnapshotResponse{Returnval: v.srv.newLease(ctx, vm)}}
}

func (v *snapshot) RemoveSnapshotTask(ctx *simulator.Context, req *types.RemoveSnapshot_Task) soap.HasFault {
	if v.srv.take(&v.srv.faults.FailRemove) {
		return &methods.RemoveSnapshot_TaskBody{Res: &types.RemoveSnapshot_TaskResponse{
			Returnval: failedTask(ctx, v.Vm, "removeSnapshot", new(types.GenericVmConfigFault))}}
	}
	v.srv.add("snapshots_removed", 1)
	return v.VirtualMachineSnapshot.RemoveSnapshotTask(ctx, req)
}

// deviceKey names a disk as a lease does: "/vm-12/ParaVirtualSCSIController0:1".
func deviceKey(vm *simulator.VirtualMachine, d *types.VirtualDisk) string {
	unit := int32(0)
	if d.UnitNumber != nil {
		unit = *d.UnitNumber
	}
	for _, dev := range vm.Config.Hardware.Device {
		if c, ok := dev.(types.BaseVirtualController); ok && dev.GetVirtualDevice().Key == d.ControllerKey {
			return fmt.Sprintf("/%s/%s%d:%d", vm.Self.Value, reflect.TypeOf(dev).Elem().Name(), c.GetVirtualController().BusNumber, unit)
		}
	}
	return fmt.Sprintf("/%s/VirtualSCSIController0:%d", vm.Self.Value, unit)
}

// exportedDisks are the VM's disks in the order of its devices; the n-th is the n-th file.
func (s *server) exportedDisks(vm *simulator.VirtualMachine) (out []exported) {
	for _, dev := range vm.Config.Hardware.Device {
		if d, ok := dev.(*types.VirtualDisk); ok && len(out) < len(s.disks) {
			out = append(out, exported{deviceKey(vm, d), s.disks[len(out)]})
		}
	}
	return out
}

// handler sees every SOAP call before the simulator does.
func (s *server) handler(ctx *simulator.Context, m *simulator.Method) (mo.Reference, types.BaseMethodFault) {
	s.logf("%s %s", m.Name, m.This.Value)
	if m.Name == "Login" {
		s.add("logins", 1)
		if s.take(&s.faults.FailLogin) {
			s.add("logins_refused", 1)
			return nil, new(types.InvalidLogin)
		}
	}
	if fault := s.failing(m.Name, m.This); fault != nil {
		return nil, fault
	}
	if s.page > 0 {
		if r, ok := m.Body.(*types.RetrievePropertiesEx); ok && (r.Options.MaxObjects <= 0 || r.Options.MaxObjects > s.page) {
			r.Options.MaxObjects = s.page
		}
	}
	if ctx.Session == nil {
		return nil, nil
	}
	if s.expires(m.Name) {
		s.endSessions()
		return nil, newFault("NotAuthenticated", m.This)
	}
	if m.Name == "Logout" {
		s.endLeasesOf(ctx.Session.Key)
	}
	switch obj := ctx.Map.Get(m.This).(type) {
	case *simulator.VirtualMachine:
		switch m.Name {
		case "ExportVm", "CreateSnapshot_Task", "CreateSnapshotEx_Task":
			ctx.Session.Registry.Put(&machine{obj, s})
		case "PowerOnVM_Task", "Destroy_Task":
			if s.leased(m.This) {
				return nil, new(types.TaskInProgress)
			}
		}
	case *simulator.VirtualMachineSnapshot:
		if m.Name == "ExportSnapshot" || m.Name == "RemoveSnapshot_Task" {
			ctx.Session.Registry.Put(&snapshot{obj, s})
		}
	case *simulator.OvfManager:
		ctx.Session.Registry.Put(&ovfManager{obj, s})
	}
	return nil, nil
}

func (s *server) sessions() *simulator.SessionManager {
	view := &simulator.Session{Registry: simulator.NewRegistry(), Map: s.reg}
	return view.Get(types.ManagedObjectReference{Type: "SessionManager", Value: "SessionManager"}).(*simulator.SessionManager)
}

// endSessions ends every session behind the clients' back, and with it the leases that belong to it.
func (s *server) endSessions() int {
	m := s.sessions()
	req := new(types.TerminateSession)
	for _, u := range m.SessionList {
		req.SessionId = append(req.SessionId, u.Key)
	}
	m.TerminateSession(&simulator.Context{Session: new(simulator.Session), Map: s.reg}, req)
	s.add("sessions_ended", int64(len(req.SessionId)))
	s.dropLeases()
	return len(req.SessionId)
}

func (s *server) endLeasesOf(session string) {
	var gone []*lease
	s.locked(func() {
		for _, l := range s.leases {
			if l.session == session {
				gone = append(gone, l)
			}
		}
	})
	for _, l := range gone {
		l.fail("leases_orphaned", new(types.NotAuthenticated), "The session that opened the lease has ended")
	}
}

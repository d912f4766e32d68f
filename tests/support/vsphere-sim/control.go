package main

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"strconv"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// counted names what /stats counts; it adds what it finds.
var counted = []string{"leases_opened", "leases_completed", "leases_aborted", "leases_expired", "leases_orphaned", "leases_failed", "leases_open",
	"last_progress", "progress_calls", "downloads_started", "downloads_finished", "downloads_open", "downloads_at_once", "range_requests",
	"bytes_sent", "descriptors_created", "logins", "logins_refused", "connections_dropped", "faults_served", "not_found", "sessions_ended",
	"snapshots_created", "snapshots_removed", "quiesce_refused", "entities_fetched"}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v)
}

// control is the loopback side: /fault?name=value, /stats, /vm, /ca, /cert, /logout.
func (s *server) control(ca *authority) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/fault", s.serveFault)
	mux.HandleFunc("/stats", func(w http.ResponseWriter, r *http.Request) { reply(w, s.stats()) })
	mux.HandleFunc("/vm", s.serveVM)
	mux.HandleFunc("/logout", func(w http.ResponseWriter, r *http.Request) { reply(w, s.endSessions()) })
	mux.HandleFunc("/cert", func(w http.ResponseWriter, r *http.Request) {
		_ = pem.Encode(w, &pem.Block{Type: "CERTIFICATE", Bytes: s.sdk.cert.Leaf.Raw})
	})
	mux.HandleFunc("/ca", func(w http.ResponseWriter, r *http.Request) {
		_ = pem.Encode(w, &pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
	})
	mux.HandleFunc("/entity", func(w http.ResponseWriter, r *http.Request) { s.add("entities_fetched", 1) })
	return mux
}

func (s *server) serveFault(w http.ResponseWriter, r *http.Request) {
	var err error
	now, q := map[string]string{}, r.URL.Query()
	s.locked(func() {
		if q.Has("reset") {
			s.set.VisitAll(func(f *flag.Flag) { _ = f.Value.Set(f.DefValue) })
			q.Del("reset")
		}
		for name := range q {
			err = errors.Join(err, s.set.Set(name, q.Get(name)))
		}
		s.set.VisitAll(func(f *flag.Flag) { now[f.Name] = f.Value.String() })
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	other := s.currentFaults().OtherCert
	for _, p := range append([]*port{s.sdk}, s.hosts...) {
		p.useOther.Store(other)
	}
	s.applyTaskDelay()
	s.applyRefuse()
	reply(w, now)
}

func (s *server) stats() map[string]any {
	type left struct{ Moref, VM, Name string }
	var snapshots []left
	for _, e := range s.reg.AllReference("VirtualMachineSnapshot") {
		if snap, ok := e.(*simulator.VirtualMachineSnapshot); ok {
			one := left{Moref: snap.Self.Value, VM: snap.Vm.Value}
			if vm, ok := s.reg.Get(snap.Vm).(*simulator.VirtualMachine); ok && vm.Snapshot != nil {
				one.VM, one.Name = vm.Name, snapshotName(vm.Snapshot.RootSnapshotList, snap.Self)
			}
			snapshots = append(snapshots, one)
		}
	}
	out := map[string]any{"sessions_open": len(s.sessions().SessionList), "vms": len(s.reg.All("VirtualMachine")),
		"snapshots_left": len(snapshots), "snapshots": snapshots, "disks": s.disks,
		"thumbprint": s.sdk.sha256(), "thumbprint_sha1": s.sdk.sha1()}
	s.locked(func() {
		for _, name := range counted {
			out[name] = s.count[name]
		}
		out["calls"] = maps.Clone(s.calls)
	})
	return out
}

func snapshotName(tree []types.VirtualMachineSnapshotTree, ref types.ManagedObjectReference) string {
	for _, t := range tree {
		if t.Snapshot == ref {
			return t.Name
		}
		if name := snapshotName(t.ChildSnapshotList, ref); name != "" {
			return name
		}
	}
	return ""
}

// serveVM shows one VM by name or moref, or changes it first: power=on|off|suspended, disks=N, controller=N (an index of the
// kinds there are), snapshot=NAME (one that is there before any client comes). Without a name: all of them.
func (s *server) serveVM(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if !q.Has("name") {
		var all []map[string]any
		for _, e := range s.reg.All("VirtualMachine") {
			all = append(all, s.describe(e.(*simulator.VirtualMachine)))
		}
		reply(w, all)
		return
	}
	var vm *simulator.VirtualMachine
	for _, e := range s.reg.All("VirtualMachine") {
		if one := e.(*simulator.VirtualMachine); one.Name == q.Get("name") || one.Self.Value == q.Get("name") {
			vm = one
		}
	}
	if vm == nil {
		http.NotFound(w, r)
		return
	}
	err := s.changeVM(vm, q.Get("power"), q.Get("disks"), q.Get("controller"), q.Get("snapshot"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	reply(w, s.describe(vm))
}

func (s *server) changeVM(vm *simulator.VirtualMachine, power, disks, controller, snap string) (err error) {
	states := map[string]types.VirtualMachinePowerState{"on": types.VirtualMachinePowerStatePoweredOn,
		"off": types.VirtualMachinePowerStatePoweredOff, "suspended": types.VirtualMachinePowerStateSuspended}
	n, kind := len(s.exportedDisks(vm)), 0
	if disks != "" {
		if n, err = strconv.Atoi(disks); err != nil || n < 1 || n > len(s.disks) {
			return fmt.Errorf("disks: 1 to %d", len(s.disks))
		}
	}
	if controller != "" {
		if kind, err = strconv.Atoi(controller); err != nil || kind < 0 || kind >= len(controllers) {
			return fmt.Errorf("controller: 0 to %d", len(controllers)-1)
		}
	}
	if _, ok := states[power]; power != "" && !ok {
		return errors.New("power: on, off or suspended")
	}
	s.base.WithLock(vm, func() {
		if power != "" {
			setPower(vm, states[power])
		}
		if disks != "" || controller != "" {
			s.fitDisks(vm, n, controllers[kind])
		}
	})
	if snap != "" {
		return s.takeSnapshot(vm, snap)
	}
	return nil
}

// describe is the truth that a client's discovery is compared with.
func (s *server) describe(vm *simulator.VirtualMachine) map[string]any {
	var disks []int64
	nics := 0
	for _, dev := range vm.Config.Hardware.Device {
		if d, ok := dev.(*types.VirtualDisk); ok {
			disks = append(disks, d.CapacityInBytes)
		} else if _, ok := dev.(types.BaseVirtualEthernetCard); ok {
			nics++
		}
	}
	snapshots := 0
	if vm.Snapshot != nil {
		snapshots = countSnapshots(vm.Snapshot.RootSnapshotList)
	}
	return map[string]any{"name": vm.Name, "path": s.pathOf(vm), "moref": vm.Self.Value, "power": vm.Runtime.PowerState,
		"guest": vm.Config.GuestId, "cpus": vm.Config.Hardware.NumCPU, "memory_mb": vm.Config.Hardware.MemoryMB,
		"firmware": vm.Config.Firmware, "disks": disks, "nics": nics, "snapshots": snapshots, "template": vm.Config.Template}
}

func countSnapshots(tree []types.VirtualMachineSnapshotTree) (n int) {
	for _, t := range tree {
		n += 1 + countSnapshots(t.ChildSnapshotList)
	}
	return n
}

func (s *server) pathOf(vm *simulator.VirtualMachine) string {
	path, ref := "/"+vm.Name, vm.Parent
	for ref != nil {
		e, ok := s.reg.Get(*ref).(mo.Entity)
		if !ok || e.Entity().Parent == nil {
			break
		}
		path, ref = "/"+e.Entity().Name+path, e.Entity().Parent
	}
	return path
}

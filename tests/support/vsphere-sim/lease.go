package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// lease is an HttpNfcLease. mo.HttpNfcLease comes first: the property collector needs that.
type lease struct {
	mo.HttpNfcLease
	srv     *server
	ctx     *simulator.Context
	id      string
	session string
	vm      types.ManagedObjectReference
	disks   []exported
	timer   *time.Timer
	timeout time.Duration
}

func (l *lease) change(changes ...types.PropertyChange) {
	ctx := &simulator.Context{Context: context.Background(), Session: l.ctx.Session, Map: l.ctx.Map}
	ctx.WithLock(l, func() { ctx.Update(l, changes) })
}

// end takes the lease out of service once and counts it; false: it was over already.
func (l *lease) end(counter string) (ok bool) {
	l.srv.locked(func() {
		if _, ok = l.srv.leases[l.id]; ok {
			delete(l.srv.leases, l.id)
			l.srv.count["leases_open"]--
			l.srv.count[counter]++
		}
	})
	l.timer.Stop()
	return ok
}

// fail ends it with an error that whoever watches it sees.
func (l *lease) fail(counter string, fault types.BaseMethodFault, text string) {
	if l.end(counter) {
		l.srv.logf("lease %s: %s", l.id, text)
		l.change(types.PropertyChange{Name: "state", Val: types.HttpNfcLeaseStateError},
			types.PropertyChange{Name: "error", Val: &types.LocalizedMethodFault{Fault: fault, LocalizedMessage: text}})
	}
}

func (l *lease) expire() {
	l.fail("leases_expired", new(types.Timedout), "The lease timed out for lack of progress updates")
}

func (l *lease) open() (ok bool) {
	l.srv.locked(func() { ok = l.srv.leases[l.id] != nil })
	return ok
}

func notOpen() *soap.Fault {
	return simulator.Fault("The lease is not in a state that allows this", new(types.InvalidState))
}

func (l *lease) HttpNfcLeaseProgress(_ *simulator.Context, req *types.HttpNfcLeaseProgress) soap.HasFault {
	if !l.open() {
		return &methods.HttpNfcLeaseProgressBody{Fault_: notOpen()}
	}
	if req.Percent < 0 || req.Percent > 100 {
		return &methods.HttpNfcLeaseProgressBody{Fault_: simulator.Fault("", &types.InvalidArgument{InvalidProperty: "percent"})}
	}
	l.timer.Reset(l.timeout)
	l.TransferProgress = req.Percent
	l.srv.locked(func() { l.srv.count["last_progress"] = int64(req.Percent) })
	l.srv.add("progress_calls", 1)
	return &methods.HttpNfcLeaseProgressBody{Res: new(types.HttpNfcLeaseProgressResponse)}
}

func (l *lease) HttpNfcLeaseComplete(ctx *simulator.Context, req *types.HttpNfcLeaseComplete) soap.HasFault {
	if !l.end("leases_completed") {
		return &methods.HttpNfcLeaseCompleteBody{Fault_: notOpen()}
	}
	l.forget(ctx, req.This)
	return &methods.HttpNfcLeaseCompleteBody{Res: new(types.HttpNfcLeaseCompleteResponse)}
}

func (l *lease) HttpNfcLeaseAbort(ctx *simulator.Context, req *types.HttpNfcLeaseAbort) soap.HasFault {
	l.end("leases_aborted")
	l.forget(ctx, req.This)
	return &methods.HttpNfcLeaseAbortBody{Res: new(types.HttpNfcLeaseAbortResponse)}
}

func (l *lease) forget(ctx *simulator.Context, ref types.ManagedObjectReference) {
	ctx.Session.Remove(ctx, ref)
	if ctx.Map.Get(ref) != nil {
		ctx.Map.Remove(ctx, ref)
	}
}

func (l *lease) HttpNfcLeaseGetManifest(_ *simulator.Context, req *types.HttpNfcLeaseGetManifest) soap.HasFault {
	kind := l.srv.currentFaults().Manifest
	if kind == "none" {
		return &methods.HttpNfcLeaseGetManifestBody{Fault_: simulator.Fault("", &types.MethodNotFound{Receiver: req.This, Method: "HttpNfcLeaseGetManifest"})}
	}
	var res types.HttpNfcLeaseGetManifestResponse
	for _, e := range l.disks {
		d := e.disk
		entry := types.HttpNfcLeaseManifestEntry{Key: e.key, Sha1: d.Sha1, Checksum: d.Sha256, ChecksumType: "sha256", Size: d.Size,
			Disk: true, Capacity: d.Capacity}
		switch kind {
		case "sha1":
			entry.Checksum, entry.ChecksumType = "", ""
		case "wrong-hash":
			entry.Sha1 = fmt.Sprintf("%040x", 7)
			entry.Checksum = fmt.Sprintf("%064x", 7)
		case "wrong-size":
			entry.Size += 512
		case "moot":
			entry = types.HttpNfcLeaseManifestEntry{Key: e.key, Disk: true}
		}
		if kind != "empty" {
			res.Returnval = append(res.Returnval, entry)
		}
	}
	return &methods.HttpNfcLeaseGetManifestBody{Res: &res}
}

// exported is a disk of a lease under the key that the lease and CreateDescriptor know it by.
type exported struct {
	key  string
	disk *disk
}

// newLease makes the lease; it turns ready a moment later, as a real one does.
func (s *server) newLease(ctx *simulator.Context, vm *simulator.VirtualMachine) types.ManagedObjectReference {
	f := s.currentFaults()
	l := &lease{srv: s, ctx: ctx, vm: vm.Self, session: ctx.Session.Key, timeout: time.Duration(f.ExpireLeaseAfter) * time.Second,
		disks: s.exportedDisks(vm)}
	l.Self.Type = "HttpNfcLease"
	l.State = types.HttpNfcLeaseStateInitializing
	l.Mode = string(types.HttpNfcLeaseModePushOrGet)
	if f.LeaseOutlives {
		l.session = ""
		ctx.Map.Put(l)
	} else {
		ctx.Session.Put(l)
	}
	s.locked(func() {
		s.nextID++
		l.id = fmt.Sprintf("lease-%d", s.nextID)
		s.leases[l.id] = l
		s.count["leases_opened"]++
		s.count["leases_open"]++
		l.timer = time.AfterFunc(l.timeout, l.expire)
	})
	info := s.leaseInfo(l, vm, f)
	time.AfterFunc(s.initWait, func() {
		if fault := newFault(f.LeaseError, vm.Self); fault != nil {
			l.fail("leases_failed", fault, "The lease could not be made ready")
		} else if l.open() {
			l.change(types.PropertyChange{Name: "info", Val: info}, types.PropertyChange{Name: "initializeProgress", Val: int32(100)},
				types.PropertyChange{Name: "state", Val: types.HttpNfcLeaseStateReady})
		}
	})
	return l.Self
}

func (s *server) leaseInfo(l *lease, vm *simulator.VirtualMachine, f faults) *types.HttpNfcLeaseInfo {
	info := &types.HttpNfcLeaseInfo{Lease: l.Self, Entity: vm.Self, LeaseTimeout: int32(f.ExpireLeaseAfter)}
	host := s.hostOf(vm)
	add := func(key, name string, size int64, disk bool) {
		if f.ZeroSize {
			size = 0
		} else if f.WrongSize {
			size /= 2
		}
		thumb := host.sha1()
		if f.WrongThumbprint {
			thumb = s.wrongThumbprint()
		} else if f.NoThumbprint {
			thumb = ""
		}
		info.DeviceUrl = append(info.DeviceUrl, types.HttpNfcLeaseDeviceUrl{Key: key, ImportKey: key, Disk: types.NewBool(disk),
			TargetId: name, FileSize: size, SslThumbprint: thumb, Url: "https://" + s.urlHost(host) + "/nfc/" + l.id + "/" + name})
	}
	for _, e := range l.disks {
		info.TotalDiskCapacityInKB += e.disk.Capacity / 1024
		add(e.key, e.disk.Name, e.disk.Size, true)
	}
	if s.nvram > 0 {
		add(fmt.Sprintf("/%s/nvram", vm.Self.Value), "machine.nvram", s.nvram, false)
	}
	return info
}

func (s *server) leased(vm types.ManagedObjectReference) (yes bool) {
	s.locked(func() {
		yes = slices.ContainsFunc(slices.Collect(maps.Values(s.leases)), func(l *lease) bool { return l.vm == vm })
	})
	return yes
}

// dropLeases ends the leases of sessions that are no more.
func (s *server) dropLeases() {
	alive := map[string]bool{"": true}
	for _, u := range s.sessions().SessionList {
		alive[u.Key] = true
	}
	var gone []*lease
	s.locked(func() {
		for _, l := range s.leases {
			if !alive[l.session] {
				gone = append(gone, l)
			}
		}
	})
	for _, l := range gone {
		l.fail("leases_orphaned", new(types.NotAuthenticated), "The session that opened the lease has ended")
	}
}

package main

import (
	"errors"
	"flag"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// faults are the switches that a flag sets at the start and /fault at run time. Zero is off.
type faults struct {
	StallAfter, DropAfter, DropTimes, TruncateAt, Slow, ExpireLeaseAfter, FailLogin int64
	Sdk503, Sdk500, Nfc503, Nfc404, FailRemove, FailSnapshot, SlowSnapshot, Refuse  int64
	HostileTimes                                                                    int64

	WrongSize, ZeroSize, Corrupt, Chunked, WrongThumbprint, NoThumbprint, OtherCert, LeaseOutlives bool

	Quiesce, LeaseError, Manifest, Hostile, HostileMethod, ExpireSessionOn string
	Fail                                                                   failures
}

func (f *faults) flags(s *flag.FlagSet) {
	s.Int64Var(&f.StallAfter, "stall-after", 0, "stop sending after `BYTES` of a disk, keep the connection open")
	s.Int64Var(&f.DropAfter, "drop-after", 0, "reset the connection after `BYTES` of a disk")
	s.Int64Var(&f.DropTimes, "drop-times", 1, "how many times -drop-after acts (negative: without end)")
	s.Int64Var(&f.TruncateAt, "truncate-at", 0, "end the body cleanly after `BYTES`")
	s.Int64Var(&f.Slow, "slow", 0, "send each disk at `BYTES` per second")
	s.Int64Var(&f.ExpireLeaseAfter, "expire-lease-after", 300, "lease timeout in `SECONDS` without progress")
	s.Int64Var(&f.FailLogin, "fail-login", 0, "refuse the next `N` logins")
	s.Int64Var(&f.Sdk503, "sdk-503", 0, "answer the next `N` SOAP calls with 503 and a page of HTML")
	s.Int64Var(&f.Sdk500, "sdk-500", 0, "answer the next `N` SOAP calls with 500 and a body that is no SOAP")
	s.Int64Var(&f.Nfc503, "nfc-503", 0, "answer the next `N` downloads with 503 and a page of HTML")
	s.Int64Var(&f.Nfc404, "nfc-404", 0, "answer the next `N` downloads with 404")
	s.Int64Var(&f.FailRemove, "fail-remove", 0, "the next `N` RemoveSnapshot tasks end in an error")
	s.Int64Var(&f.FailSnapshot, "fail-snapshot", 0, "the next `N` CreateSnapshot tasks end in an error")
	s.Int64Var(&f.SlowSnapshot, "slow-snapshot", 0, "CreateSnapshot tasks take so many `MILLISECONDS`")
	s.Int64Var(&f.Refuse, "refuse", 0, "refuse connections (and end those there are) for `MILLISECONDS` from when it is set")
	s.BoolVar(&f.WrongSize, "wrong-size", false, "announce half the file size in the lease")
	s.BoolVar(&f.ZeroSize, "zero-size", false, "announce file sizes of 0 in the lease")
	s.BoolVar(&f.Corrupt, "corrupt", false, "invert one byte in the middle of each disk")
	s.BoolVar(&f.Chunked, "chunked", false, "send disks without Content-Length")
	s.BoolVar(&f.WrongThumbprint, "wrong-thumbprint", false, "leases tell a thumbprint that is not the host's")
	s.BoolVar(&f.NoThumbprint, "no-thumbprint", false, "leases tell no thumbprint")
	s.BoolVar(&f.OtherCert, "other-cert", false, "new connections meet another certificate of the same name, signed by nobody")
	s.BoolVar(&f.LeaseOutlives, "lease-outlives", false, "a lease belongs to the server, not to the session that opened it")
	s.StringVar(&f.Quiesce, "quiesce", "", "quiesced snapshots fail with this `FAULT` (ApplicationQuiesceFault, FilesystemQuiesceFault)")
	s.StringVar(&f.LeaseError, "lease-error", "", "new leases turn to state error with this `FAULT` instead of ready")
	s.StringVar(&f.Manifest, "manifest", "full", "what GetManifest tells: full, sha1, none (a fault), empty, wrong-hash, wrong-size, moot (no sizes)")
	s.StringVar(&f.Hostile, "hostile", "", "body of an answer: bomb, entity, doctype, huge, deep, cut, garbage, empty, html, endless-text")
	s.StringVar(&f.HostileMethod, "hostile-method", "RetrievePropertiesEx", "the `METHOD` -hostile answers (* for all)")
	s.Int64Var(&f.HostileTimes, "hostile-times", -1, "how many times it does (negative: without end)")
	s.StringVar(&f.ExpireSessionOn, "expire-session-on", "", "at the N-th call of METHOD (`METHOD[:N]`, * for any) end all sessions, once")
	s.Var(&f.Fail, "fail", "answer `METHOD:FAULT[:N][,...]` with that fault, N times (without N: always)")
}

// take takes one from a counter of how often a fault is still to act; negative ones never run out.
func (s *server) take(counter *int64) (acts bool) {
	s.locked(func() {
		if acts = *counter != 0; acts && *counter > 0 {
			*counter--
		}
	})
	return acts
}

// failure answers one method with one fault, so many times.
type failure struct {
	method, fault string
	times         int64
}

type failures struct{ list []*failure }

func (f *failures) String() string {
	var out []string
	for _, one := range f.list {
		out = append(out, fmt.Sprintf("%s:%s:%d", one.method, one.fault, one.times))
	}
	return strings.Join(out, ",")
}

func (f *failures) Set(text string) error {
	var list []*failure
	for _, one := range strings.Split(text, ",") {
		if one == "" {
			continue
		}
		parts := strings.Split(one, ":")
		times := int64(-1)
		if len(parts) == 3 {
			n, err := strconv.ParseInt(parts[2], 10, 64)
			if err != nil {
				return err
			}
			times = n
		}
		if len(parts) < 2 || len(parts) > 3 {
			return errors.New("METHOD:FAULT[:N] is needed")
		}
		if newFault(parts[1], types.ManagedObjectReference{}) == nil {
			return fmt.Errorf("vSphere has no fault %s", parts[1])
		}
		list = append(list, &failure{parts[0], parts[1], times})
	}
	f.list = list
	return nil
}

// newFault makes a fault by its type's name, with what its schema requires; nil when there is none of that name.
func newFault(name string, on types.ManagedObjectReference) types.BaseMethodFault {
	kind, ok := types.TypeFunc()(name)
	if !ok {
		return nil
	}
	fault, ok := reflect.New(kind).Interface().(types.BaseMethodFault)
	if !ok {
		return nil
	}
	switch f := fault.(type) {
	case *types.NoPermission:
		f.Object, f.PrivilegeId = &on, "VApp.Export"
	case *types.NotAuthenticated:
		f.Object, f.PrivilegeId = &on, "System.View"
	case *types.ManagedObjectNotFound:
		f.Obj = on
	case *types.InvalidPowerState:
		f.ExistingState = types.VirtualMachinePowerStatePoweredOn
	}
	return fault
}

// failing is the fault -fail has for this call, if any.
func (s *server) failing(method string, on types.ManagedObjectReference) (fault types.BaseMethodFault) {
	s.locked(func() {
		for _, one := range s.faults.Fail.list {
			if (one.method == method || one.method == "*") && one.times != 0 {
				one.times--
				s.count["faults_served"]++
				fault = newFault(one.fault, on)
				return
			}
		}
	})
	return fault
}

// expires tells whether this call is the one at which the sessions end.
func (s *server) expires(method string) (yes bool) {
	s.locked(func() {
		want, count, _ := strings.Cut(s.faults.ExpireSessionOn, ":")
		if want == "" || (want != method && want != "*") {
			return
		}
		n, _ := strconv.Atoi(count)
		if yes = n <= 1; yes {
			s.faults.ExpireSessionOn = ""
		} else {
			s.faults.ExpireSessionOn = fmt.Sprintf("%s:%d", want, n-1)
		}
	})
	return yes
}

func (s *server) applyTaskDelay() {
	simulator.TaskDelay = simulator.DelayConfig{MethodDelay: map[string]int{
		"LockHandoff": 0, "CreateSnapshotEx": int(s.currentFaults().SlowSnapshot)}}
}

func (s *server) applyRefuse() {
	if ms := s.currentFaults().Refuse; ms > 0 {
		s.locked(func() { s.faults.Refuse = 0 })
		for _, p := range append([]*port{s.sdk}, s.hosts...) {
			p.refuse(time.Duration(ms) * time.Millisecond)
		}
	}
}

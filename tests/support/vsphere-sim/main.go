// vsphere-sim is a test vCenter: govmomi's simulator plus the export methods it lacks (ExportVm,
// leases that can be watched, CreateDescriptor, disk bytes), with faults on demand. main.go owns the
// server's state and its start; each other file owns one of its parts.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/vmware/govmomi/simulator"
)

// server holds everything under one lock; the simulator's objects have locks of their own.
type server struct {
	mu       sync.Mutex
	faults   faults
	set      *flag.FlagSet // the same switches, for /fault
	count    map[string]int64
	calls    map[string]int64 // SOAP calls by method
	disks    []*disk
	leases   map[string]*lease // by the name in the URL
	reg      *simulator.Registry
	base     *simulator.Context
	sdk      *port
	hosts    []*port // where disks are served when ESX hosts have ports of their own
	star     bool    // lease URLs name the host as "*"
	nvram    int64   // bytes of the file each lease lists besides the disks; 0: none
	page     int32   // most objects in one answer of the property collector; 0: as the client asks
	nextID   int
	initWait time.Duration // how long a lease stays initializing
	verbose  bool
	entity   string // URL of the control port that an external entity points to
}

func (s *server) locked(f func()) { s.mu.Lock(); defer s.mu.Unlock(); f() }

func (s *server) add(counter string, n int64) { s.locked(func() { s.count[counter] += n }) }

func (s *server) currentFaults() (f faults) {
	s.locked(func() { f = s.faults })
	return f
}

func (s *server) logf(format string, v ...any) {
	if s.verbose {
		log.Printf(format, v...)
	}
}

// lines leaves out what the simulator says each time a VM gets one more snapshot.
type lines struct{ all bool }

func (l lines) Write(b []byte) (int, error) {
	if !l.all && bytes.Contains(b, []byte("FileAlreadyExists")) {
		return len(b), nil
	}
	return os.Stderr.Write(b)
}

func main() {
	s := &server{leases: map[string]*lease{}, count: map[string]int64{}, calls: map[string]int64{},
		set: flag.NewFlagSet("fault", flag.ContinueOnError)}
	s.faults.flags(s.set)
	s.set.VisitAll(func(f *flag.Flag) { flag.Var(f.Value, f.Name, f.Usage) })
	var inv inventory
	listen := flag.String("listen", "127.0.0.1:8989", "`HOST:PORT` of the SDK and the disks (TLS)")
	control := flag.String("control", "127.0.0.1:8990", "loopback `HOST:PORT` of /fault, /stats, /vm, /ca, /cert, /logout")
	hosts := flag.Int("hosts", 0, "serve disks from `N` ESX hosts with ports and self-signed certificates of their own")
	user := flag.String("user", "user", "the only user who can log in")
	pass := flag.String("password", "pass", "and the password")
	flag.IntVar(&inv.vms, "vms", 2, "number of VMs: /DC0/vm/DC0_C0_RP0_VM0 ...")
	flag.BoolVar(&inv.on, "on", false, "leave the VMs powered on (ExportVm then faults, ExportSnapshot works)")
	flag.BoolVar(&inv.varied, "varied", false, "VMs of all kinds: power states, guests, controllers, firmware, NICs, snapshots, templates")
	flag.IntVar(&inv.folders, "folders", 0, "spread the VMs over `N` folders, nested three deep")
	page := flag.Int("page", 0, "most `OBJECTS` in one answer of the property collector, whatever the client asks for")
	flag.BoolVar(&s.star, "star", false, "lease URLs name the host as *, as an ESX host does")
	flag.Int64Var(&s.nvram, "nvram", 0, "each lease lists an .nvram file of so many `BYTES` besides the disks")
	flag.DurationVar(&s.initWait, "lease-delay", 50*time.Millisecond, "how long a lease stays initializing")
	flag.BoolVar(&s.verbose, "v", false, "log each call")
	flag.Func("disk", "streamOptimized VMDK `FILE` that each VM has (repeat for more disks)", func(p string) error {
		d, err := loadDisk(p, len(s.disks))
		s.disks = append(s.disks, d)
		return err
	})
	flag.Parse()
	if len(s.disks) == 0 {
		log.Fatal("at least one -disk is needed")
	}
	s.page = int32(*page)
	log.SetOutput(lines{s.verbose})
	// Long tasks do not keep the VM's lock: its properties can be read meanwhile, as in a real vCenter.
	s.applyTaskDelay()

	m := simulator.VPX()
	m.Host, m.Machine, m.Autostart = 0, 1, false
	if err := m.Create(); err != nil {
		log.Fatal(err)
	}
	s.base = m.Service.Context
	s.reg = s.base.Map
	if err := s.fill(inv); err != nil {
		log.Fatal(err)
	}
	s.reg.Handler = s.handler

	// The simulator's own listener is of no use: ours has the faults in front and certificates that a client can trust.
	m.Service.Listen = &url.URL{Host: "127.0.0.1:0", User: url.UserPassword(*user, *pass)}
	m.Service.ServeMux = http.NewServeMux()
	inner := m.Service.NewServer()
	defer inner.Close()
	ca, err := newAuthority()
	if err != nil {
		log.Fatal(err)
	}
	c, err := net.Listen("tcp", *control)
	if err != nil {
		log.Fatal(err)
	}
	s.entity = "http://" + c.Addr().String() + "/entity"
	mux := http.NewServeMux()
	mux.Handle("/", s.front(m.Service.ServeMux))
	mux.HandleFunc("GET /nfc/{lease}/{disk}", s.serveDisk)
	if s.sdk, err = openPort(*listen, ca, mux); err != nil {
		log.Fatal(err)
	}
	for range *hosts {
		only := http.NewServeMux()
		only.HandleFunc("GET /nfc/{lease}/{disk}", s.serveDisk)
		h, err := openPort("127.0.0.1:0", nil, only)
		if err != nil {
			log.Fatal(err)
		}
		s.hosts = append(s.hosts, h)
	}
	s.applyRefuse()
	fmt.Printf("sdk=https://%s/sdk control=http://%s\n", s.sdk.address, c.Addr())
	go func() { log.Fatal(http.Serve(c, s.control(ca))) }()

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	<-stop
	m.Remove() // its directories
}

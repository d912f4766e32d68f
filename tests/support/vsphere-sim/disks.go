package main

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
)

// disk is one file served for every VM.
type disk struct {
	Path     string `json:"-"`
	Name     string `json:"name"`
	Size     int64  `json:"size"`
	Capacity int64  `json:"capacity"`
	Sha1     string `json:"sha1"`
	Sha256   string `json:"sha256"`
}

// loadDisk reads the capacity from the VMDK header and hashes the file.
func loadDisk(path string, n int) (*disk, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head := make([]byte, 512)
	if _, err = f.ReadAt(head, 0); err != nil || string(head[:4]) != "KDMV" {
		return nil, fmt.Errorf("%s: not a sparse VMDK", path)
	}
	h1, h256 := sha1.New(), sha256.New()
	size, err := io.Copy(io.MultiWriter(h1, h256), f)
	return &disk{Path: path, Name: fmt.Sprintf("disk-%d.vmdk", n), Size: size,
		Capacity: int64(binary.LittleEndian.Uint64(head[12:]) * 512),
		Sha1:     fmt.Sprintf("%x", h1.Sum(nil)), Sha256: fmt.Sprintf("%x", h256.Sum(nil))}, err
}

// hostOf is where a VM's disks are served: one port for all of them.
func (s *server) hostOf(vm *simulator.VirtualMachine) *port {
	if len(s.hosts) == 0 {
		return s.sdk
	}
	sum := 0
	for _, c := range vm.Self.Value {
		sum = sum*31 + int(c)
	}
	return s.hosts[(sum&0x7fffffff)%len(s.hosts)]
}

func (s *server) urlHost(p *port) string {
	if _, n, err := net.SplitHostPort(p.address); err == nil && s.star {
		return "*:" + n
	}
	return p.address
}

func (s *server) wrongThumbprint() string { return strings.TrimSuffix(strings.Repeat("AB:", 20), ":") }

// find is the lease and the bytes that a URL names; nil where there are none.
func (s *server) find(r *http.Request) (l *lease, d *disk) {
	s.locked(func() { l = s.leases[r.PathValue("lease")] })
	if l == nil {
		return nil, nil
	}
	if i := slices.IndexFunc(l.disks, func(e exported) bool { return e.disk.Name == r.PathValue("disk") }); i >= 0 {
		return l, l.disks[i].disk
	}
	return l, nil
}

// serveDisk streams one disk: the whole file from its start, no Range, like a real host.
func (s *server) serveDisk(w http.ResponseWriter, r *http.Request) {
	l, d := s.find(r)
	switch {
	case s.take(&s.faults.Nfc503):
		s.add("faults_served", 1)
		w.Header().Set("Retry-After", "1")
		respond(w, http.StatusServiceUnavailable, "text/html", fmt.Sprintf(page, 503))
	case l == nil || s.take(&s.faults.Nfc404):
		s.add("not_found", 1)
		http.NotFound(w, r)
	case d != nil:
		s.stream(w, r, l, d)
	case s.nvram > 0 && r.PathValue("disk") == "machine.nvram":
		w.Header().Set("Content-Length", fmt.Sprint(s.nvram))
		_, _ = w.Write(make([]byte, s.nvram))
	default:
		http.NotFound(w, r)
	}
}

// began counts a download under way; the function it returns ends that, the first time it is called.
func (s *server) began(r *http.Request) func() {
	s.locked(func() {
		s.count["downloads_started"]++
		s.count["downloads_open"]++
		s.count["downloads_at_once"] = max(s.count["downloads_at_once"], s.count["downloads_open"])
		if r.Header.Get("Range") != "" {
			s.count["range_requests"]++
		}
	})
	s.logf("GET %s", r.URL.Path)
	return sync.OnceFunc(func() { s.add("downloads_open", -1) })
}

// cut is how many of the next n bytes go out before a fault that stops the stream acts, and which one it is.
func cut(f faults, sent, n int64) (int64, bool, bool) {
	stall := f.StallAfter > 0 && sent+n >= f.StallAfter
	drop := f.DropAfter > 0 && f.DropTimes != 0 && sent+n >= f.DropAfter
	if stall {
		return max(f.StallAfter-sent, 0), true, false
	} else if drop {
		return max(f.DropAfter-sent, 0), false, true
	}
	return n, false, false
}

func (s *server) stream(w http.ResponseWriter, r *http.Request, l *lease, d *disk) {
	file, err := os.Open(d.Path)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer file.Close()
	over := s.began(r)
	defer over()
	f := s.currentFaults()
	size := d.Size
	if f.TruncateAt > 0 && f.TruncateAt < size {
		size = f.TruncateAt
	}
	w.Header().Set("Content-Type", "application/x-vnd.vmware-streamVmdk")
	if !f.Chunked {
		w.Header().Set("Content-Length", fmt.Sprint(size))
	}
	flush := http.NewResponseController(w).Flush
	buf := make([]byte, 256<<10)
	var sent int64
	for sent < size {
		if !l.open() {
			reset(w)
			return
		}
		f = s.currentFaults()
		n := min(int64(len(buf)), size-sent)
		if f.Slow > 0 {
			n = min(n, max(f.Slow/20, 1))
		}
		n, stall, drop := cut(f, sent, n)
		if _, err = io.ReadFull(file, buf[:n]); err != nil {
			log.Panic(err)
		}
		if mid := d.Size / 2; f.Corrupt && sent <= mid && mid < sent+n {
			buf[mid-sent] ^= 0xff
		}
		if sent+n == size {
			over() // whoever has all of it may ask for the next before we are back here
		}
		if _, err = w.Write(buf[:n]); err != nil {
			return
		}
		sent += n
		s.add("bytes_sent", n)
		switch {
		case stall:
			_ = flush()
			if !s.stalled(r, l) {
				reset(w)
				return
			}
		case drop:
			s.add("connections_dropped", 1)
			s.take(&s.faults.DropTimes)
			_ = flush()
			reset(w)
			return
		case f.Slow > 0:
			_ = flush()
			time.Sleep(time.Duration(float64(n) / float64(f.Slow) * float64(time.Second)))
		}
	}
	s.add("downloads_finished", 1)
}

// stalled waits until the fault is switched off (true) or the client or the lease is gone.
func (s *server) stalled(r *http.Request, l *lease) bool {
	for s.currentFaults().StallAfter > 0 {
		if r.Context().Err() != nil || !l.open() {
			return false
		}
		time.Sleep(20 * time.Millisecond)
	}
	return true
}

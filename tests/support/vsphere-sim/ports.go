package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// authority signs the SDK's certificate, as a vCenter's VMCA does.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func certificate(name string, by *authority, isCA bool) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, nil, err
	}
	t := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name, Organization: []string{"vsphere-sim"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(100 * 24 * time.Hour), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if isCA {
		t.IsCA, t.KeyUsage, t.ExtKeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign, nil
	} else {
		t.IPAddresses, t.DNSNames = []net.IP{net.ParseIP("127.0.0.1"), net.ParseIP("::1")}, []string{"example.com"}
	}
	parent, signer := t, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}

func newAuthority() (*authority, error) {
	cert, key, err := certificate("Test CA", nil, true)
	return &authority{cert, key}, err
}

// port is a TLS listener that can refuse connections for a while and change its certificate.
type port struct {
	address     string
	cert, other tls.Certificate
	useOther    atomic.Bool

	mu     sync.Mutex
	l      net.Listener
	opened chan struct{} // closed once l is there again
	conns  map[net.Conn]bool
}

func openPort(address string, by *authority, handler http.Handler) (*port, error) {
	p := &port{conns: map[net.Conn]bool{}, opened: make(chan struct{})}
	for i, to := range []*tls.Certificate{&p.cert, &p.other} {
		signer := by
		if i == 1 {
			signer = nil
		}
		cert, key, err := certificate("vsphere-sim", signer, false)
		if err != nil {
			return nil, err
		}
		*to = tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	p.l, p.address = l, l.Addr().String()
	close(p.opened)
	server := &http.Server{Handler: handler, ConnState: p.follow, ErrorLog: log.New(quiet{}, "", 0)}
	config := &tls.Config{NextProtos: []string{"http/1.1"}, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		if p.useOther.Load() {
			return &p.other, nil
		}
		return &p.cert, nil
	}}
	go func() { log.Fatal(server.Serve(tls.NewListener(p, config))) }()
	return p, nil
}

// quiet drops what the server says of clients that hang up, which is what tests make them do.
type quiet struct{}

func (quiet) Write(b []byte) (int, error) { return len(b), nil }

func (p *port) follow(c net.Conn, state http.ConnState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if state == http.StateNew {
		p.conns[c] = true
	} else if state == http.StateClosed || state == http.StateHijacked {
		delete(p.conns, c)
	}
}

func (p *port) Accept() (net.Conn, error) {
	for {
		p.mu.Lock()
		l, opened := p.l, p.opened
		p.mu.Unlock()
		c, err := l.Accept()
		if err == nil {
			return c, nil
		}
		p.mu.Lock()
		gone, again := p.l != l || p.opened != opened, p.opened
		p.mu.Unlock()
		if !gone {
			return nil, err
		}
		<-again
	}
}

func (p *port) Close() error   { return p.l.Close() }
func (p *port) Addr() net.Addr { return p.l.Addr() }

// refuse closes the listener, resets what is connected, and listens again on the same port after d.
func (p *port) refuse(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opened = make(chan struct{})
	opened := p.opened
	_ = p.l.Close()
	for c := range p.conns {
		abort(c)
	}
	time.AfterFunc(d, func() {
		for {
			l, err := net.Listen("tcp", p.address)
			if err == nil {
				p.mu.Lock()
				p.l = l
				p.mu.Unlock()
				close(opened)
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
}

// abort ends the TCP connection with RST instead of an orderly close.
func abort(c net.Conn) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// reset does so to the connection of a request.
func reset(w http.ResponseWriter) {
	if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
		abort(c)
	}
}

func colons(sum []byte) string { return strings.ReplaceAll(fmt.Sprintf("% X", sum), " ", ":") }

func (p *port) sha1() string {
	sum := sha1.Sum(p.cert.Leaf.Raw)
	return colons(sum[:])
}

func (p *port) sha256() string {
	sum := sha256.Sum256(p.cert.Leaf.Raw)
	return colons(sum[:])
}

package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
)

// What a proxy, a load balancer or an attacker answers in the simulator's place.

const envelope = `<?xml version="1.0" encoding="UTF-8"?>%s
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>`
const envelopeEnd = `</soapenv:Body></soapenv:Envelope>`
const page = "<html><head><title>%d</title></head><body><h1>The service is not to be had just now.</h1></body></html>\n"

var methodName = regexp.MustCompile(`Body[^>]*>\s*<(?:[\w.-]+:)?(\w+)`)

func respond(w http.ResponseWriter, status int, kind, body string) {
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// front stands before /sdk with the faults of HTTP.
func (s *server) front(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/sdk") || r.Method != http.MethodPost {
			next.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(io.LimitReader(r.Body, 16<<20))
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		method := ""
		if m := methodName.FindSubmatch(body); m != nil {
			method = string(m[1])
		}
		s.locked(func() { s.calls[method]++ })
		f := s.currentFaults()
		switch {
		case s.take(&s.faults.Sdk503):
			s.add("faults_served", 1)
			w.Header().Set("Retry-After", "1")
			respond(w, http.StatusServiceUnavailable, "text/html", fmt.Sprintf(page, 503))
		case s.take(&s.faults.Sdk500):
			s.add("faults_served", 1)
			respond(w, http.StatusInternalServerError, "text/html", fmt.Sprintf(page, 500))
		case f.Hostile != "" && (f.HostileMethod == "*" || f.HostileMethod == method) && s.take(&s.faults.HostileTimes):
			s.add("faults_served", 1)
			s.hostile(w, f.Hostile, method)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func (s *server) hostile(w http.ResponseWriter, kind, method string) {
	const xml = "text/xml; charset=utf-8"
	open, end := fmt.Sprintf(envelope, "")+"<"+method+`Response xmlns="urn:vim25"><returnval>`, "</returnval></"+method+"Response>"+envelopeEnd
	declared := func(doctype, text string) string {
		return fmt.Sprintf(envelope, "\n"+doctype) + "<" + method + `Response xmlns="urn:vim25"><returnval><token>` + text + "</token>" + end
	}
	switch kind {
	case "bomb":
		var d strings.Builder
		d.WriteString(`<!DOCTYPE b [<!ENTITY a0 "ha! ha! ha! ha! ">`)
		for i := 1; i < 12; i++ {
			fmt.Fprintf(&d, `<!ENTITY a%d "%s">`, i, strings.Repeat(fmt.Sprintf("&a%d;", i-1), 10))
		}
		respond(w, 200, xml, declared(d.String()+"]>", "&a11;"))
	case "entity":
		respond(w, 200, xml, declared(fmt.Sprintf(`<!DOCTYPE b [<!ENTITY e SYSTEM %q><!ENTITY f SYSTEM "file:///etc/passwd">]>`, s.entity), "&e;&f;"))
	case "doctype":
		respond(w, 200, xml, declared(fmt.Sprintf(`<!DOCTYPE b SYSTEM %q>`, s.entity), "text"))
	case "huge":
		w.Header().Set("Content-Type", xml)
		_, _ = io.WriteString(w, open)
		one := strings.Repeat(`<objects><obj type="VirtualMachine">vm-1</obj><propSet><name>name</name><val>x</val></propSet></objects>`, 1000)
		for sent := 0; sent < 100<<20; sent += len(one) {
			if _, err := io.WriteString(w, one); err != nil {
				return
			}
		}
		_, _ = io.WriteString(w, end)
	case "endless-text":
		w.Header().Set("Content-Type", xml)
		_, _ = io.WriteString(w, open+"<token>")
		one := strings.Repeat("endless ", 8192)
		for sent := 0; sent < 100<<20; sent += len(one) {
			if _, err := io.WriteString(w, one); err != nil {
				return
			}
		}
		_, _ = io.WriteString(w, "</token>"+end)
	case "deep":
		const n = 100000
		respond(w, 200, xml, open+strings.Repeat("<a>", n)+strings.Repeat("</a>", n)+end)
	case "cut":
		respond(w, 200, xml, open+`<objects><obj type="VirtualMachine">vm-`)
	case "garbage":
		respond(w, 200, xml, strings.Repeat("\x00\xff\x1f\x8b<", 4096))
	case "html":
		respond(w, 200, "text/html", fmt.Sprintf(page, 200))
	default: // empty
		respond(w, 200, xml, "")
	}
}

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"
)

// An answer is what the app knows about itself and about the request, the
// target byte for byte as it arrived.
type answer struct {
	Hostname  string
	Container string // full id, "" outside a container
	Version   string
	Method    string
	Target    string
	Proto     string
	Host      string
	Remote    string
	Body      int64 // bytes received
	Header    http.Header
}

type app struct {
	cfg       config
	hostname  string
	container string
}

func newHandler(cfg config) http.Handler {
	a := &app{cfg: cfg, container: containerID()}
	a.hostname, _ = os.Hostname()
	// Not http.ServeMux: it cleans paths and redirects, and a test that asks
	// what arrived must not be answered by the mux.
	routes := map[string]http.HandlerFunc{
		"/health": a.health, "/sse": a.events, "/ws": a.websocket, "/slow": a.slow,
		"/large": a.large, "/trailers": a.trailers, "/early": a.early, "/upload": a.upload,
		"/hoard": a.hoard,
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Whoami-Container", a.container)
		w.Header().Set("X-Whoami-Version", cfg.version)
		if h := routes[r.URL.Path]; h != nil {
			h(w, r)
			return
		}
		if code, ok := strings.CutPrefix(r.URL.Path, "/status/"); ok {
			a.status(w, code)
			return
		}
		if name, ok := strings.CutPrefix(r.URL.Path, "/store/"); ok {
			a.store(w, r, name)
			return
		}
		a.whoami(w, r)
	})
}

func (a *app) whoami(w http.ResponseWriter, r *http.Request) {
	n, _ := io.Copy(io.Discard, r.Body)
	out := answer{
		Hostname: a.hostname, Container: a.container, Version: a.cfg.version,
		Method: r.Method, Target: r.RequestURI, Proto: r.Proto, Host: r.Host,
		Remote: r.RemoteAddr, Body: n, Header: r.Header,
	}
	if strings.Contains(r.Header.Get("Accept"), "json") {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(out) // the client left: nothing to report to
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "Hostname: %s\nContainer: %s\nVersion: %s\nMethod: %s\nTarget: %s\nProto: %s\nHost: %s\nRemote: %s\nBody: %d\n",
		out.Hostname, out.Container, out.Version, out.Method, out.Target, out.Proto, out.Host, out.Remote, out.Body)
	for _, name := range sortedNames(r.Header) {
		for _, v := range r.Header[name] {
			fmt.Fprintf(w, "Header: %s: %s\n", name, v)
		}
	}
}

func (a *app) health(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") }

// status answers /status/N with that code.
func (a *app) status(w http.ResponseWriter, code string) {
	n, err := strconv.Atoi(code)
	if err != nil || n < 200 || n > 599 {
		http.Error(w, "status out of range 200-599", http.StatusBadRequest)
		return
	}
	w.WriteHeader(n)
}

// slow answers after ?d=, default one second; a client that leaves ends it.
func (a *app) slow(w http.ResponseWriter, r *http.Request) {
	select {
	case <-time.After(duration(r, "d", time.Second)):
		fmt.Fprintf(w, "slow answer of %s\n", a.container)
	case <-r.Context().Done():
		log.Printf("client left %s", r.RequestURI)
	}
}

// events sends one server-sent event at once and one every ?interval=, ?n=
// of them in all, default without end.
func (a *app) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	rc := http.NewResponseController(w)
	tick := time.NewTicker(duration(r, "interval", 100*time.Millisecond))
	defer tick.Stop()
	for i, n := 1, number(r, "n", 0); n == 0 || i <= n; i++ {
		fmt.Fprintf(w, "id: %d\ndata: %s\n\n", i, a.container)
		if rc.Flush() != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

// large sends ?n= bytes, default 1 MiB, without saying how many.
func (a *app) large(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/octet-stream")
	io.CopyN(w, endless{}, int64(number(r, "n", 1<<20)))
}

// upload answers with the length and the SHA-256 of the body.
func (a *app) upload(w http.ResponseWriter, r *http.Request) {
	sum := sha256.New()
	n, err := io.Copy(sum, r.Body)
	if err != nil {
		http.Error(w, "body broke off: "+err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "%d %s\n", n, hex.EncodeToString(sum.Sum(nil)))
}

// trailers sends a body and one trailer that was announced before it.
func (a *app) trailers(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Trailer", "X-Whoami-Trailer")
	io.WriteString(w, "see the trailer\n")
	w.Header().Set("X-Whoami-Trailer", "here")
}

// early sends 103 Early Hints before its answer.
func (a *app) early(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Link", "</style.css>; rel=preload; as=style")
	w.WriteHeader(http.StatusEarlyHints)
	io.WriteString(w, "after the hint\n")
}

// hoard takes ?n= MiB of memory, default 256, and keeps them for the request: a
// container with less gets killed.
func (a *app) hoard(w http.ResponseWriter, r *http.Request) {
	var kept [][]byte
	for range number(r, "n", 256) {
		kept = append(kept, bytes.Repeat([]byte{'x'}, 1<<20))
	}
	fmt.Fprintf(w, "kept %d MiB\n", len(kept))
}

// endless is a reader of the letter x.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

var idInMounts = regexp.MustCompile(`/containers/([0-9a-f]{64})/`)

// containerID finds the id in the mount table, where it is right under
// network_mode: host too; the host name is not. In another container's network
// namespace it is that container's: its /etc/hosts is mounted.
func containerID() string {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	if m := idInMounts.FindSubmatch(mounts); m != nil {
		return string(m[1])
	}
	return ""
}

func sortedNames(h http.Header) []string {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func duration(r *http.Request, key string, otherwise time.Duration) time.Duration {
	if d, err := time.ParseDuration(r.URL.Query().Get(key)); err == nil && d > 0 {
		return d
	}
	return otherwise
}

func number(r *http.Request, key string, otherwise int) int {
	if n, err := strconv.Atoi(r.URL.Query().Get(key)); err == nil && n >= 0 {
		return n
	}
	return otherwise
}

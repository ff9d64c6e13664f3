package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// BenchmarkHandshakes makes full handshakes with the proxy and with nginx, with
// one certificate (P-256) and one key exchange, and reports what the server's
// process spent on each. One run compares both; ratios are what counts.
func BenchmarkHandshakes(b *testing.B) {
	dir := b.TempDir()
	authority := newCA(b)
	authority.server(dir, "bench", "bench.localhost")
	servers := map[string]func(testing.TB, string) (addr string, pid int){"fairlead": fairleadFor, "nginx": nginxFor}
	for _, version := range []struct {
		name string
		tls  uint16
	}{{"TLS1.3", tls.VersionTLS13}, {"TLS1.2", tls.VersionTLS12}} {
		for _, name := range []string{"fairlead", "nginx"} {
			b.Run(version.name+"/"+name, func(b *testing.B) {
				addr, pid := servers[name](b, dir)
				config := &tls.Config{ServerName: "bench.localhost", InsecureSkipVerify: true, MinVersion: version.tls, MaxVersion: version.tls, CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256}}
				shake(b, addr, config, 200) // warm
				const n = 4000
				before, began := cpuOf(b, pid), time.Now()
				shake(b, addr, config, n)
				b.ReportMetric(float64((cpuOf(b, pid)-before).Microseconds())/n, "cpu-µs/handshake")
				b.ReportMetric(n/time.Since(began).Seconds(), "handshakes/s")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// shake makes n handshakes, four at a time, and returns how long each took.
func shake(t testing.TB, addr string, config *tls.Config, n int) (took []time.Duration) {
	t.Helper()
	var mu sync.Mutex
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for range n / 4 {
				began := time.Now()
				c, err := tls.Dial("tcp", addr, config)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				took = append(took, time.Since(began))
				mu.Unlock()
				c.Close()
			}
		})
	}
	clients.Wait()
	slices.Sort(took)
	return took
}

// fairleadFor runs the proxy with the certificate in dir.
func fairleadFor(t testing.TB, dir string) (addr string, pid int) {
	t.Helper()
	addr = freeAddr(t)
	routes := filepath.Join(t.TempDir(), "routes.yaml")
	text := fmt.Sprintf("bench: {host: bench.localhost, respond: 200 hello, tls: %q}\n", "file:"+dir+"/bench.pem,"+dir+"/bench.key")
	if err := os.WriteFile(routes, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, "https="+addr, "secrets-dir="+dir, "routes="+routes, "access-log=off", "acme-directory=off")
	return addr, p.pid
}

// nginxFor runs nginx with the same.
func nginxFor(t testing.TB, dir string) (addr string, pid int) {
	t.Helper()
	addr = freeAddr(t)
	home := t.TempDir()
	conf := filepath.Join(home, "nginx.conf")
	text := fmt.Sprintf("daemon off; master_process off; pid %[1]s/pid; error_log %[1]s/error.log; events { worker_connections 1024; }\n"+
		"http { access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;\n"+
		"server { listen %[2]s ssl; server_name bench.localhost; ssl_certificate %[3]s/bench.pem; ssl_certificate_key %[3]s/bench.key; ssl_protocols TLSv1.2 TLSv1.3; location / { return 200 hello; } } }\n", home, addr, dir)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("nginx", "-p", home, "-c", conf)
	if err := cmd.Start(); err != nil {
		t.Fatalf("nginx is needed to compare with (apt-get install nginx-light): %v", err)
	}
	t.Cleanup(func() { cmd.Process.Signal(syscall.SIGQUIT); cmd.Wait() })
	if err := poll(ready, func() error {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return addr, cmd.Process.Pid
}

// cpuOf returns the processor time that a process has used (proc(5)).
func cpuOf(t testing.TB, pid int) time.Duration {
	t.Helper()
	tasks, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/schedstat")
	if err != nil || len(tasks) == 0 {
		t.Fatalf("process %d: %v", pid, err)
	}
	var total time.Duration
	for _, task := range tasks {
		b, err := os.ReadFile(task)
		if err != nil {
			continue // a thread that ended
		}
		ns, _ := strconv.ParseInt(strings.Fields(string(b))[0], 10, 64)
		total += time.Duration(ns)
	}
	return total
}

// BenchmarkManyCertificates compares a proxy with one certificate to one with
// 5,000: memory for each, and the slowest handshakes.
func BenchmarkManyCertificates(b *testing.B) {
	const many = 5000
	dir := b.TempDir()
	authority := newCA(b)
	authority.server(dir, "bench", "bench.localhost")
	for _, n := range []int{1, many} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			addr := freeAddr(b)
			var text strings.Builder
			for i := range n {
				fmt.Fprintf(&text, "h%d: {host: h%d.bench.localhost, respond: 200 hello}\n", i, i)
			}
			routes := filepath.Join(b.TempDir(), "routes.yaml")
			if err := os.WriteFile(routes, []byte(text.String()), 0o644); err != nil {
				b.Fatal(err)
			}
			p := startProcess(b, "https="+addr, "routes="+routes, "access-log=off", "acme-directory=off", "log-level=error")
			config := func(i int) *tls.Config {
				return &tls.Config{ServerName: fmt.Sprintf("h%d.bench.localhost", i), InsecureSkipVerify: true, VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
					if c, err := x509.ParseCertificate(raw[0]); err != nil || len(c.DNSNames) != 1 {
						return fmt.Errorf("h%d got a certificate for %v, %v", i, c.DNSNames, err)
					}
					return nil
				}}
			}
			for range 400 {
				shake1(b, addr, config(0))
			}
			before := rssOf(b, p.pid)
			for i := range n {
				shake1(b, addr, config(i))
			}
			b.ReportMetric(float64(rssOf(b, p.pid)-before)/float64(n), "B/certificate")
			var took []time.Duration
			for i := range 4000 {
				took = append(took, shake1(b, addr, config(i*37%n)))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func shake1(t testing.TB, addr string, config *tls.Config) time.Duration {
	t.Helper()
	began := time.Now()
	c, err := tls.Dial("tcp", addr, config)
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	c.Close()
	return took
}

// rssOf returns the resident memory of a process, in bytes.
func rssOf(t testing.TB, pid int) int {
	t.Helper()
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// BenchmarkLabelToHTTPS measures from the start of a container to its first
// verified answer over HTTPS.
func BenchmarkLabelToHTTPS(b *testing.B) {
	https := freeAddr(b)
	p := &secured{startProcess(b, "https="+https, "access-log=off"), https}
	pool := x509.NewCertPool()
	root, err := os.ReadFile(p.root())
	if err != nil || !pool.AppendCertsFromPEM(root) {
		b.Fatal("no root", err)
	}
	var took []time.Duration
	for i := range 20 {
		host := fmt.Sprintf("l%d.localhost", i)
		id := docker(b, "create", "--name", unique(b, "l"), label("host", host), imageWhoami)
		b.Cleanup(func() { try("docker", "rm", "-f", "-v", id) })
		docker(b, "start", id)
		began := time.Now()
		if err := poll(ready, func() error {
			c, err := tls.Dial("tcp", https, &tls.Config{ServerName: host, RootCAs: pool})
			if err != nil {
				return err
			}
			defer c.Close()
			fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host)
			answer, err := io.ReadAll(c)
			if err == nil && !strings.HasPrefix(string(answer), "HTTP/1.1 200") {
				err = fmt.Errorf("%.40q", answer)
			}
			return err
		}); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "median-ms")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "worst-ms")
	b.ReportMetric(0, "ns/op")
}

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// secured is a proxy with an HTTPS listener.
type secured struct {
	*proxy
	https string // address of that listener
}

// withHTTPS is overlay with an HTTPS listener at https.
func withHTTPS(t testing.TB, addr, https string, images map[string]string) string {
	t.Helper()
	path := overlay(t, addr, images)
	replace(t, path, `FAIRLEAD_HTTPS: "off"`, fmt.Sprintf("FAIRLEAD_HTTPS: %q", https))
	return path
}

// securedQuickstart brings up the proxy of the quickstart, with HTTPS.
func securedQuickstart(t testing.TB, app *project) *secured {
	t.Helper()
	addr, https := freeAddr(t), freeAddr(t)
	proj := newProject(t, "proxy", example("quickstart/proxy/compose.yaml"),
		withHTTPS(t, addr, https, map[string]string{"fairlead": imageFairlead}), onlyProject(t, app))
	proj.do("up", "-d")
	p := &secured{inContainer(t, proj.container("fairlead"), addr), https}
	p.listens()
	return p
}

// root writes the internal authority's root into a file.
func (p *secured) root() string {
	p.t.Helper()
	r := p.cli("ca")
	path := filepath.Join(p.t.TempDir(), "root.pem")
	if err := os.WriteFile(path, []byte(r.Out), 0o644); err != nil || r.Code != 0 || !strings.Contains(r.Out, "BEGIN CERTIFICATE") {
		p.t.Fatalf("ca: exit code %d, %v: %s", r.Code, err, r.Out)
	}
	return path
}

// curl asks as a user would. host:443 leads to the HTTPS listener.
func (p *secured) curl(args ...string) (out string, err error) {
	p.t.Helper()
	_, port, _ := net.SplitHostPort(p.https)
	cmd := exec.Command("curl", append([]string{"-sS", "-m", "20", "--noproxy", "*", "--connect-to", "::127.0.0.1:" + port, "-w", "\n%{http_code} %{http_version} %{redirect_url}"}, args...)...)
	b, err := cmd.CombinedOutput()
	return string(b), err
}

// answers waits until url answers 200 over HTTPS, and returns what curl said.
func (p *secured) answers(args ...string) string {
	p.t.Helper()
	var out string
	eventually(p.t, soon, strings.Join(args, " ")+" answers", func() (err error) {
		if out, err = p.curl(args...); err == nil && !strings.Contains(out, "\n200 ") {
			err = fmt.Errorf("it says %s", out)
		}
		return err
	})
	return out
}

func TestExampleQuickstartOverHTTPS(t *testing.T) {
	app := newProject(t, "app", example("quickstart/app/compose.yaml"), overlay(t, "", map[string]string{"app": imageWhoami}))
	p := securedQuickstart(t, app)
	app.do("up", "-d")
	root := p.root()
	if out := p.answers("--cacert", root, "https://app.localhost/"); !strings.Contains(out, "X-Forwarded-Proto: https") || !strings.Contains(out, "\n200 2 ") {
		t.Errorf("over HTTPS: %s\nwant X-Forwarded-Proto https, and HTTP/2", out)
	}
	if out, err := p.curl("https://app.localhost/"); err == nil {
		t.Errorf("without the root: %s\nwant curl to refuse the certificate", out)
	}
	if out, err := p.curl("-k", "https://unknown.localhost/"); err != nil || !strings.Contains(out, "\n404 ") {
		t.Errorf("an unknown host: %s %v, want 404", out, err)
	}
	p.says([]string{"app.localhost", "internal", "valid"}, "certs")
	p.says([]string{"fairlead ca >", "Firefox", "localhost"}, "ca", "install-help")
	p.says([]string{"certificate: from the internal authority"}, "explain", "https://app.localhost/")

	// A kill loses neither root nor keys.
	docker(t, "kill", "-s", "KILL", p.name)
	docker(t, "start", p.name)
	p.listens()
	p.answers("--cacert", root, "https://app.localhost/")
}

// A browser with the root installed opens the quickstart without a warning, and
// one without it does not.
func TestABrowserTrustsTheQuickstart(t *testing.T) {
	app := newProject(t, "app", example("quickstart/app/compose.yaml"), overlay(t, "", map[string]string{"app": imageWhoami}))
	p := securedQuickstart(t, app)
	app.do("up", "-d")
	root := p.root()
	p.answers("--cacert", root, "https://app.localhost/")
	_, port, _ := net.SplitHostPort(p.https)
	open := func(home string) string {
		cmd := exec.Command("timeout", "60", "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
			"--no-proxy-server", "--user-data-dir="+filepath.Join(home, "profile"), "--dump-dom", "https://app.localhost:"+port+"/")
		cmd.Env = append(os.Environ(), "HOME="+home)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("chromium: %v", err)
		}
		return string(out)
	}
	trusting, wary := t.TempDir(), t.TempDir()
	db := filepath.Join(trusting, ".pki", "nssdb")
	if err := os.MkdirAll(db, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"-N", "--empty-password"}, {"-A", "-t", "C,,", "-n", "Fairlead", "-i", root}} {
		if out, err := exec.Command("certutil", append([]string{"-d", "sql:" + db}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("certutil %v: %v: %s", args, err, out)
		}
	}
	if dom := open(trusting); !strings.Contains(dom, "Hostname: ") {
		t.Errorf("with the root the browser shows:\n%.600s\nwant the app's page", dom)
	}
	if dom := open(wary); strings.Contains(dom, "Hostname: ") {
		t.Errorf("without the root the browser shows the app's page:\n%.600s\nwant its warning", dom)
	}
}

// testssl.sh finds nothing above LOW in protocols, ciphers and known holes.
func TestTestsslFindsNothing(t *testing.T) {
	app := newProject(t, "app", example("quickstart/app/compose.yaml"), overlay(t, "", map[string]string{"app": imageWhoami}))
	p := securedQuickstart(t, app)
	app.do("up", "-d")
	p.answers("--cacert", p.root(), "https://app.localhost/")
	_, port, _ := net.SplitHostPort(p.https)
	report := filepath.Join(t.TempDir(), "report.json")
	out, err := exec.Command("timeout", "400", "testssl", "--quiet", "--color", "0", "--warnings", "off", "--ip", "127.0.0.1", "--jsonfile", report,
		"--protocols", "--std", "--fs", "--vulnerable", "--hints", "app.localhost:"+port).CombinedOutput()
	data, readErr := os.ReadFile(report)
	var findings []struct{ ID, Severity, Finding string }
	if readErr != nil || json.Unmarshal(data, &findings) != nil || len(findings) < 30 {
		t.Fatalf("testssl: %v, %v, %d findings:\n%s", err, readErr, len(findings), tail(string(out), 40))
	}
	for _, f := range findings {
		switch f.Severity {
		case "OK", "INFO", "LOW", "DEBUG":
		case "WARN":
			t.Logf("%s: %s", f.ID, f.Finding) // could not be tested, mostly for want of an old OpenSSL
		default:
			t.Errorf("%s %s: %s", f.Severity, f.ID, f.Finding)
		}
	}
}

// A published port is where redirects lead, and where the chain ends.
func TestRedirectsLeadToThePublishedPort(t *testing.T) {
	dir := t.TempDir()
	ca := newCA(t)
	ca.server(dir, "shop", "shop.example.com")
	net1 := network(t)
	addr, https := freeAddr(t), freeAddr(t)
	proj := newProject(t, "proxy", composeFile(t, "compose.yaml", "services:\n  fairlead:\n    image: "+imageFairlead+"\n    networks: [shared]\n"+
		"    ports: [\""+addr+":80\", \""+https+":443\"]\n    environment:\n      FAIRLEAD_LOG_FORMAT: json\n      FAIRLEAD_ACME_DIRECTORY: \"off\"\n"+
		"    volumes:\n      - "+socketPath()+":/var/run/docker.sock\n      - "+dir+":/run/secrets:ro\n"+
		"networks:\n  shared:\n    external: true\n    name: "+net1+"\n"))
	proj.do("up", "-d")
	p := &secured{inContainer(t, proj.container("fairlead"), addr), https}
	p.listens()
	runApp(t, label("host", "shop.example.com"), label("tls", "file:/run/secrets/shop.pem,/run/secrets/shop.key"), "--network="+net1)
	_, plain, _ := net.SplitHostPort(addr)
	_, secure, _ := net.SplitHostPort(https)
	curl := func(args ...string) (string, error) {
		out, err := exec.Command("curl", append([]string{"-sS", "-m", "20", "--noproxy", "*", "--cacert", filepath.Join(dir, "ca.pem"), "-D", "-",
			"--resolve", "shop.example.com:" + plain + ":127.0.0.1", "--resolve", "shop.example.com:" + secure + ":127.0.0.1"}, args...)...).CombinedOutput()
		return string(out), err
	}
	first := "http://shop.example.com:" + plain + "/a%2Fb?c=d"
	eventually(t, soon, "plain HTTP is redirected to the published port", func() error {
		out, err := curl(first)
		if want := "https://shop.example.com:" + secure + "/a%2Fb?c=d"; err == nil && (!strings.Contains(out, "308") || !strings.Contains(out, want) || !strings.Contains(strings.ToLower(out), "cache-control: no-store")) {
			err = fmt.Errorf("it says %s, want 308 to %s, not to be stored", out, want)
		}
		return err
	})
	eventually(t, soon, "the chain ends at the app", func() error {
		out, err := curl("--location", first)
		if err == nil && !strings.Contains(out, "Target: /a%2Fb?c=d") {
			err = fmt.Errorf("it ends with %s", out)
		}
		return err
	})
}

func TestExampleOwnCertificate(t *testing.T) {
	dir := copied(t, "own-certificate")
	ca := newCA(t)
	ca.server(filepath.Join(dir, "secrets"), "shop", "shop.localhost")
	addr, https := freeAddr(t), freeAddr(t)
	proj := newProject(t, "own", filepath.Join(dir, "compose.yaml"), withHTTPS(t, addr, https, map[string]string{"fairlead": imageFairlead, "shop": imageWhoami}))
	proj.files = append(proj.files, onlyProject(t, proj))
	proj.do("up", "-d")
	p := &secured{inContainer(t, proj.container("fairlead"), addr), https}
	p.listens()
	p.answers("--cacert", filepath.Join(dir, "secrets", "ca.pem"), "https://shop.localhost/")
	// Replaced while it runs.
	other := newCA(t)
	other.server(filepath.Join(dir, "secrets"), "shop", "shop.localhost")
	p.answers("--cacert", filepath.Join(dir, "secrets", "ca.pem"), "https://shop.localhost/")
	p.says([]string{"shop.localhost", "file", "valid"}, "certs")
}

func TestExampleMutualTLS(t *testing.T) {
	dir := copied(t, "mutual-tls")
	clients, strangers := newCA(t), newCA(t)
	if err := os.MkdirAll(filepath.Join(dir, "secrets"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "secrets", "clients-ca.pem"), encode("CERTIFICATE", clients.cert.Raw), 0o644); err != nil {
		t.Fatal(err)
	}
	clients.client(dir, "alice")
	strangers.client(dir, "mallory")
	addr, https := freeAddr(t), freeAddr(t)
	proj := newProject(t, "mutual", filepath.Join(dir, "compose.yaml"), withHTTPS(t, addr, https, map[string]string{"fairlead": imageFairlead, "vault": imageWhoami}))
	proj.files = append(proj.files, onlyProject(t, proj))
	proj.do("up", "-d")
	p := &secured{inContainer(t, proj.container("fairlead"), addr), https}
	p.listens()
	root := p.root()
	as := func(name string, more ...string) []string {
		return append([]string{"--cacert", root, "--cert", filepath.Join(dir, name+".pem"), "--key", filepath.Join(dir, name+".key"), "https://vault.localhost/"}, more...)
	}
	p.answers(as("alice")...)
	p.answers(as("alice", "--http1.1")...)
	for what, args := range map[string][]string{
		"without a certificate": {"--cacert", root, "https://vault.localhost/"}, "with a stranger's": as("mallory"), "with TLS 1.2": as("alice", "--tls-max", "1.2"),
	} {
		if out, err := p.curl(args...); err == nil {
			t.Errorf("%s: %s\nwant no answer", what, out)
		}
	}
	if out, err := p.curl("-k", "-H", "Host: vault.localhost", "https://other.localhost/"); err != nil || !strings.Contains(out, "\n421 ") {
		t.Errorf("over another name's connection: %s %v, want 421", out, err)
	}
	if a, err := p.get("vault.localhost", "/"); err != nil || a.Status == 200 {
		t.Errorf("over plain HTTP: %v %v, want no way in", a, err)
	}
}

// There is no internet here, so that what is shown is what is in the way.
func TestExamplePublicSite(t *testing.T) {
	addr, https := freeAddr(t), freeAddr(t)
	proj := newProject(t, "public", example("public-site/compose.yaml"), withHTTPS(t, addr, https, map[string]string{"fairlead": imageFairlead, "site": imageWhoami}))
	proj.files = append(proj.files, onlyProject(t, proj))
	proj.do("up", "-d")
	p := &secured{inContainer(t, proj.container("fairlead"), addr), https}
	p.listens()
	p.answers("-k", "https://www.example.com/")
	if a, err := p.get("www.example.com", "/"); err != nil || a.Status != 307 {
		t.Errorf("plain HTTP while there is no certificate: %v %v, want 307", a, err)
	}
	eventually(t, ready, "certs says what is in the way", func() error {
		r := p.cli("certs")
		for _, part := range []string{"www.example.com", "example.com", "acme-staging-v02.api.letsencrypt.org", "waiting", "→"} {
			if !strings.Contains(r.Out, part) {
				return fmt.Errorf("it does not say %q:\n%s", part, r.Out)
			}
		}
		return nil
	})
}

// The root outlives a restart, and so does what it signed.
func TestKeysOutliveTheProxy(t *testing.T) {
	https := freeAddr(t)
	dir := t.TempDir()
	p := &secured{startProcess(t, "https="+https, "data-dir="+dir), https}
	before, err := os.ReadFile(p.root())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.stop(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	again := &secured{startProcess(t, "https="+https, "data-dir="+dir), https}
	after, err := os.ReadFile(again.root())
	if err != nil || string(before) != string(after) {
		t.Errorf("after a restart the root is another one (%v)", err)
	}
}

// copied is an example in a directory of the test's own.
func copied(t testing.TB, name string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(example(name))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A ca signs certificates for tests.
type ca struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCA(t testing.TB) *ca {
	t.Helper()
	c := &ca{t: t}
	c.cert, c.key = c.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "test " + strconv.FormatInt(time.Now().UnixNano(), 36)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return c
}

func (c *ca) sign(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	c.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	template.SerialNumber, _ = rand.Int(rand.Reader, big.NewInt(1<<62))
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	parent, signer := c.cert, c.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		c.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		c.t.Fatal(err)
	}
	return cert, key
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// write puts a certificate and its key into dir, and the ca beside them. The
// proxy reads them as user 65532.
func (c *ca) write(dir, name string, cert *x509.Certificate, key *ecdsa.PrivateKey) {
	c.t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	for file, data := range map[string][]byte{name + ".key": encode("PRIVATE KEY", der), name + ".pem": encode("CERTIFICATE", cert.Raw), "ca.pem": encode("CERTIFICATE", c.cert.Raw)} {
		path := filepath.Join(dir, file)
		if err == nil {
			err = os.WriteFile(path+".new", data, 0o644)
		}
		if err == nil {
			err = os.Rename(path+".new", path)
		}
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *ca) server(dir, name, host string) {
	c.t.Helper()
	cert, key := c.sign(&x509.Certificate{DNSNames: []string{host}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	c.write(dir, name, cert, key)
}

func (c *ca) client(dir, name string) {
	c.t.Helper()
	cert, key := c.sign(&x509.Certificate{Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	c.write(dir, name, cert, key)
}

// Keys that cannot be saved are served from memory, and that is said.
func TestADataDirectoryThatTakesNothingStopsNothing(t *testing.T) {
	for name, flags := range map[string][]string{
		"full":      {"--tmpfs=/var/lib/fairlead:size=4k"},
		"read-only": {"-v=" + t.TempDir() + ":/var/lib/fairlead:ro"},
	} {
		t.Run(name, func(t *testing.T) {
			addr, https := freeAddr(t), freeAddr(t)
			c := runImage(t, imageFairlead, append(flags, "--network=host", "-v="+socketPath()+":/var/run/docker.sock",
				"-e=FAIRLEAD_HTTP="+addr, "-e=FAIRLEAD_HTTPS="+https, "-e=FAIRLEAD_LOG_FORMAT=json")...)
			p := &secured{inContainer(t, c.ID, addr), https}
			p.listens()
			host := unique(t, "kept") + ".localhost"
			runApp(t, label("host", host))
			p.answers("-k", "https://"+host+"/")
			if out, err := p.curl("-kv", "https://"+host+"/"); err != nil || !strings.Contains(out, "CN=Fairlead internal CA") {
				t.Errorf("the certificate: %s %v, want one of the internal authority", out, err)
			}
			p.logged("could not be saved", "served from memory")
		})
	}
}

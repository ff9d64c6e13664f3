package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fairlead/fairlead/internal/acmetest"
)

// A situation is what a compose file cannot say. Each func may be nil.
type situation struct {
	starts  bool              // prepare starts the proxy, or not even that
	prepare func(r *mistaken) // before the project is brought up
	up      func(r *mistaken) // brings it up, instead of `compose up`
	then    func(r *mistaken) // once it is up
	repair  func(r *mistaken) // once it is up again, with what the file says is the fix
}

var situations = map[string]situation{
	"": {},

	// The app.
	"it is stopped": {then: stopApp, repair: nothing},
	"one-off":       {up: runOneOff, repair: nothing},

	// Where the proxy is.
	"the proxy is in the file":    {starts: true, then: proxyOfFile, repair: proxyOfFileListens},
	"the proxy is on a network":   {starts: true, prepare: proxyOnNetwork},
	"the proxy is in a container": {starts: true, prepare: proxyInContainer, repair: proxyWithVolume},
	"another proxy runs":          {prepare: secondProxy, repair: noSecondProxy},

	// What the proxy needs of the machine.
	"the port is taken":    {starts: true, prepare: portTaken, repair: portFree},
	"no engine":            {starts: true, prepare: noEngine, repair: engineThere},
	"a variable of a typo": {starts: true, prepare: wrongVariable, repair: rightVariable},
	"the disk is full":     {starts: true, prepare: diskFull, repair: diskLarger},

	// Certificates.
	"no certificate":             {repair: func(r *mistaken) { r.certificate("shop", "shop", thisYear) }},
	"a certificate of tomorrow":  {prepare: func(r *mistaken) { r.certificate("shop", "shop", nextYear) }, repair: func(r *mistaken) { r.certificate("shop", "shop", thisYear) }},
	"a certificate of last year": {prepare: func(r *mistaken) { r.certificate("shop", "shop", lastYear) }, repair: func(r *mistaken) { r.certificate("shop", "shop", thisYear) }},
	"a key of another":           {prepare: keyOfAnother, repair: func(r *mistaken) { r.certificate("shop", "shop", thisYear) }},
	"an authority":               {starts: true, prepare: func(r *mistaken) { anAuthority(r) }},
	"an authority that refuses":  {starts: true, prepare: refusingAuthority, then: orderAnyway},
	"the name leads elsewhere":   {starts: true, prepare: nameElsewhere},
}

// nothing: bringing the project up again is the fix.
func nothing(*mistaken) {}

// stopApp stops the service web.
func stopApp(r *mistaken) { r.projects[""].do("stop", "-t", "1", "web") }

// runOneOff starts the service web as `compose run` does.
func runOneOff(r *mistaken) {
	id := r.projects[""].do("run", "-d", "web")
	r.known["one-off"] = strings.TrimSpace(id[strings.LastIndex(id, "\n")+1:])
}

// proxyOfFile: the proxy is a service of the file. It need not get far.
func proxyOfFile(r *mistaken) {
	p := r.projects[""]
	ids := p.every("fairlead")
	if len(ids) != 1 {
		r.t.Fatalf("the file has %d proxies, want 1", len(ids))
	}
	r.proxy = &front{proxy: inContainer(r.t, ids[0], r.known["addr"]), https: r.known["https"]}
}

func proxyOfFileListens(r *mistaken) {
	proxyOfFile(r)
	r.proxy.listens()
}

// proxyOnNetwork runs the proxy on the network that a file calls {edge}.
func proxyOnNetwork(r *mistaken) {
	r.known["edge"] = network(r.t)
	r.write()
	r.proxy = &front{proxy: startOnNetwork(r.t, r.known["edge"], oneSetting(r.settings())...)}
}

func proxyInContainer(r *mistaken) {
	r.proxy = &front{proxy: startContainer(r.t, oneSetting(r.settings())...)}
}

// proxyWithVolume replaces the proxy by one that has the line of the advice.
func proxyWithVolume(r *mistaken) {
	volume := r.projects[""].Name + "_static"
	addr := freeAddr(r.t)
	r.proxy = &front{proxy: composeProxy(r.t, addr, append([]string{"http=" + addr}, oneSetting(r.settings())...),
		"    network_mode: host\n", "      - "+volume+":/srv/"+volume+":ro\n", "  "+volume+": {external: true}\n")}
}

// oneSetting joins the projects of settings, as a variable takes them.
func oneSetting(settings []string) (out []string) {
	var projects []string
	for _, s := range settings {
		if name, ok := strings.CutPrefix(s, "project="); ok {
			projects = append(projects, name)
			continue
		}
		out = append(out, s)
	}
	if projects != nil {
		out = append(out, "project="+strings.Join(projects, ","))
	}
	return out
}

func secondProxy(r *mistaken) {
	r.own() // limited to no project, or it would not see the other
	other := startContainer(r.t)
	r.known["second"] = strings.TrimPrefix(docker(r.t, "inspect", "-f", "{{.Name}}", other.name), "/")
	r.undo = func() { docker(r.t, "stop", "-t", "1", other.name) }
}

func noSecondProxy(r *mistaken) {
	r.undo()
	eventually(r.t, soon, "the other proxy is forgotten", func() error {
		if out := r.proxy.cli("routes").Out; strings.Contains(out, "second-proxy") {
			return os.ErrExist
		}
		return nil
	})
}

// portTaken: another program has the port of the proxy.
func portTaken(r *mistaken) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { l.Close() })
	r.undo = func() { l.Close() }
	r.known["addr"] = l.Addr().String()
	r.proxy = spawnMistaken(r.t, append([]string{"http=" + r.known["addr"], "acme-directory=off"}, r.settings()...)...)
}

func portFree(r *mistaken) {
	r.undo()
	r.proxy = spawnMistaken(r.t, append([]string{"http=" + r.known["addr"], "acme-directory=off"}, r.settings()...)...)
	r.proxy.addr = r.known["addr"]
	r.proxy.listens()
}

func noEngine(r *mistaken) {
	r.known["socket"] = filepath.Join(r.dir, "docker.sock")
	r.proxy = spawnMistaken(r.t, append([]string{"DOCKER_HOST=unix://" + r.known["socket"]}, r.settings()...)...)
}

func engineThere(r *mistaken) {
	relay(r.t, r.known["socket"])
	r.proxy.listens()
}

func wrongVariable(r *mistaken) {
	r.proxy = spawnMistaken(r.t, append([]string{"acme-emial=me@example.com"}, r.settings()...)...)
}

func rightVariable(r *mistaken) {
	r.proxy = startMistaken(r.t, append([]string{"acme-email=me@example.com", "acme-directory=off"}, r.settings()...)...)
}

// diskFull: the data directory has no room left.
func diskFull(r *mistaken) {
	data := filepath.Join(r.dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		r.t.Fatal(err)
	}
	run(r.t, "mount", "-t", "tmpfs", "-o", "size=16k,mode=0700", "none", data)
	r.t.Cleanup(func() { run(r.t, "umount", "-l", data) })
	if err := os.WriteFile(filepath.Join(data, "full"), make([]byte, 1<<20), 0o600); err == nil {
		r.t.Fatal("the disk is not full")
	}
	r.proxy = startMistaken(r.t, append([]string{"data-dir=" + data, "acme-directory=off"}, r.settings()...)...)
}

func diskLarger(r *mistaken) {
	run(r.t, "mount", "-o", "remount,size=8m", filepath.Join(r.dir, "data"))
}

// When a certificate is valid.
type when struct{ from, to time.Duration }

const year = 365 * 24 * time.Hour

var (
	lastYear = when{-2 * year, -year}
	thisYear = when{-time.Hour, year}
	nextYear = when{year, 2 * year}
)

// certificate writes NAME.crt and KEY.key for the host {host} of the mistake.
func (r *mistaken) certificate(name, keyName string, w when) {
	r.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		r.t.Fatal(err)
	}
	host, now := r.m.name+".localhost", time.Now()
	c := &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, NotBefore: now.Add(w.from), NotAfter: now.Add(w.to)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		r.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		r.t.Fatal(err)
	}
	for file, b := range map[string]*pem.Block{name + ".crt": {Type: "CERTIFICATE", Bytes: der}, keyName + ".key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(r.dir, file), pem.EncodeToMemory(b), 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
}

func keyOfAnother(r *mistaken) {
	r.certificate("other", "shop", thisYear)
	r.certificate("shop", "other", thisYear)
}

// anAuthority runs the proxy with an ACME authority of the test's own.
func anAuthority(r *mistaken) *acmetest.CA {
	ca := acmetest.New(r.t, acmetest.Options{HTTPPort: 1, TLSPort: 1})
	bundle := filepath.Join(r.dir, "bundle.pem")
	if err := os.WriteFile(bundle, ca.Bundle(), 0o600); err != nil {
		r.t.Fatal(err)
	}
	r.proxy = startMistaken(r.t, append([]string{"acme-directory=" + ca.Directory, "acme-ca-bundle=" + bundle}, r.settings()...)...)
	return ca
}

func refusingAuthority(r *mistaken) {
	anAuthority(r).SetFault(func(kind string, _ int) *acmetest.Fault {
		if kind != "order" {
			return nil
		}
		return &acmetest.Fault{Status: 429, Type: "rateLimited", Detail: "too many certificates already issued for this exact set of names", RetryAfter: "3600"}
	})
}

// orderAnyway orders what the proxy would not, as nothing leads to it here.
func orderAnyway(r *mistaken) {
	host := strings.TrimSuffix(strings.TrimPrefix(r.m.requests[0].url, "https://"), "/")
	eventually(r.t, soon, "the certificate can be ordered", func() error {
		if got := r.proxy.cli("certs", "retry", host); got.Code != 0 {
			return os.ErrNotExist
		}
		return nil
	})
}

// nameElsewhere runs the proxy where the name of the mistake leads to another
// web server.
func nameElsewhere(r *mistaken) {
	net := network(r.t)
	r.known["edge"] = net
	other := runApp(r.t, "--network", net)
	r.known["elsewhere"] = docker(r.t, "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", other.Name)
	addr := freeAddr(r.t)
	r.proxy = &front{proxy: composeProxy(r.t, addr, append([]string{"https=:443", "acme-directory=https://127.0.0.1:1/dir"}, oneSetting(r.settings())...),
		"    networks: [shared]\n    ports: [\""+addr+":80\"]\n    extra_hosts: [\""+r.m.name+".example.com:"+r.known["elsewhere"]+"\"]\n",
		"networks:\n  shared:\n    external: true\n    name: "+net+"\n")}
}

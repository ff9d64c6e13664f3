package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// making has whoami make files before it listens, as an app does that collects
// its static files at start: in its own file system, and on mounts.
func making(files ...string) string { return "--env=WHOAMI_FILES=" + strings.Join(files, "\n") }

// runFiles starts whoami with these files in /app/static and their label, and
// returns its host too.
func runFiles(t testing.TB, flags ...string) (c *container, host string) {
	t.Helper()
	host = unique(t, "files") + ".localhost"
	return runApp(t, append([]string{label("host", host), label("static", "/static/:/app/static")}, flags...)...), host
}

// file waits until a path of host is answered with a file of that content, and
// not by the app.
func (p *proxy) file(host, target, content string) answer {
	p.t.Helper()
	var a answer
	eventually(p.t, ready, host+target+" is "+content, func() (err error) {
		if a, err = p.get(host, target); err == nil && (a.Status != 200 || a.Body != content || a.Container() != "") {
			err = fmt.Errorf("got %v", a)
		}
		return err
	})
	return a
}

// byApp waits until the app answers for a path.
func (p *proxy) byApp(host, target string) {
	p.t.Helper()
	eventually(p.t, ready, "the app answers for "+target, func() error {
		a, err := p.get(host, target)
		if err == nil && a.Container() == "" {
			err = fmt.Errorf("got %v", a)
		}
		return err
	})
}

// archives is how often the proxy has read files out of containers.
func (p *proxy) archives(dataDir string) (n int) {
	p.t.Helper()
	out := run(p.t, "curl", "-sS", "--unix-socket", filepath.Join(dataDir, "admin.sock"), "http://fairlead/status")
	var status struct {
		Engine struct{ Calls map[string]int }
	}
	if err := json.Unmarshal([]byte(out), &status); err != nil {
		p.t.Fatal(err)
	}
	return status.Engine.Calls["archive"]
}

func TestFilesOfTheImageAreCopiedAndServed(t *testing.T) {
	inBothModes(t, func(t *testing.T, p *proxy) {
		_, host := runFiles(t, making("/app/static/app.3f9c2a1b.js=let a", "/app/static/css/a.css:20k", "/app/static/.env=SECRET"))
		a := p.file(host, "/static/app.3f9c2a1b.js", "let a")
		for name, want := range map[string]string{
			"Cache-Control": "public, max-age=31536000, immutable", "Content-Type": "text/javascript; charset=utf-8", "X-Content-Type-Options": "nosniff", "Accept-Ranges": "bytes",
		} {
			if got := a.Header.Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		p.byApp(host, "/static/none.js")
		p.byApp(host, "/static/.env")
		for _, coding := range []string{"zstd", "br", "gzip"} {
			eventually(t, ready, "the style sheet is compressed with "+coding, func() error {
				out, err := try("curl", "-sS", "-o", os.DevNull, "-D", "-", "-H", "Accept-Encoding: "+coding, "-H", "Host: "+host, "http://"+p.addr+"/static/css/a.css")
				if err == nil {
					err = contains(out, "Content-Encoding: "+coding, "Vary: Accept-Encoding")
				}
				return err
			})
		}
		if out := run(t, "curl", "-sS", "-i", "-r", "4-", "-H", "Host: "+host, "http://"+p.addr+"/static/app.3f9c2a1b.js"); contains(out, "206 Partial Content", "Content-Range: bytes 4-4/5") != nil || !strings.HasSuffix(out, "\r\n\r\na") {
			t.Errorf("a part of the file: %s", out)
		}
		p.says([]string{"files in /app/static: archive", "3 files", "copied", "out of"}, "routes")
		p.says([]string{"200: a file of the route", "found: text/css"}, "explain", "http://"+host+"/static/css/a.css")
		p.says([]string{"none answers this, so it is the app's"}, "explain", "http://"+host+"/static/none.css")
	})
}

// A proxy on the host reads what lies on a mount where it lies, what changes too;
// a volume within the directory is read where that lies.
func TestFilesOfMountsAreReadLive(t *testing.T) {
	p := startProcess(t)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	volume := unique(t, "media")
	docker(t, "volume", "create", volume)
	t.Cleanup(func() { try("docker", "volume", "rm", "-f", volume) })
	_, host := runFiles(t, "-v", dir+":/app/static/bind", "-v", volume+":/app/static/media",
		label("static", "/static/:/app/static,/up/:/app/static/media/up"),
		making("/app/static/a.txt=image", "/app/static/bind/b.txt=bind", "/app/static/media/up/c.txt=volume"))
	p.file(host, "/static/a.txt", "image")
	p.file(host, "/static/bind/b.txt", "bind")
	p.file(host, "/static/media/up/c.txt", "volume")
	p.file(host, "/up/c.txt", "volume")
	for _, content := range []string{"changed", "once more"} {
		if err := os.WriteFile(filepath.Join(dir, "b.txt"), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		p.file(host, "/static/bind/b.txt", content)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "evil.txt")); err != nil {
		t.Fatal(err)
	}
	p.byApp(host, "/static/bind/evil.txt")
	p.says([]string{"archive", "volume (" + dir + " of the host", "volume (the volume " + volume}, "routes")
}

// A proxy in a container is told which line it lacks, and with it has the volume.
func TestVolumesThatTheProxyLacksAreExplained(t *testing.T) {
	volume := unique(t, "media")
	docker(t, "volume", "create", volume)
	t.Cleanup(func() { try("docker", "volume", "rm", "-f", volume) })
	_, host := runFiles(t, "-v", volume+":/app/static", making("/app/static/a.txt=volume"))
	p := startContainer(t)
	p.byApp(host, "/static/a.txt")
	line := "- " + volume + ":/srv/" + volume + ":ro"
	p.says([]string{"static-not-shared", line, "external: true"}, "routes")
	p.logged("static-not-shared", volume)

	addr := freeAddr(t)
	with := composeProxy(t, addr, []string{"http=" + addr}, "    network_mode: host\n", "      "+line+"\n", "  "+volume+": {external: true}\n")
	with.file(host, "/static/a.txt", "volume")
	with.says([]string{"volume (the volume " + volume + ", which the proxy has at /srv/" + volume}, "routes")
}

// Pages that were opened before a deploy ask for files of former containers, and
// those of the new one are asked for at once.
func TestADeployLosesNoFile(t *testing.T) {
	p := startProcess(t)
	name := unique(t, "deploy")
	host := name + ".localhost"
	start := func(n int) *container {
		return runApp(t, label("host", host), label("static", "/static/:/app/static"), label("static.fallback", "404"), "--label=com.docker.compose.project="+name, "--label=com.docker.compose.service=web",
			making(fmt.Sprintf("/app/static/app.%08d.js=%d", n, n), fmt.Sprintf("/app/static/same.js=%d", n)), fmt.Sprintf("--env=WHOAMI_VERSION=%d", n))
	}
	last := start(1)
	p.file(host, "/static/app.00000001.js", "1")
	ctx, cancel := context.WithCancel(t.Context())
	missed, asked := make(chan string, 1), make(chan int, 1)
	go func() {
		n := 0
		for ; ctx.Err() == nil; n++ {
			a, err := p.get(host, "/static/app.00000001.js")
			if err != nil || a.Status != 200 || a.Body != "1" {
				missed <- fmt.Sprint(a, " ", err)
				break
			}
		}
		asked <- n
	}()
	for n := 2; n <= 4; n++ {
		next := start(n)
		p.servedByVersion(host, fmt.Sprint(n))
		// A page of the new container names this file.
		if a, err := p.get(host, fmt.Sprintf("/static/app.%08d.js", n)); err != nil || a.Status != 200 || a.Body != fmt.Sprint(n) {
			t.Errorf("the new file at once: %v, %v", a, err)
		}
		last.do("stop")
		last.do("rm")
		last = next
		p.file(host, "/static/same.js", fmt.Sprint(n))
	}
	cancel()
	n := <-asked
	select {
	case a := <-missed:
		t.Errorf("the old file after %d requests: %s", n, a)
	default:
	}
	if n < 100 {
		t.Errorf("the old file was asked for %d times, want more", n)
	}
}

// What is published outlives the proxy, however it ends, and is not read again.
func TestCopiedFilesOutliveTheProxy(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	var flags []string
	for i := range 200 {
		flags = append(flags, fmt.Sprintf("/app/static/%03d.css:%dk", i, 1+i%40))
	}
	_, host := runFiles(t, making(flags...))
	whole := func(p *proxy) {
		t.Helper()
		for _, i := range []int{0, 99, 199} {
			eventually(t, ready, "file served whole", func() error {
				a, err := p.get(host, fmt.Sprintf("/static/%03d.css", i))
				if err == nil && (a.Status != 200 || a.Container() != "" || len(a.Body) != (1+i%40)<<10) {
					err = fmt.Errorf("got %d with %d bytes", a.Status, len(a.Body))
				}
				return err
			})
		}
	}
	for range 10 {
		p := spawn(t, "data-dir="+data)
		pass(time.Duration(rand.IntN(400)) * time.Millisecond)
		p.stop(syscall.SIGKILL)
	}
	p := startProcess(t, "data-dir="+data)
	whole(p)
	p.stop(syscall.SIGTERM)
	again := startProcess(t, "data-dir="+data)
	whole(again)
	if n := again.archives(data); n != 0 {
		t.Errorf("got %d reads after a restart, want none", n)
	}
}

// The engine holds a lock of a container that is copied. To stop it takes hardly
// longer than without.
func TestThreat51StopDoesNotWaitForACopy(t *testing.T) {
	p := startProcess(t)
	c, _ := runFiles(t, making("/app/static/large.bin:200m"))
	eventually(t, ready, "the copy begins", func() error {
		return contains(p.cli("routes").Out, "being copied out of "+c.Name)
	})
	began := time.Now()
	c.do("stop")
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("docker stop took %v during a copy", took)
	}
}

func TestLabelsThatPointAtWhatMustNotBeServed(t *testing.T) {
	p := startProcess(t)
	for _, tt := range []struct{ dir, says string }{
		{"/", "contains /run"}, {"/proc", "/proc"}, {"/run/secrets", "/run"}, {"/var/run/docker.sock", "/var/run"}, {"/dev", "/dev"}, {"/sys/kernel", "/sys"},
		{"app/static", "does not begin with /"}, {"/app/../app/static", "dot segments"},
	} {
		t.Run(tt.dir, func(t *testing.T) {
			c, host := runFiles(t, label("static", "/static/:"+tt.dir), making("/app/static/a.txt=a"))
			p.says([]string{c.Name, tt.says}, "routes")
			p.byApp(host, "/static/a.txt")
			p.byApp(host, "/static/version")
		})
	}
	for _, tt := range []struct{ dir, says string }{{"/app/none", "has no directory /app/none"}, {"/app/static/a.txt", "is a file, not a directory"}} {
		t.Run(tt.dir, func(t *testing.T) {
			c, host := runFiles(t, label("static", "/static/:"+tt.dir), making("/app/static/a.txt=a"))
			p.says([]string{c.Name, tt.says}, "routes")
			p.logged(c.Name, tt.says)
			p.byApp(host, "/static/a.txt")
		})
	}
}

// A container that is gone before it was copied is no fault of the next.
func TestContainersMayGoDuringTheirCopy(t *testing.T) {
	p := startProcess(t)
	for range 3 {
		c, _ := runFiles(t, making("/app/static/large.bin:200m"))
		eventually(t, ready, "the copy begins", func() error { return contains(p.cli("routes").Out, "being copied out of "+c.Name) })
		docker(t, "rm", "-f", c.Name)
	}
	_, host := runFiles(t, making("/app/static/a.txt=a"))
	p.file(host, "/static/a.txt", "a")
}

// Replicas of one image have their files on disk once.
func TestReplicasAreStoredOnce(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	p := startProcess(t, "data-dir="+data)
	name := unique(t, "replicas")
	for range 3 {
		runApp(t, label("host", name+".localhost"), label("static", "/static/:/app/static"), "--label=com.docker.compose.project="+name, "--label=com.docker.compose.service=web", making("/app/static/a.bin:64k", "/app/static/b.txt=b"))
	}
	p.file(name+".localhost", "/static/b.txt", "b")
	eventually(t, ready, "all three are copied", func() error {
		if n := strings.Count(p.logs(), "files copied out of container"); n < 3 {
			return fmt.Errorf("got %d copies", n)
		}
		return nil
	})
	// Neither file is of a kind that is compressed.
	blobs, err := filepath.Glob(filepath.Join(data, "assets/blobs/*/*"))
	if err != nil || len(blobs) != 2 {
		t.Errorf("got %d files in the store, %v, want the two: %v", len(blobs), err, blobs)
	}
}

// On a disk that is full nothing is published by halves, and what was published
// before is served.
func TestAFullDiskIsExplained(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	run(t, "mount", "-t", "tmpfs", "-o", "size=4m", "none", data)
	t.Cleanup(func() { run(t, "umount", "-l", data) })
	p := startProcess(t, "data-dir="+data)
	_, small := runFiles(t, making("/app/static/a.txt=a"))
	p.file(small, "/static/a.txt", "a")
	c, large := runFiles(t, making("/app/static/a.txt=a", "/app/static/large.bin:9m"))
	p.says([]string{"static-store", c.Name, "no space left on device"}, "routes")
	p.byApp(large, "/static/a.txt")
	p.file(small, "/static/a.txt", "a")
}

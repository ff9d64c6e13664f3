package discovery

import (
	"context"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"

	"github.com/fairlead/fairlead/internal/dockertest"
	"github.com/fairlead/fairlead/spec"
)

func TestMountsAreRead(t *testing.T) {
	e := dockertest.New(t)
	e.Run(dockertest.Container{Name: "web", Mounts: []container.MountPoint{
		{Type: mount.TypeVolume, Name: "shop_media", Source: "/var/lib/docker/volumes/shop_media/_data", Destination: "/app/media/"},
		{Type: mount.TypeBind, Source: "/srv/site", Destination: "/app"},
	}})
	self := e.Run(dockertest.Container{Name: "proxy", Mounts: []container.MountPoint{{Type: mount.TypeBind, Source: "/srv", Destination: "/srv"}}})
	w := run(t, e, func(c *Config) { c.SelfID = func() string { return self } })
	s := w.until("mounts", func(s spec.Snapshot) bool {
		web := find(s, "web")
		return web != nil && !web.MountsUnknown && len(s.Self.Mounts) > 0
	})
	want := []spec.Mount{
		{At: "/app", Kind: "bind", Host: "/srv/site"},
		{At: "/app/media", Kind: "volume", Volume: "shop_media", Host: "/var/lib/docker/volumes/shop_media/_data"},
	}
	if got := find(s, "web").Mounts; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, want := s.Self.Mounts, []spec.Mount{{At: "/srv", Kind: "bind", Host: "/srv"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v of the proxy, want %+v", got, want)
	}
}

// A container of which only a list told has mounts that nobody knows.
func TestMountsOfAListAreUnknown(t *testing.T) {
	e := dockertest.New(t)
	e.Run(dockertest.Container{Name: "web"})
	w := run(t, e, func(c *Config) { c.Wants = func(map[string]string) bool { return false } })
	if web := find(w.first(), "web"); !web.MountsUnknown {
		t.Errorf("got %+v, want that its mounts are unknown", web)
	}
}

func TestMountsOfTheRequest(t *testing.T) {
	c := container.InspectResponse{
		ContainerJSONBase: &container.ContainerJSONBase{HostConfig: &container.HostConfig{
			Tmpfs: map[string]string{"/app/tmp": "size=1m", "/app/old": ""},
			Mounts: []mount.Mount{
				{Type: mount.TypeVolume, Source: "data", Target: "/app/data", VolumeOptions: &mount.VolumeOptions{Subpath: "public/site"}},
				{Type: mount.TypeVolume, Source: "nfs", Target: "/app/nfs", VolumeOptions: &mount.VolumeOptions{Subpath: "a"}},
			},
		}},
		Mounts: []container.MountPoint{
			{Type: mount.TypeVolume, Name: "data", Source: "/volumes/data/_data", Destination: "/app/data"},
			{Type: mount.TypeVolume, Name: "nfs", Destination: "/app/nfs"},
			{Type: mount.TypeVolume, Name: "old", Source: "/volumes/old/_data", Destination: "/app/old"}, // of the image, under the tmpfs
		},
	}
	want := []spec.Mount{
		{At: "/app/data", Kind: "volume", Volume: "data", Host: "/volumes/data/_data/public/site", Sub: "public/site"},
		{At: "/app/nfs", Kind: "volume", Volume: "nfs", Sub: "a"},
		{At: "/app/old", Kind: "tmpfs"},
		{At: "/app/tmp", Kind: "tmpfs"},
	}
	if got := mounts(c); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestArchive(t *testing.T) {
	e := dockertest.New(t)
	data := dockertest.Tar("/app/static", map[string]string{"a.css": "body{}"})
	id := e.Run(dockertest.Container{Name: "web", Archive: map[string][]byte{"/app/static": data}})
	w := run(t, e, func(c *Config) { c.Timing.Call = 200 * time.Millisecond })
	w.first()
	body, err := w.d.Archive(t.Context(), id, "/app/static")
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(body)
	body.Close()
	if err != nil || string(got) != string(data) {
		t.Errorf("got %d bytes, %v, want the %d of the directory", len(got), err, len(data))
	}
	if _, err := w.d.Archive(t.Context(), id, "/none"); !errors.Is(err, ErrNoPath) {
		t.Errorf("got %v of a path that is not there, want ErrNoPath", err)
	}
	if _, err := w.d.Archive(t.Context(), strings.Repeat("0", 64), "/none"); !errors.Is(err, ErrGone) {
		t.Errorf("got %v of a container that is not there, want ErrGone", err)
	}
	release := e.Hang(dockertest.Archive)
	if _, err := w.d.Archive(t.Context(), id, "/app/static"); !errors.Is(err, ErrSlow) {
		t.Errorf("got %v of an engine that does not answer, want ErrSlow", err)
	}
	release()
	e.FailFor(dockertest.Archive, id, 403)
	if _, err := w.d.Archive(t.Context(), id, "/app/static"); err == nil || !strings.Contains(err.Error(), "allow GET /containers/ID/archive") {
		t.Errorf("got %v of a filter that forbids it, want what to allow", err)
	}
	if n := w.d.Status().Calls["archive"]; n != 5 {
		t.Errorf("got %d calls counted, want 5", n)
	}
	e.Down()
	if _, err := w.d.Archive(t.Context(), id, "/app/static"); !errors.Is(err, ErrAway) {
		t.Errorf("got %v of an engine that is away, want ErrAway", err)
	}
	onlyGETs(t, e)
}

// The engine must not wait for somebody who has lost interest: it would hold the
// container's lock.
func TestArchiveEndsWhenItIsClosed(t *testing.T) {
	for name, end := range map[string]func(body io.Closer, cancel func()){
		"closed":   func(body io.Closer, _ func()) { body.Close() },
		"canceled": func(_ io.Closer, cancel func()) { cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			e := dockertest.New(t)
			id := e.Run(dockertest.Container{Name: "web", Archive: map[string][]byte{"/s": dockertest.Tar("/s", map[string]string{"a": "b"})}})
			e.StallArchive(512)
			w := run(t, e, nil)
			w.first()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			body, err := w.d.Archive(ctx, id, "/s")
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			if _, err := io.ReadFull(body, make([]byte, 512)); err != nil {
				t.Fatal(err)
			}
			end(body, cancel)
			eventually(t, "the engine sees that the copy is closed", func() bool { return e.ClosedArchives() == 1 })
			if _, err := w.d.Confirm(t.Context(), id); err != nil {
				t.Errorf("got %v from an inspect after the copy, want an answer", err)
			}
		})
	}
}

func TestArchiveThatIsCutIsNoEnd(t *testing.T) {
	e := dockertest.New(t)
	id := e.Run(dockertest.Container{Name: "web", Archive: map[string][]byte{"/s": dockertest.Tar("/s", map[string]string{"a": strings.Repeat("x", 10_000)})}})
	e.CutArchive(4096)
	w := run(t, e, nil)
	w.first()
	body, err := w.d.Archive(t.Context(), id, "/s")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if n, err := io.Copy(io.Discard, body); err == nil {
		t.Errorf("got %d bytes and no error of a copy that was cut", n)
	}
}

// A filter or an old engine without this call answers 404 to everything.
func TestArchiveOfAnEngineWithoutTheCall(t *testing.T) {
	e := dockertest.New(t)
	id := e.Run(dockertest.Container{Name: "web"})
	w := run(t, e, nil)
	w.first()
	e.FailFor(dockertest.Archive, id, 404)
	if _, err := w.d.Archive(t.Context(), id, "/app"); err == nil || errors.Is(err, ErrNoPath) || errors.Is(err, ErrGone) {
		t.Errorf("got %v, want neither that the path nor that the container is missing", err)
	}
}

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/fairlead/fairlead/bench/load"
	"github.com/fairlead/fairlead/bench/peers"
)

// Files of the site, and their lengths in bytes.
const (
	script  = "/app.js"
	scriptN = 10 << 10
	image   = "/image.jpg"
	imageN  = 1 << 20
)

// fileServers are the peers that serve files.
var fileServers = []string{"nginx", "nginx-tuned", "caddy"}

// writeSite writes the files that are served: readable for workers of other users,
// and not in /dev/shm, from which no proxy of containers should serve.
func (m *machine) writeSite() (err error) {
	if m.site, err = os.MkdirTemp("", "fairlead-bench-"); err != nil {
		return err
	}
	if err := os.Chmod(m.site, 0o755); err != nil {
		return err
	}
	noise := make([]byte, imageN)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	text := strings.Repeat("const answer = (question) => question + 1; // and on\n", scriptN)[:scriptN]
	return errors.Join(os.WriteFile(m.site+script, []byte(text), 0o644), os.WriteFile(m.site+image, noise, 0o644))
}

func static10k(ctx context.Context, b *bed, length time.Duration) (outcome, error) {
	return b.files(ctx, load.Plan{Conns: 64, For: length, Want: scriptN}, script)
}

func static1m(ctx context.Context, b *bed, length time.Duration) (outcome, error) {
	return b.files(ctx, load.Plan{Conns: 16, For: length, Want: imageN}, image)
}

func (b *bed) files(ctx context.Context, p load.Plan, path string) (outcome, error) {
	p.Addr, p.Send = b.cfg.Plain, [][]byte{load.Request("GET", peers.FilesHost, path, browser, nil)}
	r, cost, err := b.task(ctx, load.Task{Plan: &p})
	return outcome{r, cost}, err
}

// checkFiles holds the proxy to the files as they are: one that compresses them on
// the way does other work.
func (b *bed) checkFiles(ctx context.Context) error {
	client, err := b.client()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	for path, want := range map[string]int{script: scriptN, image: imageN} {
		got, err := peers.Get(ctx, client, "http://"+peers.FilesHost+path)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if len(got) != want {
			return fmt.Errorf("%s: %d bytes, want %d", path, len(got), want)
		}
	}
	return nil
}

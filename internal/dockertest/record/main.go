// Command record writes the recordings in internal/dockertest/testdata: what a
// real Docker engine sends and answers while containers are started, stopped,
// paused, replaced and so on. It needs docker, docker-compose and an engine,
// but no registry: its own binary is the image. Run it from the repository's
// root:
//
//	CGO_ENABLED=0 go run ./internal/dockertest/record [SEQUENCE…]
//
// Everything it makes on the engine is called fltest-disc… and removed at the
// end. Paths of the machine and what nobody reads are left out.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/docker/docker/client"

	"github.com/fairlead/fairlead/internal/dockertest"
)

const (
	prefix = "fltest-disc"
	image  = prefix + ":1"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "app" {
		app(os.Args[2:])
		return
	}
	log.SetFlags(0)
	if err := record(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func record(only []string) error {
	cli, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		return err
	}
	defer cli.Close()
	cli.NegotiateAPIVersion(context.Background())
	clean()
	defer clean()
	if err := makeImage(); err != nil {
		return fmt.Errorf("make image: %w", err)
	}
	for _, s := range sequences {
		if len(only) > 0 && !slices.Contains(only, s.name) {
			continue
		}
		log.Printf("recording %s", s.name)
		if err := (&recorder{cli: cli, known: map[string]bool{}}).run(s); err != nil {
			return fmt.Errorf("record %s: %w", s.name, err)
		}
		cleanContainers()
	}
	return nil
}

// makeImage imports this very binary, which has to be static.
func makeImage() error {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", prefix)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "app"), self, 0o755); err != nil {
		return err
	}
	tar, err := exec.Command("tar", "c", "-C", dir, "app").Output()
	if err != nil {
		return err
	}
	imp := exec.Command("docker", "import", "-c", `ENTRYPOINT ["/app","app"]`, "-c", "EXPOSE 80", "-", image)
	imp.Stdin = bytes.NewReader(tar)
	return imp.Run()
}

// clean removes everything this program makes; errors mean it was not there.
func clean() {
	cleanContainers()
	docker("rmi", image)
}

func cleanContainers() {
	for _, kind := range [][]string{{"ps", "-aq"}, {"network", "ls", "-q"}} {
		out, err := exec.Command("docker", append(kind, "--filter", "name="+prefix)...).Output()
		if err != nil {
			continue
		}
		for _, id := range bytes.Fields(out) {
			if kind[0] == "ps" {
				docker("rm", "-f", string(id))
			} else {
				docker("network", "rm", string(id))
			}
		}
	}
}

func docker(args ...string) {
	if out, err := exec.Command("docker", args...).CombinedOutput(); err != nil {
		log.Printf("  docker %v: %v: %s", args, err, bytes.TrimSpace(out))
	}
}

// settle is how long a step is given to have all its effects.
const settle = 400 * time.Millisecond

// write stores a recording.
func write(name string, entries []dockertest.Entry) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for _, e := range entries {
		if err := enc.Encode(e); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join("internal/dockertest/testdata", name+".jsonl"), b.Bytes(), 0o644)
}

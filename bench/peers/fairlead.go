package peers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
)

// Ours returns our binary with one of its HTTP/1.1 engines.
func Ours(binary, engine string) *Peer {
	name := "fairlead"
	if engine != name {
		name += "-" + engine
	}
	return &Peer{
		Name: name, Binary: binary, Version: []string{"version"},
		Prepare: func(c Config) error { return c.write(map[string]string{"routes.yaml": routesFile(c)}) },
		Args:    func(c Config) []string { return fairleadArgs(c, engine) },
		Beside:  runEngine, ServesFiles: true,
		Root:    func(c Config) string { return c.path("data/tls/ca/root.pem") },
		Mallocs: fairleadMallocs,
	}
}

func fairleadArgs(c Config, engine string) []string {
	log, secure := "off", "off"
	if c.TLS.IsValid() {
		secure = c.TLS.String()
	}
	if c.AccessLog {
		log = c.LogFile()
	}
	args := []string{
		"run", "--engine", engine, "--routes", c.path("routes.yaml"), "--docker-host", "unix://" + c.path("engine.sock"),
		"--http", c.Plain.String(), "--https", secure, "--data-dir", c.path("data"),
		"--acme-directory", "off", "--access-log", log, "--log-level", "warn",
	}
	if c.Profile != "" {
		args = append(args, "--cpu-profile", c.Profile)
	}
	return args
}

func routesFile(c Config) string {
	var b strings.Builder
	for i, host := range c.Hosts {
		fmt.Fprintf(&b, "h%d: {host: %s, url: \"http://%s\"}\n", i, host, c.Origin)
	}
	return b.String()
}

// runEngine is a Docker engine: Fairlead serves nothing before it has read the list of
// containers. There is one, which has nothing but files, on a bind mount.
func runEngine(ctx context.Context, c Config, ready func()) error {
	ln, err := net.Listen("unix", c.path("engine.sock"))
	if err != nil {
		return err
	}
	srv := &http.Server{
		BaseContext: func(net.Listener) context.Context { return ctx },
		Handler:     http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answerEngine(c, w, r) }),
	}
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	ready()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// filesContainer is the id of the one container.
const filesContainer = "f11e5f11e5f11e5f11e5f11e5f11e5f11e5f11e5f11e5f11e5f11e5f11e5f11e"

// filesInspect is what the engine says of it. It never ran, as it need not.
const filesInspect = `{"Id":"` + filesContainer + `","Name":"/files","Created":"2026-01-01T00:00:00Z","State":{"Status":"created","StartedAt":"0001-01-01T00:00:00Z"},
"HostConfig":{"NetworkMode":"none"},"Mounts":[{"Type":"bind","Source":%q,"Destination":"/site"}],
"Config":{"Labels":{"fairlead.host":%q,"fairlead.root":"/site"}},"NetworkSettings":{"Networks":{}}}`

const filesListed = `[{"Id":"` + filesContainer + `","Names":["/files"],"Created":1767225600,"State":"created","Status":"Created","Labels":{"fairlead.host":%q,"fairlead.root":"/site"}}]`

// bridge is a network whose gateway is an address of this machine: the proxy then
// knows that it sees the directories that the engine tells of.
const bridge = `[{"Name":"bridge","Id":"b1","Driver":"bridge","IPAM":{"Config":[{"Subnet":"127.0.0.0/8","Gateway":"127.0.0.1"}]}}]`

func answerEngine(c Config, w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Api-Version", "1.44")
	switch path := r.URL.Path; {
	case strings.HasSuffix(path, "/_ping"):
		fmt.Fprint(w, "OK")
	case strings.HasSuffix(path, "/version"):
		fmt.Fprint(w, `{"Version":"25.0.0","ApiVersion":"1.44","MinAPIVersion":"1.24","Os":"linux","Arch":"amd64"}`)
	case strings.HasSuffix(path, "/events"):
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	case strings.HasSuffix(path, "/info"):
		fmt.Fprint(w, `{"ID":"bench","Name":"bench","Swarm":{"LocalNodeState":"inactive"}}`)
	case strings.HasSuffix(path, "/containers/json"):
		fmt.Fprintf(w, filesListed, FilesHost)
	case strings.HasSuffix(path, "/containers/"+filesContainer+"/json"):
		fmt.Fprintf(w, filesInspect, c.Site, FilesHost)
	case strings.HasSuffix(path, "/networks"):
		fmt.Fprint(w, bridge)
	default:
		http.Error(w, `{"message":"no such thing"}`, http.StatusNotFound)
	}
}

func fairleadMallocs(ctx context.Context, c Config) (uint64, error) {
	b, err := Get(ctx, unixClient(c.path("data/admin.sock")), "http://fairlead/status")
	if err != nil {
		return 0, err
	}
	var status struct {
		Allocs uint64 `json:"heap_allocs"`
	}
	if err := json.Unmarshal(b, &status); err != nil {
		return 0, err
	}
	if status.Allocs == 0 {
		return 0, errors.New("this version does not tell its allocations")
	}
	return status.Allocs, nil
}

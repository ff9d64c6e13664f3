// Package composefile reads compose files as the containers that they would
// become, for `fairlead check`: what discovery finds on an engine, found before
// anything runs. Loading is compose-go's, so that files mean here what they mean
// to Compose; a second reading of the same files says in which line each label is.
package composefile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/sirupsen/logrus"
	"go.yaml.in/yaml/v4"

	"github.com/fairlead/fairlead/spec"
)

// Config says what to read.
type Config struct {
	// Files are merged, each over those before it, as by docker compose -f. A
	// directory stands for the compose file in it, with its override file; none
	// stands for the working directory.
	Files    []string
	Name     string   // of the project, "" as Compose names it
	Profiles []string // that are active; without any, those of COMPOSE_PROFILES. "*" is all
	EnvFiles []string // instead of .env beside the first file
}

// A Project is what compose files come to.
type Project struct {
	Name     string
	Files    []string // that were read, included and extended ones too, as they were named
	Services []*Service
	// Disabled are the services that belong to profiles which are not active.
	Disabled []string
}

// A Service is one service, as far as it matters to a proxy.
type Service struct {
	Name     string
	Image    string
	Workload *spec.Workload // one of its containers
	Replicas int            // 0 for none
	Labels   []Label        // by name
	Swarm    []Label        // those of deploy.labels, by name
	At       Position       // of its name

	// Image data: what a Dockerfile says that the service is built from.
	Built *Dockerfile // nil if there is none, or none that could be read
	// Healthcheck is whether the compose file has one; Built may too.
	Healthcheck bool
	// PortsKnown is whether Workload.Exposed is complete. That of an image is not.
	PortsKnown bool
	// Published are the ports of the host that lead to it, by port of the host.
	Published map[int]int
	// Command and Environment are the compose file's, for a service that is the proxy.
	Command     []string
	Environment map[string]string
	Secrets     []string // where secrets and configs are in its containers
}

// A Label is one label of a compose file, and where it is written.
type Label struct {
	Name string
	Text string // as the container gets it
	Raw  string // as the file has it, before ${VARIABLES}; "" if it was not found
	// Plain is whether the file has it without quotes, so that YAML decides what
	// it is.
	Plain   bool
	Comment string   // behind the value in the same line
	Unset   []string // variables in it, as written, that Compose replaces by nothing
	At      Position
}

// A Position is a place in a file. The zero Position is nowhere.
type Position struct {
	File         string
	Line, Column int // from 1
}

func (p Position) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// An Error is why Compose would refuse the files.
type Error struct {
	At   Position
	Text string // worded for the one who wrote the file
	Fix  string // "" if Text says it all
	Code string
}

func (e *Error) Error() string {
	text := e.Text
	if at := e.At.String(); at != "" {
		text = at + ": " + text
	}
	return strings.TrimSuffix(text+"; "+e.Fix, "; ")
}

func init() {
	// compose-go says by it what it thinks of unset variables and of `version`.
	logrus.SetOutput(io.Discard)
}

// Load reads the project of cfg. An *Error is what is wrong with the files,
// others that they cannot be read.
func Load(ctx context.Context, cfg Config) (*Project, error) {
	files, err := expand(cfg.Files)
	if err != nil {
		return nil, err
	}
	s := newSources()
	for _, f := range files {
		if err := s.add(f); err != nil {
			return nil, err
		}
	}
	for _, f := range s.files {
		if f.wrong != nil {
			return nil, f.syntax()
		}
		if f.root == nil || f.root.Kind != yaml.MappingNode {
			return nil, &Error{Code: "compose-refused", At: Position{File: f.path, Line: 1}, Text: "this is no compose file: it has no  services:"}
		}
	}
	p, err := s.load(ctx, cfg, files)
	if err != nil {
		return nil, s.fault(err)
	}
	return s.project(p), nil
}

// load has compose-go load the files that s has read.
func (s *sources) load(ctx context.Context, cfg Config, files []string) (*types.Project, error) {
	o, err := cli.NewProjectOptions(files,
		cli.WithOsEnv,
		cli.WithEnvFiles(cfg.EnvFiles...), cli.WithDotEnv,
		cli.WithName(cfg.Name),
		cli.WithDefaultProfiles(cfg.Profiles...),
		cli.WithoutEnvironmentResolution, // files of variables for the app may not be there yet
		cli.WithResolvedPaths(true),
	)
	if err != nil {
		return nil, err
	}
	if s.noteFormat(); !s.legacy {
		return o.LoadProject(ctx)
	}
	return s.loadLegacy(ctx, o, cfg.Profiles)
}

// loadLegacy loads files of the first format, in which the services are the top
// level: everything is moved below `services`.
func (s *sources) loadLegacy(ctx context.Context, o *cli.ProjectOptions, profiles []string) (*types.Project, error) {
	dir, err := o.GetWorkingDir()
	if err != nil {
		return nil, err
	}
	d := types.ConfigDetails{WorkingDir: dir, Environment: o.Environment}
	for _, f := range s.files {
		d.ConfigFiles = append(d.ConfigFiles, types.ConfigFile{Filename: f.path, Content: f.underServices()})
	}
	name := o.Name
	if name == "" {
		name = loader.NormalizeProjectName(filepath.Base(dir))
	}
	return loader.LoadWithContext(ctx, d, func(l *loader.Options) {
		l.SetProjectName(name, true)
		l.Profiles, l.SkipResolveEnvironment, l.ResolvePaths = profiles, true, true
	})
}

// names of the files that Compose looks for, and of those that it adds to each.
var (
	usualNames    = []string{"compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"}
	overrideNames = []string{"compose.override.yaml", "compose.override.yml", "docker-compose.override.yml", "docker-compose.override.yaml"}
)

// expand replaces directories by the compose files in them.
func expand(files []string) (out []string, err error) {
	if len(files) == 0 {
		if set := os.Getenv("COMPOSE_FILE"); set != "" {
			sep := os.Getenv("COMPOSE_PATH_SEPARATOR")
			if sep == "" {
				sep = string(os.PathListSeparator)
			}
			return strings.Split(set, sep), nil
		}
		files = []string{"."}
	}
	for _, f := range files {
		st, err := os.Stat(f)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", f, plain(err))
		case !st.IsDir():
			out = append(out, f)
			continue
		}
		found := first(f, usualNames)
		if found == "" {
			return nil, fmt.Errorf("%s has no compose file: name one, or go to its directory", f)
		}
		out = append(out, found)
		if over := first(f, overrideNames); over != "" {
			out = append(out, over)
		}
	}
	return out, nil
}

func first(dir string, names []string) string {
	for _, n := range names {
		if st, err := os.Stat(filepath.Join(dir, n)); err == nil && !st.IsDir() {
			return filepath.Join(dir, n)
		}
	}
	return ""
}

// plain leaves out of err the path and the call that it names.
func plain(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/fairlead/fairlead/admin"
	"github.com/fairlead/fairlead/check"
	"github.com/fairlead/fairlead/discovery"
	"github.com/fairlead/fairlead/discovery/composefile"
	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/routing"
	"github.com/fairlead/fairlead/spec"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// checkFlags are the flags of check beside those that decide how labels are read.
type checkFlags struct {
	files, profiles, envFiles []string
	name, format, against     string
	strict                    bool
	settings                  settings
}

func checkCommand() *cobra.Command {
	var f checkFlags
	c := &cobra.Command{
		Use: "check [FILE…]", Short: "Say what compose files come to before they are brought up (exit code 1 if there are problems)",
		Long: "Check reads compose files as Compose does, and their labels as the proxy does, and names file, line and column of what is wrong.\n" +
			"Each FILE is a project of its own, a directory stands for the compose file in it. Without a FILE: the compose file here.\n" +
			"If one of the services is the proxy, its settings and networks count. Otherwise it is taken to run in a container on the host's network.",
		RunE: func(c *cobra.Command, args []string) error {
			if !slices.Contains(check.Formats, f.format) {
				return fmt.Errorf("--format %s: want %s", f.format, strings.Join(check.Formats, ", "))
			}
			r, err := f.run(c.Context(), c.Flags(), args)
			if err != nil {
				return err
			}
			if err := r.Write(c.OutOrStdout(), f.format, version); err != nil {
				return err
			}
			if r.Wrong() > 0 || f.strict && len(r.Findings) > 0 {
				return errNo
			}
			return nil
		},
	}
	c.Flags().StringArrayVarP(&f.files, "file", "f", nil, "compose file; several are merged into one project (repeatable)")
	c.Flags().StringArrayVar(&f.profiles, "profile", nil, "profile that is active, * for all (repeatable)")
	c.Flags().StringArrayVar(&f.envFiles, "env-file", nil, "file of variables, instead of .env beside the compose file (repeatable)")
	c.Flags().StringVarP(&f.name, "project-name", "p", "", "name of the project (default: as Compose names it)")
	c.Flags().StringVar(&f.format, "format", "text", "text, json, github (workflow commands) or sarif")
	c.Flags().StringVar(&f.against, "against", "", "control socket of a running proxy (admin.sock in its data directory): check beside what it serves")
	c.Flags().BoolVar(&f.strict, "strict", false, "exit code 1 on hints too")
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	f.settings.flags(all)
	for _, name := range append(readerFlags, "routes") {
		c.Flags().AddFlag(all.Lookup(name))
	}
	return c
}

// readerFlags are the settings that decide what labels come to.
var readerFlags = []string{"label-prefix", "domain", "network", "project", "default", "share-host", "internal-names", "acme-directory", "http", "https"}

func (f *checkFlags) run(ctx context.Context, given *pflag.FlagSet, args []string) (*check.Report, error) {
	q, err := f.load(ctx, args)
	if err != nil {
		return nil, err
	}
	var s *settings
	if f.against != "" {
		s, err = f.running(ctx, q, given)
	} else {
		s, err = ofProxy(q, given)
	}
	if err != nil {
		return nil, err
	}
	points, err := s.entryPoints()
	if err != nil {
		return nil, err
	}
	if q.Reader, err = s.reader(routing.Schema(s.labelPrefix), points); err != nil {
		return nil, err
	}
	q.Shares, q.Only, q.RoutesFile = s.shares, s.projects, s.routes
	for _, e := range points {
		if port, err := strconv.Atoi(portOf(e.Addr)); err == nil {
			q.Listens = append(q.Listens, port)
		}
	}
	if s.routes != "" {
		file := discovery.RoutesFile{Path: s.routes, Prefix: s.labelPrefix}
		if q.Routes, err = file.Load(); err != nil {
			return nil, err
		}
	}
	return check.Run(q), nil
}

// load reads the projects.
func (f *checkFlags) load(ctx context.Context, args []string) (*check.Question, error) {
	q := &check.Question{}
	projects := [][]string{f.files}
	switch {
	case len(args) > 0 && len(f.files) > 0:
		return nil, errors.New("either -f FILE, which are merged, or FILE, which are projects of their own")
	case len(args) > 0 && f.name != "" && len(args) > 1:
		return nil, errors.New("--project-name names one project, and there are several")
	case len(args) > 0:
		projects = nil
		for _, a := range args {
			projects = append(projects, []string{a})
		}
	}
	for _, files := range projects {
		p, err := f.project(ctx, q, files)
		if finding := check.Refused(err); finding != nil {
			q.Refused = append(q.Refused, *finding)
			continue
		}
		if err != nil {
			return nil, err
		}
		q.Projects = append(q.Projects, p)
		for _, s := range p.Services {
			if q.Proxy == nil && check.IsProxy(s) {
				q.Proxy = s
			}
		}
	}
	return q, nil
}

// project reads one project. Two files of one directory have the same name if they
// do not say otherwise: then the second gets another, and a hint.
func (f *checkFlags) project(ctx context.Context, q *check.Question, files []string) (*composefile.Project, error) {
	cfg := composefile.Config{Files: files, Name: f.name, Profiles: f.profiles, EnvFiles: f.envFiles}
	p, err := composefile.Load(ctx, cfg)
	if err != nil {
		return nil, err
	}
	for _, other := range q.Projects {
		if other.Name == p.Name {
			q.Refused = append(q.Refused, check.SameProject(p, other))
			cfg.Name = fmt.Sprintf("%s-%d", p.Name, len(q.Projects)+1)
			return composefile.Load(ctx, cfg)
		}
	}
	return p, nil
}

// ofProxy returns the settings of the proxy's service, if there is one, and over
// them those that were given. What is wrong with the service's own is added to q.
func ofProxy(q *check.Question, given *pflag.FlagSet) (*settings, error) {
	var s settings
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	s.flags(flags)
	if q.Proxy != nil {
		if err := ofService(flags, q.Proxy); err != nil {
			q.Refused = append(q.Refused, check.Finding{At: q.Proxy.At, Service: q.Proxy.Name, Problem: spec.Problem{
				Code: "wrong-setting", Container: q.Proxy.Workload.Name, Message: "the proxy will not start: " + err.Error(), Effect: label.ContainerRefused,
			}})
		}
		s.routes = "" // it is a file of the container
	}
	return &s, overlay(flags, given, &s)
}

// ofService sets flags as the proxy's service does, by its command and its
// environment.
func ofService(flags *pflag.FlagSet, proxy *composefile.Service) error {
	args := proxy.Command
	if len(args) > 0 && args[0] == "run" {
		args = args[1:]
	}
	if err := flags.Parse(args); err != nil {
		return flagError(err)
	}
	var env []string
	for name, value := range proxy.Environment {
		env = append(env, name+"="+value)
	}
	return fromEnv(flags, env)
}

// overlay puts over flags what the command line was given, and checks the whole.
func overlay(flags, given *pflag.FlagSet, s *settings) error {
	var err error
	given.Visit(func(f *pflag.Flag) {
		own := flags.Lookup(f.Name)
		if own == nil || err != nil {
			return
		}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			err = own.Value.(pflag.SliceValue).Replace(list.GetSlice())
		} else {
			err = own.Value.Set(f.Value.String())
		}
	})
	if err != nil {
		return err
	}
	return s.check()
}

// running asks the proxy that runs, and returns its settings with those over them
// that were given.
func (f *checkFlags) running(ctx context.Context, q *check.Question, given *pflag.FlagSet) (*settings, error) {
	q.Running = &check.Running{}
	if err := (admin.Client{Socket: f.against}).Get(ctx, "running", nil, q.Running); err != nil {
		return nil, fmt.Errorf("--against %s: %w", f.against, err)
	}
	var s settings
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	s.flags(flags)
	for name, values := range q.Running.Settings {
		for _, v := range values {
			if err := flags.Set(name, v); err != nil {
				return nil, fmt.Errorf("--against %s: %w: is that fairlead another version than this one?", f.against, err)
			}
		}
	}
	return &s, overlay(flags, given, &s)
}

// running answers check for the control socket: what the proxy sees and how it
// reads it.
func (p *process) running(r *http.Request) (any, error) {
	snap, ok := p.watch.known()
	if !ok {
		return nil, admin.Status{Code: http.StatusServiceUnavailable, Err: p.ready()}
	}
	claims, err := p.watch.ledger(r.Context())
	if err != nil {
		return nil, err
	}
	return check.Running{Snapshot: snap, Claims: claims, Settings: p.settings.ofReader()}, nil
}

// ofReader returns the settings that decide what labels come to, as flags.
func (s *settings) ofReader() map[string][]string {
	return map[string][]string{
		"label-prefix": {s.labelPrefix}, "domain": {s.domain}, "network": {s.network}, "project": s.projects,
		"default": s.defaults, "share-host": s.shareHosts, "internal-names": s.internalNames,
		"acme-directory": {s.acmeDirectory}, "http": s.http, "https": s.https,
	}
}

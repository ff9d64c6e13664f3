package composefile

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// A Dockerfile is what the Dockerfile of a service says of its image, in the
// stage that is built. What its base image says is not known.
type Dockerfile struct {
	Path        string // "" if it is inline
	Exposed     []int  // TCP ports, ascending
	Healthcheck bool
}

// dockerfileOf reads the Dockerfile of b, nil if it cannot be read: it may lie in
// a repository, or not be there yet.
func dockerfileOf(b *types.BuildConfig) *Dockerfile {
	if b.DockerfileInline != "" {
		return parseDockerfile(b.DockerfileInline, b.Target, b.Args)
	}
	name := b.Dockerfile
	if name == "" {
		name = "Dockerfile"
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(b.Context, name)
	}
	if st, err := os.Stat(name); err != nil || !st.Mode().IsRegular() || st.Size() > maxFile {
		return nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	d := parseDockerfile(string(text), b.Target, b.Args)
	d.Path = name
	return d
}

// parseDockerfile reads as much of a Dockerfile as Dockerfile holds.
func parseDockerfile(text, target string, args types.MappingWithEquals) *Dockerfile {
	stages := map[string]*Dockerfile{}
	vars := map[string]string{}
	now := &Dockerfile{}
	for _, line := range instructions(text) {
		word, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimSpace(rest)
		switch strings.ToUpper(word) {
		case "FROM":
			fields := slices.DeleteFunc(strings.Fields(rest), func(f string) bool { return strings.HasPrefix(f, "--") })
			if target != "" && stages[strings.ToLower(target)] == now {
				return now // the stages after it are not built
			}
			now = &Dockerfile{}
			if len(fields) > 0 && stages[strings.ToLower(fields[0])] != nil {
				*now = *stages[strings.ToLower(fields[0])]
				now.Exposed = slices.Clone(now.Exposed)
			}
			if len(fields) == 3 {
				stages[strings.ToLower(fields[2])] = now
			}
		case "ARG":
			name, value, _ := strings.Cut(rest, "=")
			if given := args[name]; given != nil {
				value = *given
			}
			vars[name] = strings.Trim(value, `"'`)
		case "ENV":
			setVariables(vars, rest)
		case "EXPOSE":
			now.expose(os.Expand(rest, func(name string) string {
				name, fallback, _ := strings.Cut(name, ":-")
				if v := vars[name]; v != "" {
					return v
				}
				return fallback
			}))
		case "HEALTHCHECK":
			now.Healthcheck = !strings.EqualFold(rest, "NONE")
		}
	}
	return now
}

func setVariables(vars map[string]string, rest string) {
	if name, value, spaced := strings.Cut(rest, " "); spaced && !strings.Contains(name, "=") {
		vars[name] = strings.TrimSpace(value)
		return
	}
	for _, pair := range strings.Fields(rest) {
		if name, value, ok := strings.Cut(pair, "="); ok {
			vars[name] = strings.Trim(value, `"'`)
		}
	}
}

func (d *Dockerfile) expose(list string) {
	for _, item := range strings.Fields(list) {
		port, protocol, _ := strings.Cut(item, "/")
		if n, err := strconv.Atoi(port); err == nil && (protocol == "" || strings.EqualFold(protocol, "tcp")) {
			d.Exposed = append(d.Exposed, n)
		}
	}
	slices.Sort(d.Exposed)
	d.Exposed = slices.Compact(d.Exposed)
}

// instructions returns the lines of a Dockerfile: without comments, and each with
// those that a backslash continues it by.
func instructions(text string) (out []string) {
	open := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if more, continued := strings.CutSuffix(line, `\`); continued {
			open += more + " "
			continue
		}
		out, open = append(out, open+line), ""
	}
	if open != "" {
		out = append(out, open)
	}
	return out
}

package discovery

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/fairlead/fairlead/spec"
)

// Limits of a routes file, so that nested aliases cannot blow it up.
const (
	maxRouteDepth  = 16
	maxRouteLabels = 100_000
)

// parseRoutes reads a whole routes file; the routes are sorted by ID.
func parseRoutes(path string, b []byte, prefix string) ([]*spec.Workload, error) {
	p := &routesParser{path: path, prefix: prefix}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	var doc yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var more yaml.Node
	if err := dec.Decode(&more); err == nil {
		return nil, p.errorf(&more, "a second document; put all routes in one")
	} else if !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(doc.Content) == 0 {
		return nil, nil
	}
	return p.routes(doc.Content[0])
}

type routesParser struct {
	path, prefix string
	labels       int
}

func (p *routesParser) errorf(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", p.path, n.Line, fmt.Sprintf(format, args...))
}

func (p *routesParser) routes(root *yaml.Node) ([]*spec.Workload, error) {
	if isNull(root) {
		return nil, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, p.errorf(root, "want a map of route names, as in: pve: {host: pve.example.com, url: https://192.168.1.10:8006}")
	}
	seen := make(map[string]int)
	var out []*spec.Workload
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], deref(root.Content[i+1])
		name := key.Value
		if err := p.key(seen, key, name); err != nil {
			return nil, err
		}
		w := &spec.Workload{ID: "routes:" + name, Name: name, Source: spec.FromRoutes, State: spec.Running, Labels: map[string]string{}}
		if value.Kind != yaml.MappingNode {
			return nil, p.errorf(key, "route %q: want a map of keys, as in: {host: pve.example.com, url: https://192.168.1.10:8006}", name)
		}
		if err := p.flatten(w.Labels, make(map[string]int), p.prefix, value, 0); err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	slices.SortFunc(out, func(a, b *spec.Workload) int { return strings.Compare(a.ID, b.ID) })
	return out, nil
}

// key refuses what is no name and, unless seen is nil, what was there before.
func (p *routesParser) key(seen map[string]int, key *yaml.Node, name string) error {
	switch line, dup := seen[name]; {
	case key.Tag == "!!merge":
		return p.errorf(key, "merge keys (<<) are not supported here; repeat the keys, or set them for all routes with --default")
	case key.Kind != yaml.ScalarNode || key.Value == "":
		return p.errorf(key, "want a name")
	case dup:
		return p.errorf(key, "%q is already in line %d", key.Value, line)
	}
	if seen != nil {
		seen[name] = key.Line
	}
	return nil
}

// flatten adds the keys of one map below prefix.
func (p *routesParser) flatten(labels map[string]string, seen map[string]int, prefix string, m *yaml.Node, depth int) error {
	if depth > maxRouteDepth {
		return p.errorf(m, "maps are nested more than %d deep", maxRouteDepth)
	}
	for i := 0; i+1 < len(m.Content); i += 2 {
		key, value := m.Content[i], deref(m.Content[i+1])
		label := prefix + "." + key.Value
		if value.Kind == yaml.MappingNode {
			if err := p.key(nil, key, label); err != nil {
				return err
			}
			if err := p.flatten(labels, seen, label, value, depth+1); err != nil {
				return err
			}
			continue
		}
		if err := p.key(seen, key, label); err != nil {
			return err
		}
		text, err := p.text(value)
		if err != nil {
			return err
		}
		if p.labels++; p.labels > maxRouteLabels {
			return p.errorf(key, "more than %d keys", maxRouteLabels)
		}
		labels[label] = text
	}
	return nil
}

// text is a value as it was written: what off or 0600 mean is for the label to
// say, not for YAML.
func (p *routesParser) text(n *yaml.Node) (string, error) {
	switch {
	case isNull(n):
		return "", nil
	case n.Kind == yaml.ScalarNode:
		return n.Value, nil
	case n.Kind != yaml.SequenceNode:
		return "", p.errorf(n, "want text, a list or a map")
	}
	items := make([]string, 0, len(n.Content))
	for _, c := range n.Content {
		c = deref(c)
		if c.Kind != yaml.ScalarNode {
			return "", p.errorf(c, "want a list of plain values")
		}
		items = append(items, c.Value)
	}
	return strings.Join(items, ","), nil
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func deref(n *yaml.Node) *yaml.Node {
	for range maxRouteDepth {
		if n.Kind != yaml.AliasNode || n.Alias == nil {
			break
		}
		n = n.Alias
	}
	return n
}

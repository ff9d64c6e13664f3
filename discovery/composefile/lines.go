package composefile

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Limits of the second reading: beyond them positions are missing, and nothing
// else. Compose itself refuses files whose aliases multiply.
const (
	maxFile  = 8 << 20
	maxDepth = 16 // of aliases, merge keys, extends and includes
)

// sources are compose files read for their lines and columns.
type sources struct {
	files  []*file // in the order in which they are merged
	others map[string]*file
	legacy bool // the services are the top level
}

// A file is one of them.
type file struct {
	path  string // as it was named
	text  []byte
	root  *yaml.Node // nil if it is no YAML
	wrong error      // why not
}

func newSources() *sources { return &sources{others: map[string]*file{}} }

// add reads the file at path.
func (s *sources) add(path string) error {
	f, err := read(path)
	if err != nil {
		return err
	}
	s.files = append(s.files, f)
	return nil
}

func read(path string) (*file, error) {
	st, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, plain(err))
	case st.Size() > maxFile:
		return nil, fmt.Errorf("%s has %d bytes, more than %d: is it a compose file?", path, st.Size(), maxFile)
	}
	in, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, plain(err))
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, maxFile))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, plain(err))
	}
	f := &file{path: path, text: text}
	var doc yaml.Node
	if f.wrong = yaml.Unmarshal(text, &doc); f.wrong == nil {
		f.wrong = endless(&doc, map[*yaml.Node]bool{})
	}
	if f.wrong == nil && len(doc.Content) > 0 {
		f.root = deref(doc.Content[0])
	}
	return f, nil
}

// endless returns an error for an alias that stands inside of what it repeats:
// compose-go goes round in it for a minute. done are nodes that were looked at,
// false while they are being so.
func endless(n *yaml.Node, done map[*yaml.Node]bool) error {
	ended, known := done[n]
	switch {
	case known && !ended:
		return fmt.Errorf("line %d: an alias stands inside of what it repeats", n.Line)
	case known:
		return nil
	}
	done[n] = false
	for _, child := range n.Content {
		if child.Kind == yaml.AliasNode && child.Alias != nil {
			child = child.Alias
		}
		if err := endless(child, done); err != nil {
			return err
		}
	}
	done[n] = true
	return nil
}

// noteFormat notes whether the files are of the first format: they have no
// `services`, and at the top level nothing but maps with an image or a build.
func (s *sources) noteFormat() {
	for _, f := range s.files {
		if f.root == nil || f.root.Kind != yaml.MappingNode || len(f.root.Content) == 0 {
			return
		}
		for i := 0; i+1 < len(f.root.Content); i += 2 {
			service := deref(f.root.Content[i+1])
			if _, v := get(service, "image"); v != nil {
				continue
			}
			if _, v := get(service, "build"); v == nil {
				return
			}
		}
	}
	s.legacy = true
}

// underServices returns the text of f one level deeper.
func (f *file) underServices() []byte {
	return []byte("services:\n  " + strings.ReplaceAll(strings.TrimRight(string(f.text), "\n"), "\n", "\n  ") + "\n")
}

// services returns the map of services of f.
func (s *sources) services(f *file) *yaml.Node {
	if s.legacy {
		return f.root
	}
	_, v := get(f.root, "services")
	return v
}

// service returns where a service is written: in the last of the files that has
// it, or in one of those included.
func (s *sources) service(name string) (Position, bool) {
	for _, f := range slices.Backward(s.files) {
		if k, _ := get(s.services(f), name); k != nil {
			return at(f, k), true
		}
		if pos, ok := s.included(f, name, maxDepth); ok {
			return pos, true
		}
	}
	return Position{}, false
}

func (s *sources) included(f *file, service string, depth int) (Position, bool) {
	for _, g := range s.includes(f, depth) {
		if k, _ := get(s.services(g), service); k != nil {
			return at(g, k), true
		}
		if pos, ok := s.included(g, service, depth-1); ok {
			return pos, true
		}
	}
	return Position{}, false
}

// includes returns the files that f includes.
func (s *sources) includes(f *file, depth int) (out []*file) {
	_, list := get(f.root, "include")
	if list == nil || depth == 0 {
		return nil
	}
	for _, item := range list.Content {
		item = deref(item)
		if item.Kind == yaml.MappingNode {
			_, item = get(item, "path")
		}
		if item == nil {
			continue
		}
		for _, path := range append([]*yaml.Node{item}, item.Content...) {
			if path.Kind == yaml.ScalarNode {
				out = append(out, s.other(f, path.Value)...)
			}
		}
	}
	return out
}

// other returns the file that f names path, none if it cannot be read.
func (s *sources) other(f *file, path string) []*file {
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(f.path), path)
	}
	g, known := s.others[path]
	if !known {
		g, _ = read(path)
		s.others[path] = g
	}
	if g == nil {
		return nil
	}
	return []*file{g}
}

// written returns the labels of a service as they are written: below `labels`, or
// below `deploy.labels`. Those of files that are merged later come later.
func (s *sources) written(service string, swarm bool) (out []Label) {
	for _, f := range s.files {
		out = append(out, s.writtenIn(f, service, swarm, maxDepth)...)
	}
	return out
}

func (s *sources) writtenIn(f *file, service string, swarm bool, depth int) (out []Label) {
	if depth == 0 {
		return nil
	}
	_, node := get(s.services(f), service)
	if node == nil {
		for _, g := range s.includes(f, depth) {
			out = append(out, s.writtenIn(g, service, swarm, depth-1)...)
		}
		return out
	}
	_, base := get(node, "extends")
	if base != nil {
		out = s.extended(f, base, swarm, depth-1)
	}
	if swarm {
		_, node = get(node, "deploy")
	}
	_, labels := get(node, "labels")
	return append(out, listed(f, labels, map[*yaml.Node]bool{})...)
}

func (s *sources) extended(f *file, base *yaml.Node, swarm bool, depth int) (out []Label) {
	if base.Kind == yaml.ScalarNode {
		return s.writtenIn(f, base.Value, swarm, depth)
	}
	_, service := get(base, "service")
	if service == nil {
		return nil
	}
	from := []*file{f}
	if _, path := get(base, "file"); path != nil {
		from = s.other(f, path.Value)
	}
	for _, g := range from {
		out = append(out, s.writtenIn(g, service.Value, swarm, depth)...)
	}
	return out
}

// listed returns the labels of a node, which is a map or a list. seen are the
// nodes that were read: one may merge itself.
func listed(f *file, labels *yaml.Node, seen map[*yaml.Node]bool) (out []Label) {
	if labels == nil || seen[labels] {
		return nil
	}
	seen[labels] = true
	switch labels.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(labels.Content); i += 2 {
			k, v := labels.Content[i], deref(labels.Content[i+1])
			if k.Tag == "!!merge" {
				for _, from := range merged(v) {
					out = append(out, listed(f, from, seen)...)
				}
				continue
			}
			out = append(out, Label{Name: k.Value, Raw: v.Value, Plain: v.Kind == yaml.ScalarNode && bare(v), Comment: v.LineComment, At: at(f, k)})
		}
	case yaml.SequenceNode:
		for _, item := range labels.Content {
			item = deref(item)
			name, value, _ := strings.Cut(item.Value, "=")
			out = append(out, Label{Name: name, Raw: value, Comment: item.LineComment, At: at(f, item)})
		}
	}
	return out
}

// bare reports whether a scalar is written without quotes, in one line.
func bare(n *yaml.Node) bool {
	return n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
}

// pathTo returns where services.web.labels.0 is written, as far as it is, and
// the node there. As labels have dots, the longest key that fits counts.
func (s *sources) pathTo(path string) (pos Position, value *yaml.Node) {
	for _, f := range slices.Backward(s.files) {
		if s.legacy {
			path = strings.TrimPrefix(path, "services.")
		}
		if p, v := walk(f, f.root, strings.Split(path, ".")); p.Line > 0 {
			return p, v
		}
	}
	return Position{}, nil
}

func walk(f *file, n *yaml.Node, steps []string) (pos Position, value *yaml.Node) {
	for len(steps) > 0 && n != nil {
		took := 0
		if n.Kind == yaml.SequenceNode {
			if i, err := strconv.Atoi(steps[0]); err == nil && i >= 0 && i < len(n.Content) {
				n, took = deref(n.Content[i]), 1
				pos = at(f, n)
			}
		} else {
			for end := len(steps); end > 0 && took == 0; end-- {
				if k, v := get(n, strings.Join(steps[:end], ".")); k != nil {
					n, took = v, end
					pos = at(f, k)
				}
			}
		}
		if took == 0 {
			return pos, nil
		}
		steps = steps[took:]
	}
	return pos, n
}

func at(f *file, n *yaml.Node) Position { return Position{f.path, n.Line, n.Column} }

// get returns the key and the value of name in a map, nil where there is none.
func get(m *yaml.Node, name string) (key, value *yaml.Node) {
	if m == nil || m.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(m.Content); i += 2 {
		switch k := m.Content[i]; {
		case k.Value == name:
			key, value = k, deref(m.Content[i+1])
		case k.Tag == "!!merge" && key == nil:
			for _, from := range merged(deref(m.Content[i+1])) {
				if k, v := shallow(from, name); k != nil {
					key, value = k, v
				}
			}
		}
	}
	return key, value
}

// merged returns the maps that the value of a merge key stands for: it, or those
// in it.
func merged(v *yaml.Node) []*yaml.Node {
	if v.Kind != yaml.SequenceNode {
		return []*yaml.Node{v}
	}
	var out []*yaml.Node
	for _, n := range v.Content {
		out = append(out, deref(n))
	}
	return out
}

// shallow is get without merge keys, of which one may lead to itself.
func shallow(m *yaml.Node, name string) (key, value *yaml.Node) {
	if m == nil || m.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == name {
			return m.Content[i], deref(m.Content[i+1])
		}
	}
	return nil, nil
}

func deref(n *yaml.Node) *yaml.Node {
	for range maxDepth {
		if n == nil || n.Kind != yaml.AliasNode || n.Alias == nil {
			break
		}
		n = n.Alias
	}
	return n
}

package composefile

import (
	"errors"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// fault words why Compose refuses the files, with the place where that is known.
// It returns err itself if it is not about what they say.
func (s *sources) fault(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return err
	}
	e := &Error{Code: "compose-refused", Text: "Compose refuses the file: " + noise.ReplaceAllString(err.Error(), "")}
	if len(s.files) > 0 {
		e.At = Position{File: s.files[0].path}
	}
	if m := ofService.FindStringSubmatch(err.Error()); m != nil {
		if at, known := s.service(m[1]); known {
			e.At = at
		}
	}
	if m := lineOf.FindAllStringSubmatch(err.Error(), -1); m != nil {
		e.At.Line, _ = strconv.Atoi(m[min(1, len(m)-1)][1]) // of "line 1: line 6: … already defined at line 5"
	}
	if m := inPath.FindStringSubmatch(err.Error()); m != nil {
		path := strings.Trim(m[1], `".:`)
		at, value := s.pathTo(path)
		if at.Line > 0 {
			e.At = at
		}
		s.better(e, value, path)
	}
	return e
}

// noise is what compose-go's messages say of files and lines, which stand before
// ours.
var noise = regexp.MustCompile(`^(?:failed to parse \S+: |validating \S+: )|yaml: construct errors: |line \d+: `)

// ofService finds the service that compose-go names.
var ofService = regexp.MustCompile(`service "([^"]+)"`)

// inPath finds the place that compose-go names: services.web.labels.0.
var inPath = regexp.MustCompile(`\b((?:services|networks|volumes|secrets|configs)\.[\w./*~-]+)`)

func (e *Error) say(code, text, fix string) { e.Code, e.Text, e.Fix = code, text, fix }

// better words mistakes that are often made, and finds their places.
func (s *sources) better(e *Error, value *yaml.Node, path string) {
	labels := strings.Contains(path, ".labels")
	if value != nil && labels && value.Kind == yaml.SequenceNode {
		// compose-go names the list, not the item.
		if i := slices.IndexFunc(value.Content, func(n *yaml.Node) bool { return deref(n).Kind != yaml.ScalarNode }); i >= 0 {
			value = deref(value.Content[i])
			e.At.Line, e.At.Column = value.Line, value.Column
		}
	}
	switch {
	case strings.Contains(e.Text, "nvalid interpolation format"):
		e.say("dollar-eaten", "Compose takes a $ for the beginning of a variable, and finds none", "write each $ that is meant twice: $$")
	case strings.Contains(e.Text, "required variable"):
		e.Code = "variable-missing"
	case strings.HasSuffix(e.Text, "false schema"):
		e.unknownKey(path)
	case value != nil && labels && value.Kind == yaml.MappingNode:
		e.say("yaml-value", "YAML takes the value for a map, as it begins with { or has a colon and a blank in it: a label is text", "put the whole value into quotes")
	case value != nil && labels && value.Kind == yaml.SequenceNode:
		e.say("yaml-value", "YAML takes the value for a list, as it begins with [: a label is text", "put the whole value into quotes")
	}
}

// unknownKey words a key that the Compose specification does not have.
func (e *Error) unknownKey(path string) {
	steps := strings.SplitN(path, ".", 3)
	if len(steps) < 3 || steps[0] != "services" {
		e.say("compose-refused", path+" is no key that Compose knows", "")
		return
	}
	e.say("compose-refused", steps[2]+" is no key that a service has", "")
	if strings.Contains(steps[2], ".") {
		e.say("label-place", steps[2]+" stands beside the keys of the service "+steps[1], "write it below  labels:  and indent it by two blanks more")
	}
}

// lineOf finds the line that the YAML reader names.
var lineOf = regexp.MustCompile(`line (\d+)(?:, column (\d+))?`)

// syntax words why f is no YAML.
func (f *file) syntax() *Error {
	e := &Error{Code: "yaml", At: Position{File: f.path}, Text: "this is no YAML: " + noise.ReplaceAllString(strings.TrimPrefix(f.wrong.Error(), "yaml: "), "")}
	if m := lineOf.FindStringSubmatch(f.wrong.Error()); m != nil {
		e.At.Line, _ = strconv.Atoi(m[1])
		e.At.Column, _ = strconv.Atoi(m[2])
	}
	lines := strings.Split(string(f.text), "\n")
	line := ""
	if e.At.Line > 0 && e.At.Line <= len(lines) {
		line = lines[e.At.Line-1]
	}
	for i, line := range lines {
		if m := starred.FindStringSubmatchIndex(line); m != nil {
			e.At = Position{f.path, i + 1, m[2] + 1}
			e.say("yaml-value", "YAML takes "+line[m[2]:m[3]]+" for the name of an alias", "put the value into quotes: \""+line[m[2]:m[3]]+"\"")
			return e
		}
	}
	switch {
	case strings.HasPrefix(strings.TrimLeft(line, " "), "\t"):
		e.say("yaml", "the line begins with a tab, which YAML does not allow", "indent it with blanks")
	case valued.MatchString(line):
		e.say("yaml-value", e.Text, "put the value into quotes: YAML has a meaning of its own for  : #  and for values that begin with @ ` % & ! | > { [")
	}
	return e
}

// valued finds a line with a key that has dots, as labels have, and a value.
var valued = regexp.MustCompile(`^\s*(?:- )?[\w-]+\.[\w.-]+\s*[:=]\s*\S`)

// starred finds a value that begins with * and is no name of an anchor.
var starred = regexp.MustCompile(`(?:^|\s)[\w-]+\.[\w.-]+\s*:\s+(\*[.,/\s][^#\s]*|\*$|\*\S*[./,]\S*)`)

package check

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/fairlead/fairlead/discovery/composefile"
	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/spec"
)

// value adds what Compose or YAML made of the value of a label, if that is not
// what stands in the file.
func (c *checker) value(s *composefile.Service, l *composefile.Label) {
	if !c.schema.Mentions(map[string]string{l.Name: ""}) {
		return
	}
	p := spec.Problem{Label: label.Shown(l.Name), Value: label.Shown(l.Raw)}
	switch eaten := bareNames(l.Unset); {
	case l.Raw == "" || l.Text == "": // the label says so itself
	case len(eaten) > 0:
		p.Code, p.Effect = "dollar-eaten", label.Changed
		p.Message = "Compose takes " + strings.Join(eaten, " and ") + " for a variable, which is not set, and puts nothing there"
		p.Fix = "write each $ that is meant twice: $$"
		c.hint(s, p)
	case l.Plain && !strings.Contains(l.Raw, "$") && l.Text != l.Raw && c.meaning(l.Name, l.Text) != c.meaning(l.Name, l.Raw):
		p.Code, p.Effect = "yaml-value", label.Changed
		p.Message = "YAML reads this as " + l.Text
		p.Fix = `put it into quotes: "` + l.Raw + `"`
		c.hint(s, p)
	case l.Plain && c.older(l) != "":
		p.Code = "yaml-value"
		p.Message = "docker-compose before version 2 reads this as " + c.older(l)
		p.Fix = `put it into quotes: "` + l.Raw + `"`
		c.hint(s, p)
	case l.Plain && len(l.Comment) > 1 && l.Comment[1] != ' ':
		p.Code = "yaml-comment"
		p.Message = "YAML takes " + label.Shown(l.Comment) + " for a comment"
		p.Fix = "put the whole value into quotes, or a blank behind the # of a comment"
		c.hint(s, p)
	}
}

// bareNames returns those of references that are written without braces: $2y of
// a password hash, and not ${HOST}, which is meant.
func bareNames(references []string) (out []string) {
	for _, r := range references {
		if !strings.HasPrefix(r, "${") {
			out = append(out, r)
		}
	}
	return out
}

// meaning returns what a label with a value comes to, as text to be compared.
func (c *checker) meaning(name, value string) string {
	labels, problems := c.schema.Read("", map[string]string{name: value})
	text := codes(problems)
	for _, route := range append([]string{""}, slices.Sorted(maps.Keys(labels.Routes))...) {
		o, problems := c.schema.Decode("", c.schema.For(labels, route, nil))
		for _, kind := range slices.Sorted(maps.Keys(o)) {
			text += fmt.Sprintf("%s=%+v ", kind, o[kind])
		}
		text += codes(problems)
	}
	return text
}

func codes(problems []label.Problem) (out string) {
	for _, p := range problems {
		out += p.Code + " "
	}
	return out
}

// older returns what docker-compose 1 makes of a plain value, which reads YAML
// 1.1, "" if that means the same.
func (c *checker) older(l *composefile.Label) string {
	was := yaml11(l.Raw)
	expected := was == "False" && strings.EqualFold(l.Raw, "off") // labels read both
	if was == l.Raw || expected || c.meaning(l.Name, was) == c.meaning(l.Name, l.Text) {
		return ""
	}
	return was
}

// yaml11 returns what YAML 1.1 makes of a plain scalar where YAML 1.2 keeps it:
// words that are booleans (yes, no, on, off), and numbers of base 60 (22:30).
func yaml11(raw string) string {
	switch strings.ToLower(raw) {
	case "yes", "on", "true":
		return "True"
	case "no", "off", "false":
		return "False"
	}
	parts := strings.Split(raw, ":")
	if len(parts) < 2 {
		return raw
	}
	total := 0
	for i, part := range parts {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 || i > 0 && (n > 59 || len(part) > 2) || i == 0 && part[0] == '0' {
			return raw
		}
		total = total*60 + n
	}
	return strconv.Itoa(total)
}

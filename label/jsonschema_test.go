package label_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/routing"
	"go.yaml.in/yaml/v4"
)

// A jsonSchema evaluates a JSON schema (draft-07), as far as ours goes.
type jsonSchema struct {
	t        *testing.T
	root     map[string]any
	compiled map[string]*regexp.Regexp
}

func newJSONSchema(t *testing.T, prefix string) jsonSchema {
	t.Helper()
	var b bytes.Buffer
	if err := routing.Schema(prefix).WriteJSONSchema(&b); err != nil {
		t.Fatal(err)
	}
	s := jsonSchema{t: t, compiled: map[string]*regexp.Regexp{}}
	if err := json.Unmarshal(b.Bytes(), &s.root); err != nil {
		t.Fatal(err)
	}
	return s
}

// labels reports whether a compose file with these labels of a service is right.
func (s jsonSchema) labels(labels any) bool {
	file := map[string]any{"services": map[string]any{"web": map[string]any{"image": "x", "labels": labels}}}
	return s.valid(s.root, asJSON(s.t, file))
}

// both reports whether name=text is right in a map and in a list.
func (s jsonSchema) both(name, text string) (inMap, inList bool) {
	return s.labels(map[string]any{name: text}), s.labels([]string{name + "=" + text})
}

func asJSON(t *testing.T, v any) (out any) {
	b, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (s jsonSchema) valid(schema, v any) bool {
	n := schema.(map[string]any)
	if ref, ok := n["$ref"].(string); ok {
		return s.valid(s.root["definitions"].(map[string]any)[strings.TrimPrefix(ref, "#/definitions/")], v)
	}
	for word, arg := range n {
		if !s.holds(n, word, arg, v) {
			return false
		}
	}
	return true
}

// holds evaluates one word of the schema n. A word it does not know fails the
// test: nothing is left unchecked.
func (s jsonSchema) holds(n map[string]any, word string, arg, v any) bool {
	all := func(yield func(any) bool) bool {
		return !slices.ContainsFunc(arg.([]any), func(sub any) bool { return !yield(sub) })
	}
	object, isObject := v.(map[string]any)
	text, isText := v.(string)
	number, isNumber := v.(float64)
	list, isList := v.([]any)
	switch word {
	case "$schema", "title", "description", "default", "examples", "errorMessage", "doNotSuggest", "definitions", "then":
		return true
	case "properties", "patternProperties", "additionalProperties":
		return !isObject || s.properties(n, object)
	case "propertyNames":
		return !slices.ContainsFunc(slices.Collect(maps.Keys(object)), func(name string) bool { return !s.valid(arg, name) })
	case "items":
		return !isList || !slices.ContainsFunc(list, func(item any) bool { return !s.valid(arg, item) })
	case "allOf":
		return all(func(sub any) bool { return s.valid(sub, v) })
	case "anyOf":
		return !all(func(sub any) bool { return !s.valid(sub, v) })
	case "not":
		return !s.valid(arg, v)
	case "if":
		return !s.valid(arg, v) || s.valid(n["then"], v)
	case "type":
		return !all(func(sub any) bool { return !isType(sub.(string), v) })
	case "enum":
		return slices.Contains(arg.([]any), v)
	case "pattern":
		return !isText || s.matches(arg.(string), text)
	case "minimum":
		return !isNumber || number >= arg.(float64)
	case "maximum":
		return !isNumber || number <= arg.(float64)
	}
	s.t.Fatalf("the schema uses %q, which this test does not know", word)
	return false
}

func (s jsonSchema) matches(pattern, text string) bool {
	re := s.compiled[pattern]
	if re == nil {
		re = regexp.MustCompile(pattern)
		s.compiled[pattern] = re
	}
	return re.MatchString(text)
}

func (s jsonSchema) properties(n, object map[string]any) bool {
	exact, _ := n["properties"].(map[string]any)
	patterns, _ := n["patternProperties"].(map[string]any)
	for name, v := range object {
		own, matched := exact[name]
		if matched && !s.valid(own, v) {
			return false
		}
		for pattern, sub := range patterns {
			if !s.matches(pattern, name) {
				continue
			}
			if matched = true; !s.valid(sub, v) {
				return false
			}
		}
		if others, ok := n["additionalProperties"]; ok && !matched && !s.valid(others, v) {
			return false
		}
	}
	return true
}

func isType(name string, v any) bool {
	switch v := v.(type) {
	case string:
		return name == "string"
	case bool:
		return name == "boolean"
	case float64:
		return name == "number" || name == "integer" && v == math.Trunc(v)
	}
	return false
}

// accepts reports whether the program has no problem with name=text that its
// name and text alone give rise to.
func accepts(s *label.Schema, name, text string) bool {
	l, problems := s.Read("web", map[string]string{name: text})
	for route := range l.Routes {
		_, more := s.Decode("web", s.For(l, route, nil))
		problems = append(problems, more...)
	}
	_, more := s.Decode("web", s.For(l, "", nil))
	return !slices.ContainsFunc(append(problems, more...), func(p label.Problem) bool {
		return p.Effect != label.Hinted && !strings.Contains(p.Message, "needs both")
	})
}

// texts are values that are right for some label and wrong for others.
var texts = []string{
	"true", "True", "ON", "yes", "1", "false", "False", "off", "OFF", "no", "0", "maybe", "tru", " true ", "-1", "-0", "+1", "007", "2", "10", "99", "100", "101", "999", "1000", "1001", "-1000", "-1001",
	"9999", "10000", "10001", "65535", "65536", "99999", "1000000", "1000001", "1.5", "1e3", "0x10", "1_000", "1m", "30s", "1h30m", "1.5h", ".5s", "7d", "2w", "1y", "250ms", "30", "30 s", "1M", "µs", "5µs", "-5s", "1h 30m",
	"1y immutable", "IMMUTABLE 30D", "immutable", "1y mutable", "10%", "10 %", "0.5%", "101%", "x%", "%", "header:X-A", "cookie:a", "cookie-hash:a", "header-hash: X-A", "cookie-hash", "ip-hash", "round-robin", "round_robin", "leastconn",
	"http", "https", "HTTPS", "h2c", "grpc", "tcp", "redirect", "serve", "auto", "internal", "file:/run/secrets/a.pem,/run/secrets/a.key", "file:", "env:FAIRLEAD_SECRET_A,env:FAIRLEAD_SECRET_B", "1.2", "1.3", "TLSv1.3",
	"/", "/api", "=/x", "/a b", "/a?b", "~/x[0-9]+", "api", "/static/:/app/static", "app.example.com", "*.example.com", "~x\\.test", "*", "a.test, b.test", "GET", "get", "10.0.0.0/8", "private", "200", "200-399", "200 healthy", "404", "600 x", "204 x", "204",
	"301 https://a.test{uri}", "https://a.test", "{uri}", "http://a.test/a b", "399 /x", "//x", "@web", "web", "backend", "upstream", "client", "any", "index.htm", "a/b", "volume", "archive", "X", "a;b", "a\nb", "a,b", "ä", "fairlead_lot", strings.Repeat("x", 100),
}

// TestJSONSchemaAgreesWithTheProgram tries many values of every label. What the
// schema refuses, the program refuses; where the type is closed they agree.
func TestJSONSchemaAgreesWithTheProgram(t *testing.T) {
	s, program := newJSONSchema(t, "fairlead"), routing.Schema("fairlead")
	closed := map[string]bool{"bool": true, "number": true}
	for _, k := range program.Kinds {
		for _, r := range k.Rows {
			agree := closed[r.Type] || r.Later || len(r.Form.Words) > 1 && r.Form.Pattern == ""
			refused := 0
			for i, text := range append(slices.Clone(texts), r.Example, r.Default) {
				name := "fairlead." + strings.Replace(r.Path, "*", "X-Any", 1)
				if strings.TrimSpace(text) == "" {
					continue
				}
				want := accepts(program, name, text)
				inMap := s.valid(s.root["definitions"].(map[string]any)[r.Path], text)
				switch {
				case want && !inMap:
					t.Errorf("%s=%q: the schema refuses what the program reads", name, text)
				case agree && inMap != want:
					t.Errorf("%s=%q: got valid %v, want %v as the program has it", name, text, inMap, want)
				}
				if !inMap {
					refused++
				}
				if i%40 != 0 && text != r.Example {
					continue // what a whole file makes of it is slow to find out
				}
				if m, l := s.both(name, text); m != inMap || l != inMap {
					t.Errorf("%s=%q: got valid %v in a map and %v in a list, want %v as by itself", name, text, m, l, inMap)
				}
				route := "fairlead.route.an-api_2." + strings.TrimPrefix(name, "fairlead.")
				if m, l := s.both(route, text); m != inMap || l != inMap {
					t.Errorf("%s=%q: got valid %v and %v, want %v as on the main route", route, text, m, l, inMap)
				}
			}
			if closedToo := r.Type == "duration" || agree; closedToo && refused < 20 {
				t.Errorf("%s: only %d of %d texts are refused", r.Path, refused, len(texts))
			}
		}
	}
}

// TestJSONSchemaOfNumbers tries every number near the bounds: the patterns of
// ranges are made, not written.
func TestJSONSchemaOfNumbers(t *testing.T) {
	s := newJSONSchema(t, "fairlead")
	for _, k := range routing.Schema("fairlead").Kinds {
		for _, r := range k.Rows {
			if !r.Form.Whole {
				continue
			}
			name := "fairlead." + r.Path
			try := map[int]bool{}
			for _, near := range []int{r.Form.Min, r.Form.Max, 0, 9, 10, 99, 100, 1000, 5000, 59999, 64999, 65499, 65529, 10 * r.Form.Max} {
				for n := near - 3; n <= near+3; n++ {
					try[n] = true
				}
			}
			for n := range try {
				want := n >= r.Form.Min && n <= r.Form.Max
				inMap, inList := s.both(name, fmt.Sprint(n))
				if number := s.labels(map[string]any{name: n}); inMap != want || inList != want || number != want {
					t.Errorf("%s=%d: got valid %v, %v in a list, %v as a number; want %v", name, n, inMap, inList, number, want)
				}
			}
		}
	}
}

func TestJSONSchemaOfWholeFiles(t *testing.T) {
	s := newJSONSchema(t, "fairlead")
	for _, c := range []struct {
		labels any
		want   bool
	}{
		{map[string]any{"fairlead.port": 8080, "fairlead.enable": true, "traefik.x": nil, "a": 1}, true},
		{map[string]any{"fairlead.port": "${PORT:-8080}"}, true},
		{map[string]any{"fairlead.port": "$PORT"}, true},
		{map[string]any{"fairlead.port": "8080$"}, false},
		{map[string]any{"fairlead.port": nil}, false},
		{map[string]any{"fairlead.port": 80.5}, false},
		{map[string]any{"fairlead.host": ""}, false},
		{map[string]any{"fairlead.host": "  "}, false},
		{map[string]any{"fairlead.match.query.v": 2}, true},
		{map[string]any{"fairlead.tls": false}, true},
		{map[string]any{"fairlead.tls.min-version": 1.2}, true},
		{map[string]any{"fairlead.tls.min-version": 1.1}, false},
		{map[string]any{"fairlead.timeout.connect": 0}, true}, // out of range; no pattern says so
		{map[string]any{"fairlead.timeout.connect": 30}, false},
		{map[string]any{"fairlead.timeout": "off"}, true},
		{map[string]any{"fairlead.timeout": "5s"}, false},
		{map[string]any{"fairlead.auth.basic": "a:b"}, false},
		{map[string]any{"fairlead.hots": "a.test"}, false},
		{map[string]any{"fairlead.": "a.test"}, false},
		{map[string]any{"fairlead.Host": "a.test"}, false},
		{map[string]any{"fairlead.header.response": "x"}, false},
		{map[string]any{"fairlead.header.response.X-A.b": "x"}, true},
		{map[string]any{"fairlead.route.api.hots": "a.test"}, false},
		{map[string]any{"fairlead.route.API.host": "a.test"}, false},
		{map[string]any{"fairlead.route.host": "a.test"}, false},
		{map[string]any{"fairlead.route.a.route.b.host": "a.test"}, false},
		{map[string]any{"fairlead2.hots": "a.test", "fairlead": "x", "x.fairlead.hots": 1}, true},
		{[]any{"fairlead.port=8080", "other", "traefik.x=y", "fairlead.host=~x[0-9]=y", map[string]any{"odd": 1}}, true},
		{[]any{"fairlead.port=${PORT}", "fairlead.route.${NAME}.host=a.test", "${LABEL}"}, true},
		{[]any{"fairlead.port"}, false},
		{[]any{"fairlead.port="}, false},
		{[]any{"fairlead.port = 80"}, false},
		{[]any{"fairlead.port: 80"}, false},
		{"not labels at all", true},
		{nil, true},
	} {
		if got := s.labels(c.labels); got != c.want {
			t.Errorf("labels %v: got valid %v, want %v", c.labels, got, c.want)
		}
		file := map[string]any{"services": map[string]any{"web": map[string]any{"deploy": map[string]any{"labels": c.labels}}}}
		if got := s.valid(s.root, asJSON(t, file)); got != c.want {
			t.Errorf("deploy.labels %v: got valid %v, want %v", c.labels, got, c.want)
		}
	}
	for _, file := range []any{nil, 1, map[string]any{"services": 3}, map[string]any{"services": map[string]any{"web": nil, "x": []int{1}}, "volumes": 7}} {
		if !s.valid(s.root, asJSON(t, file)) {
			t.Errorf("%v: got refused; what is wrong with it is not for this schema to say", file)
		}
	}
}

// The examples that the end-to-end tests run are right in an editor too.
func TestJSONSchemaOfTheExamples(t *testing.T) {
	s, n := newJSONSchema(t, "fairlead"), 0
	err := filepath.WalkDir("../compose-examples", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "compose.yaml" {
			return err
		}
		n++
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var file map[string]any
		if err := yaml.Unmarshal(text, &file); err != nil {
			return err
		}
		if !s.valid(s.root, asJSON(t, file)) {
			t.Errorf("%s: got refused", path)
		}
		return nil
	})
	if err != nil || n < 10 {
		t.Errorf("%d examples, %v; want 10 at least", n, err)
	}
}

func TestJSONSchemaHasThePrefix(t *testing.T) {
	s := newJSONSchema(t, "edge-1")
	if !s.labels(map[string]any{"edge-1.port": 80, "fairlead.hots": 1}) || s.labels(map[string]any{"edge-1.hots": "x"}) || s.labels([]string{"edge-1.port=x"}) {
		t.Error("got the prefix edge-1 not followed")
	}
}

// Editors read the expressions by ECMA 262 and Go by RE2; what only one of them
// knows has no place in the schema.
func TestJSONSchemaPatternsAreCommon(t *testing.T) {
	var b bytes.Buffer
	if err := routing.Schema("fairlead").WriteJSONSchema(&b); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, m := range regexp.MustCompile(`(?m)^\s*"(?:pattern": )?("(?:\^|[^"]*\$\[)(?:[^"\\]|\\.)*")`).FindAllStringSubmatch(b.String(), -1) {
		n++
		var pattern string
		if err := json.Unmarshal([]byte(m[1]), &pattern); err != nil {
			t.Fatal(err)
		}
		if bad := regexp.MustCompile(`\(\?[^:]|\\[AzZQEpP]|\[\[:|\\x\{|\*\*|\+\+`).FindString(pattern); bad != "" {
			t.Errorf("pattern %s has %s, which is not common", pattern, bad)
		}
	}
	if n < 100 {
		t.Errorf("got %d patterns, want 100 at least", n)
	}
}

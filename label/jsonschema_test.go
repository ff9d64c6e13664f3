package label_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/routing"
)

// editor returns a func that says whether an editor would accept the text of a
// compose file.
func editor(t testing.TB, s *label.Schema) func(text string) error {
	t.Helper()
	var b bytes.Buffer
	if err := s.WriteJSONSchema(&b); err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(&b)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("labels.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("labels.json")
	if err != nil {
		t.Fatal(err)
	}
	return func(text string) error {
		var v any
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return schema.Validate(v)
	}
}

// labelled returns a compose file with these labels.
func labelled(lines ...string) string {
	return "services:\n  web:\n    image: x\n    labels:\n      " + strings.Join(lines, "\n      ") + "\n"
}

func TestEditorsAcceptWhatIsRight(t *testing.T) {
	s := routing.Schema("fairlead")
	accepts := editor(t, s)
	found, _ := s.Lookup("")
	if len(found) < 100 {
		t.Fatalf("%d labels", len(found))
	}
	for _, e := range found {
		if e.Later() {
			continue
		}
		line := e.Line("fairlead")
		lines := []string{line, strings.Replace(line, "fairlead.", "fairlead.route.api.", 1)}
		if e.Inherit == label.Container {
			lines = lines[:1]
		}
		name, _, _ := strings.Cut(line, `: "`)
		lines = append(lines, name+": ${SOMETHING:-x}", name+": \"off\"", "- "+name+"=${X}")
		if !strings.ContainsAny(e.Example, "\n$\"\\") {
			lines = append(lines, "- '"+name+"="+strings.ReplaceAll(e.Example, "'", "''")+"'")
		}
		for _, l := range lines {
			if err := accepts(labelled(l)); err != nil {
				t.Errorf("%s: %v", l, err)
			}
		}
	}
	for _, l := range []string{
		"fairlead.port: 8080", "fairlead.strip: true", "fairlead.strip: /api", "fairlead.down: no", "fairlead.down: \"YES\"", "fairlead.hold: 1h30m", "fairlead.hold: \"0\"",
		"traefik.http.routers.x.rule: Host(`x`)", "com.example.fairlead.x: y", "fairlead2.host: x", "- other=1", "- fairlead.host=a.localhost, b.localhost",
	} {
		if err := accepts(labelled(l)); err != nil {
			t.Errorf("%s: %v", l, err)
		}
	}
	if err := accepts("services:\n  web:\n    anything: [1]\n    deploy: {labels: {fairlead.host: x}}\nother: {}\n"); err != nil {
		t.Errorf("what is Compose's to judge: %v", err)
	}
}

func TestEditorsRefuseWhatIsWrong(t *testing.T) {
	accepts := editor(t, routing.Schema("fairlead"))
	for _, l := range []string{
		"fairlead.hots: x", "- fairlead.hots=x", "fairlead.route.api.prot: \"80\"", "fairlead.route.API.host: x", "fairlead.route.api.enable: \"true\"", "fairlead.timeout: 5s",
		"fairlead.port: eighty", "fairlead.port: 70000", "- fairlead.port=eighty", "fairlead.hold: \"60\"", "fairlead.hold: 60", "fairlead.down: maybe",
		"fairlead.scheme: htps", "fairlead.header.response.: x", "fairlead.: x",
	} {
		if accepts(labelled(l)) == nil {
			t.Errorf("%s is accepted", l)
		}
	}
	if accepts("services: {web: {deploy: {labels: {fairlead.hots: x}}}}") == nil {
		t.Error("a wrong label of a Swarm service is accepted")
	}
	other := editor(t, routing.Schema("edge"))
	if other(labelled("edge.hots: x")) == nil || other(labelled("fairlead.hots: x")) != nil {
		t.Error("another prefix does not count")
	}
}

// TestEditorsKnowEveryValueThatLabelsRead: what an editor refuses, labels refuse.
func TestEditorsKnowEveryValueThatLabelsRead(t *testing.T) {
	s := routing.Schema("fairlead")
	accepts := editor(t, s)
	found, _ := s.Lookup("")
	for _, e := range found {
		if e.Later() {
			continue
		}
		name, _, _ := strings.Cut(e.Line("fairlead"), `: "`)
		for _, value := range []string{"true", "No", "1", "0", "80", "-1", "+5", "5s", "1.5h", ".5s", "7d12h", "250ms", "10k", "1 GB", "50%", "a.b", "*.a.b", "/x", "~x", "http", "auto", "internal", "ip-hash", "200", "200 OK", "x,y", "1.2", "tcp"} {
			labels, problems := s.Read("", map[string]string{name: value})
			_, more := s.Decode("", s.For(labels, "", nil))
			if len(problems)+len(more) == 0 && accepts(labelled(name+": \""+value+"\"")) != nil {
				t.Errorf("%s: %q is read and editors refuse it", name, value)
			}
		}
	}
}

// docs/labels.schema.json is what the program says of its labels.
func TestSchemaFileIsGenerated(t *testing.T) {
	var want bytes.Buffer
	if err := routing.Schema("fairlead").WriteJSONSchema(&want); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../docs/labels.schema.json")
	if err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("docs/labels.schema.json is out of date (%v): go run ./cmd/fairlead labels --schema > docs/labels.schema.json", err)
	}
}

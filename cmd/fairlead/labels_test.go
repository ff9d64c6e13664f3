package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/routing"
)

// What is generated is what the program says of its labels.
func TestLabelsPagesAreGenerated(t *testing.T) {
	t.Parallel()
	schema := routing.Schema("fairlead")
	for file, how := range map[string]struct {
		flag  string
		write func(io.Writer) error
	}{
		"labels.md":          {"--markdown", func(w io.Writer) error { return writeReference(w, schema) }},
		"labels.schema.json": {"--schema", schema.WriteJSONSchema},
	} {
		var want bytes.Buffer
		if err := how.write(&want); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile("../../docs/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want.Bytes()) {
			t.Errorf("docs/%s is out of date at %s\nwrite it anew: go run ./cmd/fairlead labels %s > docs/%s", file, firstDifference(string(got), want.String()), how.flag, file)
		}
	}
}

func TestLabelsCommand(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args    []string
		want    []string // what it says, in this order
		without []string
	}{
		{[]string{"timeout.connect"}, []string{"fairlead.timeout.connect\nTo open a connection", "duration (as 250ms", "1ms to 1m", "5s", `fairlead.timeout.connect: "2s"`, "fairlead.timeout.connect too, or fairlead.route.NAME.timeout.connect", "the newest of a service", "costs the label", "proxy_connect_timeout", "How load is shared", "fairlead.timeout.idle"}, []string{"--default", "503"}},
		{[]string{"fairlead.header.response.X-Foo"}, []string{"fairlead.header.response.NAME", `fairlead.header.response.X-Frame-Options: "DENY"`, "--default header.response.NAME=VALUE", "add_header", "fairlead.header.request.NAME"}, []string{"is back at it"}},
		{[]string{"header.response"}, []string{"fairlead.header.response.NAME\n", "DENY"}, nil},
		{[]string{"header.response.*"}, []string{"fairlead.header.response.NAME\n", "DENY"}, nil},
		{[]string{"header"}, []string{"fairlead.header.request.NAME", "fairlead.header.response.NAME"}, []string{"DENY"}},
		{[]string{"route.api.host"}, []string{"fairlead.route.api.host\n", `fairlead.route.api.host: "app.example.com, *.app.example.com"`, "a named route has fairlead.host too", "refuses the route", "server_name"}, []string{"--default"}},
		{[]string{"route.NAME.path"}, []string{"fairlead.route.NAME.path\n", `fairlead.route.NAME.path: "/api, /v2"`, "has fairlead.route.NAME.path, and not fairlead.path"}, nil},
		{[]string{"timeout"}, []string{"How long the parts of an exchange", `"off"`, "fairlead.timeout.connect ", "fairlead.timeout.response", "fairlead.timeout.idle", "fairlead.timeout.request"}, []string{"fairlead.host"}},
		{[]string{"health"}, []string{"fairlead.health\n", "off | tcp | http | grpc", "Beside it", "fairlead.health.path", "Path, with a query if need be, that is asked for.\n"}, nil},
		{[]string{"fairlead.path"}, []string{"fairlead.path\n"}, nil},
		{[]string{"prio"}, []string{"fairlead.priority\n", "-1000 to 1000"}, nil},
		{[]string{"max-"}, []string{"fairlead.max-conns", "fairlead.max-fails", "fairlead.max-body"}, []string{"section"}},
		{[]string{"scheme"}, []string{"; not yet: h2c, fastcgi, uwsgi", "each of a service has its own"}, nil},
		{[]string{"enable"}, []string{"of the container, not of a route", "each of a service has its own", "refuses the route"}, nil},
		{[]string{"log"}, []string{"0% to 100%", "--default log=VALUE", "access_log"}, []string{"is back at it"}},
		{[]string{"route.api.log"}, []string{"fairlead.route.api.log\n", "--default log=VALUE"}, nil},
		{[]string{"auth.basic"}, []string{"fairlead.auth.basic\nnot yet: ", "not built yet", "refuses the route", "auth_basic", "fairlead.auth.oidc"}, []string{"example", "default"}},
		{[]string{"proxy_read_timeout"}, []string{"fairlead.timeout.response", "fairlead.timeout.idle"}, []string{"fairlead.timeout.connect"}},
		{[]string{"client_max_body_size"}, []string{"fairlead.max-body\n", "not yet"}, nil},
		{[]string{"max_conns"}, []string{"fairlead.max-conns\n", "server max_conns="}, nil},
		{[]string{"proxy_cache"}, []string{"fairlead.cache\n"}, nil},
		{[]string{"proxy_ssl"}, []string{"fairlead.upstream-tls.verify", "fairlead.upstream-tls.key"}, []string{"fairlead.tls"}},
		{[]string{"route"}, []string{"fairlead.route.NAME.KEY", "a-z"}, nil},
		{[]string{"route.api"}, []string{"fairlead.route.NAME.KEY", "a-z"}, nil},
		{[]string{"--label-prefix", "edge", "port"}, []string{"edge.port\n", `edge.port: "8080"`, "edge.route.NAME.port"}, []string{"fairlead."}},
		{[]string{"--label-prefix", "edge", "edge.port"}, []string{"edge.port\n"}, nil},
		{nil, []string{"fairlead.enable", "fairlead.host ", "fairlead.header.request.NAME", "not yet"}, []string{"section"}},
	} {
		out, err := command(append([]string{"labels"}, tt.args...)...)
		if err != nil {
			t.Errorf("labels %q: %v", tt.args, err)
		}
		rest := out
		for _, want := range tt.want {
			_, after, found := strings.Cut(rest, want)
			if !found {
				t.Errorf("labels %q lacks %q where it belongs:\n%s", tt.args, want, out)
				continue
			}
			rest = after
		}
		for _, none := range tt.without {
			if strings.Contains(out, none) {
				t.Errorf("labels %q says %q:\n%s", tt.args, none, out)
			}
		}
	}
}

func TestLabelsCommandOfWhatIsNoLabel(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"hots":                "there is no label fairlead.hots, did you mean fairlead.host?\n",
		"fairlead.hots":       "there is no label fairlead.hots, did you mean fairlead.host?\n",
		"route.api.hots":      "there is no label fairlead.route.api.hots, did you mean fairlead.route.api.host?\n",
		"rout.api.host":       "there is no label fairlead.rout.api.host, did you mean fairlead.route.api.host?\n",
		"timeout.conect":      "there is no label fairlead.timeout.conect, did you mean fairlead.timeout.connect?\n",
		"header.respnose.X-A": "there is no label fairlead.header.respnose.X-A, did you mean fairlead.header.response.X-A?\n",
		"nonsense":            "there is no label fairlead.nonsense; fairlead labels lists all\n",
		"":                    "there is no label fairlead.; fairlead labels lists all\n",
		"x\x1b[31m":           "there is no label fairlead.x\ufffd[31m; fairlead labels lists all\n",
		"route.API.host":      "there is no label fairlead.route.API.host, did you mean fairlead.route.api.host?\n",
	} {
		if out, err := command("labels", key); !errors.Is(err, errNo) || out != want {
			t.Errorf("labels %q = %q, %v; want the answer no and %q", key, out, err, want)
		}
	}
	for _, args := range [][]string{{"--label-prefix", "a.b"}, {"--schema", "port"}, {"--markdown", "port"}, {"--schema", "--json"}, {"a", "b"}} {
		if out, err := command(append([]string{"labels"}, args...)...); err == nil || errors.Is(err, errNo) {
			t.Errorf("labels %q = %.100q, %v; want it refused as wrong usage", args, out, err)
		}
	}
}

func TestLabelsCommandAsJSON(t *testing.T) {
	t.Parallel()
	var a label.Answer
	out, err := command("labels", "--json", "timeout.connect")
	if jerr := json.Unmarshal([]byte(out), &a); err != nil || jerr != nil || a.Entry == nil || len(a.Others) != 3 {
		t.Fatalf("labels --json timeout.connect = %s, %v, %v; want the label and three others", out, err, jerr)
	}
	if e := a.Entry; e.Label != "fairlead.timeout.connect" || e.Kind != "timeout" || e.Type != "duration" || e.Range != "1ms to 1m" || e.Default != "5s" || e.Example != `fairlead.timeout.connect: "2s"` || !e.Inherited || e.Policy || e.FailClosed || e.Later {
		t.Errorf("labels --json timeout.connect = %+v", *e)
	}
	out, err = command("labels", "--json", "hots")
	if jerr := json.Unmarshal([]byte(out), &a); !errors.Is(err, errNo) || jerr != nil || a.Near != "fairlead.host" {
		t.Errorf("labels --json hots = %s, %v, %v; want the answer no and what is near", out, err, jerr)
	}
	var all []label.Entry
	out, err = command("labels", "--json")
	if jerr := json.Unmarshal([]byte(out), &all); err != nil || jerr != nil || len(all) < 80 {
		t.Errorf("labels --json: %d labels, %v, %v; want all", len(all), err, jerr)
	}
}

// Each label is found by its key, as it is listed, and by its example as it is
// written; each word of nginx leads to a label that has it.
func TestLabelsCommandFindsEveryLabel(t *testing.T) {
	t.Parallel()
	s := routing.Schema("fairlead")
	for _, e := range s.Entries() {
		ways := []string{e.Label, e.Key, "route.x." + e.Key}
		if name, _, ok := strings.Cut(e.Example, ": "); ok {
			ways = append(ways, name)
		}
		for _, way := range ways {
			if a := s.Ask(way); a.Entry == nil || !strings.HasSuffix(a.Entry.Label, e.Key) {
				t.Errorf("%s: got %+v, want the label %s", way, a, e.Label)
			}
		}
		for _, word := range e.Directives() {
			a := s.Ask(word)
			found := a.Entry != nil
			for _, other := range a.Others {
				found = found || other.Label == e.Label
			}
			if word != "" && !found {
				t.Errorf("nginx's %s: got %+v, want %s among it", word, a, e.Label)
			}
		}
	}
}

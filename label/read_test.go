package label

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestAbsurdLabelsRefuseTheContainer(t *testing.T) {
	with := func(extra map[string]string) map[string]string {
		extra["fairlead.host"] = "a.ex"
		return extra
	}
	many := func(n int, format string) map[string]string {
		m := map[string]string{}
		for i := range n {
			m[fmt.Sprintf(format, i)] = "x"
		}
		return with(m)
	}
	for name, c := range map[string]struct {
		labels map[string]string
		code   string // "" if it is accepted
	}{
		"plain":                            {with(map[string]string{}), ""},
		"256 of ours":                      {many(255, "fairlead.x%d"), ""},
		"257 of ours":                      {many(256, "fairlead.x%d"), "labels-too-large"},
		"10,000 of ours":                   {many(10_000, "fairlead.x%d"), "labels-too-large"},
		"10,000 of others":                 {many(10_000, "other.x%d"), "labels-too-large"},
		"64 routes":                        {many(64, "fairlead.route.r%d.path"), ""},
		"65 routes":                        {many(65, "fairlead.route.r%d.path"), "labels-too-large"},
		"a value of 1 MiB":                 {with(map[string]string{"fairlead.x": strings.Repeat("a", 1<<20)}), "labels-too-large"},
		"a value of 1 MiB of others":       {with(map[string]string{"x": strings.Repeat("a", 1<<20)}), "labels-too-large"},
		"a value of 64 KiB":                {with(map[string]string{"fairlead.x": strings.Repeat("a", 64<<10)}), ""},
		"a key of 1 MiB":                   {with(map[string]string{"fairlead." + strings.Repeat("a", 1<<20): "x"}), "labels-too-large"},
		"a key of several lines":           {with(map[string]string{"fairlead.a\nb": "x"}), "label-bytes"},
		"a control byte in a value":        {with(map[string]string{"fairlead.x": "a\x00"}), "label-bytes"},
		"a carriage return":                {with(map[string]string{"fairlead.x": "a\r\nb"}), "label-bytes"},
		"a terminal's control in UTF-8":    {with(map[string]string{"fairlead.x": "\u009b2J"}), "label-bytes"},
		"several lines in a value":         {with(map[string]string{"fairlead.x": "a\n\tb"}), ""},
		"invalid UTF-8 in a value":         {with(map[string]string{"fairlead.x": "\xff"}), "label-bytes"},
		"invalid UTF-8 in a key":           {with(map[string]string{"fairlead.\xff": "x"}), "label-bytes"},
		"invalid UTF-8 in a value, others": {with(map[string]string{"x.y": "\xff"}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			l, problems := testSchema().Read("web", c.labels)
			i := slices.IndexFunc(problems, func(p Problem) bool { return p.Effect == ContainerRefused })
			switch {
			case i < 0 && c.code != "":
				t.Fatalf("got %v, want the container refused with %s", problems, c.code)
			case i < 0:
				if l.Main["host"].Text != "a.ex" {
					t.Errorf("got %v, want the host read", l.Main)
				}
			case problems[i].Code != c.code:
				t.Errorf("got %v, want %q", problems[i], c.code)
			case len(l.Main)+len(l.Routes) > 0:
				t.Errorf("got %v besides, want nothing of it read", l)
			case len(problems[i].String()) > 400:
				t.Errorf("got a message of %d bytes, want a short one", len(problems[i].String()))
			}
		})
	}
}

func TestContainersOfOthersAreNotJudged(t *testing.T) {
	labels := map[string]string{"other.\xff": strings.Repeat("x", 1<<20)}
	for i := range 10_000 {
		labels[fmt.Sprint("traefik.x", i)] = "y"
	}
	if l, problems := testSchema().Read("web", labels); len(l.Main) > 0 || len(problems) > 0 {
		t.Errorf("got %v and %v, want nothing", l, problems)
	}
}

func TestMentionsFindsOursAndMisspellings(t *testing.T) {
	s := testSchema()
	for name, want := range map[string]bool{
		"fairlead.host": true, "Fairlead.host": true, "FAIRLEAD.host": true, "fairlaed.host": true, "farlead.host": true, "fairleed.x.y": true, "fair-lead.host": true,
		"fairlead": false, "fairlead2.host": false, "fairlead-lan.host": false, "traefik.http": false, "com.docker.compose.project": false, "airplane.x": false, "": false, ".": false,
	} {
		if got := s.Mentions(map[string]string{name: "x"}); got != want {
			t.Errorf("%q: got %v, want %v", name, got, want)
		}
	}
}

func TestPrefixOfSeveralSegments(t *testing.T) {
	s := testSchema()
	s.Prefix = "org.example.proxy"
	l, problems := s.Read("web", map[string]string{"org.example.proxy.host": "a.ex", "org.example.proxy.route.b.path": "/b", "org.example.other.host": "b.ex", "org.exmaple.proxy.port": "1"})
	if l.Main["host"].Text != "a.ex" || l.Routes["b"]["path"].Text != "/b" {
		t.Errorf("got %+v, want host and path", l)
	}
	if len(problems) > 0 || l.Main["port"].Counts() {
		t.Errorf("got %v and %+v, want the misspelt label kept and not counted", problems, l.Main["port"])
	}
}

func TestCheckDefault(t *testing.T) {
	s := testSchema()
	for _, c := range []struct{ key, text, want string }{
		{"allow", "lan", ""}, {"allow", "hm", ""}, {"header.response.X-A", "1", ""}, {"compress.level", "9", ""},
		{"alow", "lan", `did you mean "allow"`}, {"nothing", "x", "unknown label"}, {"allow", "bad", "is bad"}, {"allow", " ", "is empty"},
		{"host", "a.ex", "not a policy"}, {"port", "80", "not a policy"}, {"auth.basic", "x", "does not work yet"}, {"compress.types", "x", "does not work yet"}, {"header", "x", "unknown label"},
	} {
		err := s.CheckDefault(c.key, c.text)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s=%s: got %v, want %q", c.key, c.text, err, c.want)
		}
	}
}

func TestWrongDeclarationsPanic(t *testing.T) {
	ok := Def[portOf]{Value: Int(func(o *portOf) *int { return &o.Port }, 1, 9), Doc: "Port.", Example: "1"}
	with := func(change func(*Def[portOf])) Def[portOf] {
		d := ok
		change(&d)
		return d
	}
	kind := func(name string) Kind { return Declare(Kind{Name: name, Section: SectionTarget}, nil, ok) }
	for name, f := range map[string]func(){
		"bad default":         func() { Declare(Kind{Name: "x"}, nil, with(func(d *Def[portOf]) { d.Default = "10" })) },
		"bad example":         func() { Declare(Kind{Name: "x"}, nil, with(func(d *Def[portOf]) { d.Example = "ten" })) },
		"no example":          func() { Declare(Kind{Name: "x"}, nil, with(func(d *Def[portOf]) { d.Example = "" })) },
		"no doc":              func() { Declare(Kind{Name: "x"}, nil, with(func(d *Def[portOf]) { d.Doc = "" })) },
		"no type":             func() { Declare(Kind{Name: "x"}, nil, with(func(d *Def[portOf]) { d.Value.Type = "" })) },
		"later without doc":   func() { Declare(Kind{Name: "x"}, nil, with(func(d *Def[portOf]) { d.Later, d.Doc = true, "" })) },
		"star without a key":  func() { Declare(Kind{Name: "x"}, nil, with(func(d *Def[portOf]) { d.Name = "a.*" })) },
		"key without a star":  func() { Declare(Kind{Name: "x"}, nil, with(func(d *Def[portOf]) { d.Key = "a" })) },
		"kind declared twice": func() { NewSchema("fairlead", kind("x"), kind("x")) },
		"kind called route":   func() { NewSchema("fairlead", kind("route")) },
		"no section":          func() { NewSchema("fairlead", Declare(Kind{Name: "x"}, nil, ok)) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("got a schema, want a panic")
				}
			}()
			f()
		})
	}
}

func TestDefaultsAreNotSharedBetweenRoutes(t *testing.T) {
	s := testSchema()
	one, _ := s.Decode("a", map[string]Setting{"header.response.X": {Key: "header.response.X", Text: "1"}})
	two, _ := s.Decode("b", map[string]Setting{"header.response.Y": {Key: "header.response.Y", Text: "2"}})
	a, _ := Get[headersOf](one, "header")
	b, _ := Get[headersOf](two, "header")
	if !slices.Equal(a.Response, []string{"X=1"}) || !slices.Equal(b.Response, []string{"Y=2"}) {
		t.Errorf("got %v and %v, want each its own", a, b)
	}
}

func TestReferenceNamesEveryLabel(t *testing.T) {
	var b strings.Builder
	s := testSchema()
	if err := s.WriteReference(&b); err != nil {
		t.Fatal(err)
	}
	for _, k := range s.Kinds {
		for _, r := range k.Rows {
			if name := strings.ReplaceAll(r.Path, "*", "NAME"); !strings.Contains(b.String(), "`"+name+"`") {
				t.Errorf("the reference lacks %s", name)
			}
			if line := lineWith(b.String(), "| `"+r.Path+"` |"); r.Later && !strings.Contains(line, "*not yet:*") {
				t.Errorf("the reference says %q of %s, want that it is not built yet", line, r.Path)
			}
		}
	}
}

func lineWith(text, part string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			return line
		}
	}
	return ""
}

func TestValueRefusedHalfWayLeavesNothingBehind(t *testing.T) {
	halfWay := Value[hostsOf]{Type: "text", Set: func(o *hostsOf, _, text string) error {
		o.Hosts = append(o.Hosts, text)
		if text == "bad" {
			return &ValueError{Msg: "is bad"}
		}
		return nil
	}}
	s := NewSchema("fairlead", Declare(Kind{Name: "x", Section: SectionTarget}, nil,
		Def[hostsOf]{Name: "a", Value: halfWay, Doc: "One.", Example: "1"}, Def[hostsOf]{Name: "b", Value: halfWay, Doc: "Other.", Example: "1"}))
	opts, problems := s.Decode("web", map[string]Setting{"x.a": {Key: "x.a", Text: "good"}, "x.b": {Key: "x.b", Text: "bad"}})
	if got, _ := Get[hostsOf](opts, "x"); !slices.Equal(got.Hosts, []string{"good"}) || len(problems) != 1 {
		t.Errorf("got %v and %v, want the good label alone and one problem", got, problems)
	}
}

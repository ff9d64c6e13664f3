package label

import (
	"time"
)

// One kind of each sort.

type hostsOf struct{ Hosts []string }

type pathsOf struct{ Paths []string }

type portOf struct{ Port int }

type waitsOf struct{ Connect, Idle time.Duration }

type headersOf struct{ Request, Response []string }

type packs struct {
	On    bool
	Level int
}

type modeOf struct{ Mode string }

type pairOf struct{ Cert, Key string }

// goodName accepts all but "bad", and has a hint for "hm".
func goodName(s string) (string, error) {
	if s == "bad" {
		return "", &ValueError{Msg: "is bad", Suggest: "good"}
	}
	if s == "hm" {
		return s, &Hint{Msg: "is odd"}
	}
	return s, nil
}

func headerValue(f func(*headersOf) *[]string) Value[headersOf] {
	return Value[headersOf]{Type: "text", Off: true, Set: func(o *headersOf, name, text string) error {
		list := f(o)
		*list = append(*list, name+"="+text)
		return nil
	}}
}

func testSchema() *Schema {
	return NewSchema("fairlead",
		Declare(Kind{Name: "host", Section: SectionMatch, Slot: Match, FailClosed: true}, nil, Def[hostsOf]{
			Value: List(func(o *hostsOf) *[]string { return &o.Hosts }, goodName), Doc: "Hosts.", Example: "a.ex"}),
		Declare(Kind{Name: "path", Section: SectionMatch, Slot: Match, FailClosed: true}, nil, Def[pathsOf]{
			Value: List(func(o *pathsOf) *[]string { return &o.Paths }, goodName), Default: "/", Doc: "Paths.", Example: "/a"}),
		Declare(Kind{Name: "enable", Section: SectionMatch, Slot: Match, Inherit: Container, FailClosed: true}, nil, Def[packs]{
			Value: Bool(func(o *packs) *bool { return &o.On }), Doc: "Whether.", Example: "true"}),
		Declare(Kind{Name: "port", Section: SectionTarget, Slot: Target, Level: PerEndpoint, Inherit: AsTarget}, nil, Def[portOf]{
			Value: Int(func(o *portOf) *int { return &o.Port }, 1, 65535), Doc: "Port.", Example: "80"}),
		Declare(Kind{Name: "timeout", Section: SectionLoad, Slot: Forward, Inherit: AsTarget}, nil,
			Def[waitsOf]{Name: "connect", Default: "5s", Doc: "How long.", Example: "2s", Value: Duration(func(o *waitsOf) *time.Duration { return &o.Connect }, time.Millisecond, time.Minute)},
			Def[waitsOf]{Name: "idle", Default: "1h", Doc: "How long.", Example: "2h", Value: Duration(func(o *waitsOf) *time.Duration { return &o.Idle }, 0, 24*time.Hour)}),
		Declare(Kind{Name: "header", Section: SectionPolicy, Slot: Middleware, Inherit: AsPolicy}, nil,
			Def[headersOf]{Name: "request.*", Key: "X-A", Doc: "Which.", Example: "1", Value: headerValue(func(o *headersOf) *[]string { return &o.Request })},
			Def[headersOf]{Name: "response.*", Key: "X-A", Doc: "Which.", Example: "1", Value: headerValue(func(o *headersOf) *[]string { return &o.Response })}),
		Declare(Kind{Name: "compress", Section: SectionPolicy, Slot: Middleware, Inherit: AsPolicy}, nil,
			Def[packs]{Value: Bool(func(o *packs) *bool { return &o.On }), Default: "true", Doc: "Whether.", Example: "off"},
			Def[packs]{Name: "level", Value: Int(func(o *packs) *int { return &o.Level }, 1, 9), Default: "3", Doc: "How hard.", Example: "9"},
			Def[packs]{Name: "types", Later: true, Value: Value[packs]{Type: "list"}, Doc: "Which."}),
		Declare(Kind{Name: "scheme", Section: SectionTarget, Slot: Target, Inherit: AsTarget}, nil, Def[modeOf]{
			Value: Choice(func(o *modeOf) *string { return &o.Mode }, []string{"http", "https"}, "h2c"), Doc: "How.", Example: "https"}),
		Declare(Kind{Name: "pair", Section: SectionTLS, Slot: TLS, Inherit: AsTarget}, func(o *pairOf) error {
			switch {
			case (o.Cert == "") != (o.Key == ""):
				return &ValueError{Msg: "needs both"}
			case o.Cert != "" && o.Cert == o.Key:
				return &Hint{Msg: "is the same twice"}
			}
			return nil
		},
			Def[pairOf]{Name: "cert", Value: Text(func(o *pairOf) *string { return &o.Cert }, nil), Doc: "One.", Example: "a"},
			Def[pairOf]{Name: "key", Value: Text(func(o *pairOf) *string { return &o.Key }, nil), Doc: "Other.", Example: "b"}),
		Declare(Kind{Name: "allow", Section: SectionPolicy, Slot: Middleware, Inherit: AsPolicy, FailClosed: true}, nil, Def[hostsOf]{
			Value: List(func(o *hostsOf) *[]string { return &o.Hosts }, goodName), Doc: "Whom.", Example: "lan"},
			Def[hostsOf]{Name: "country", Later: true, Value: Value[hostsOf]{Type: "list"}, Doc: "From where."}),
		DeclareLater(Kind{Name: "auth", Section: SectionPolicy, Slot: Middleware, Inherit: AsPolicy, FailClosed: true},
			Row{Type: "–", Doc: "Not built."}, Row{Path: "basic", Type: "–", Doc: "Not built."}, Row{Path: "forward", Type: "–", Doc: "Not built."}),
		DeclareLater(Kind{Name: "tcp", Section: SectionTCP, FailClosed: true}, Row{Type: "–", Doc: "Not built."}),
	)
}

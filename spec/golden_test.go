package spec

import (
	"bufio"
	"cmp"
	"flag"
	"maps"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/label"
)

var update = flag.Bool("update", false, "rewrite the golden files with what comes out")

// TestGolden reads testdata/*.txtar: under each "-- name --" what the engine
// shows, then "---->" and what is made of it. A container is a line
//
//	NAME[@PROJECT[/SERVICE]] WORD…
//
// with its labels below, indented, without the prefix (a line that begins with
// ! has the whole name). A line "then" ends a snapshot: the containers above it
// that are not named again below stay. "ready NAME" tells the parser that a
// container was found ready, "removed NAME" takes one away, "self WORD…" where the proxy is, "mount WORD…" what
// it has mounted, "config WORD…" how it was started. "drain NAME [TIME]" and "maintenance ROUTE [TIME]" are orders, "undo ID" takes one back.
func TestGolden(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txtar")
	if len(files) == 0 {
		t.Fatal("no golden files")
	}
	total := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		comment, cases := readTxtar(string(data))
		out := comment
		for _, c := range cases {
			total++
			in, want, _ := strings.Cut(c.text, "---->\n")
			var got string
			t.Run(filepath.Base(file)+"/"+c.name, func(t *testing.T) {
				got = strings.TrimSpace(show(play(t, in))) + "\n"
				if strings.TrimSpace(want)+"\n" != got && !*update {
					t.Errorf("labels\n%s\ngot\n%s\nwant\n%s", in, got, want)
				}
			})
			out += "-- " + c.name + " --\n" + strings.TrimSpace(in) + "\n---->\n" + got + "\n"
		}
		if *update {
			if err := os.WriteFile(file, []byte(strings.TrimRight(out, "\n")+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if total < 60 {
		t.Errorf("%d cases, want 60 at least: files are missing", total)
	}
}

type section struct{ name, text string }

// readTxtar splits an archive of golang.org/x/tools/txtar.
func readTxtar(data string) (comment string, files []section) {
	for line := range strings.Lines(data) {
		if name, ok := strings.CutPrefix(line, "-- "); ok && strings.HasSuffix(strings.TrimSpace(name), " --") {
			files = append(files, section{name: strings.TrimSuffix(strings.TrimSpace(name), " --")})
			continue
		}
		if len(files) == 0 {
			comment += line
			continue
		}
		files[len(files)-1].text += line
	}
	return comment, files
}

// A scene is the engine of one case while its lines are read.
type scene struct {
	t      *testing.T
	cfg    Config
	parser *Parser
	self   Self
	orders Control
	by     map[string]*Workload
	last   Spec
	now    time.Time
}

func play(t *testing.T, in string) Spec {
	s := &scene{t: t, cfg: testConfig(), by: map[string]*Workload{}, self: hostSelf(), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	var last *Workload
	scan := bufio.NewScanner(strings.NewReader(in))
	scan.Buffer(nil, 4<<20)
	for scan.Scan() {
		line := scan.Text()
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0] == "#":
		case line[0] == ' ' || line[0] == '\t':
			s.label(last, strings.TrimSpace(line))
		case words[0] == "then":
			s.parse()
		case words[0] == "ready":
			s.parser.Ready(s.by[words[1]].ID, s.by[words[1]].StartedAt)
		case words[0] == "removed":
			delete(s.by, words[1])
		case words[0] == "drain":
			s.orders.Drained = s.ordered(s.orders.Drained, "id-"+words[1], words[2:])
		case words[0] == "maintenance":
			s.orders.Maintenance = s.ordered(s.orders.Maintenance, words[1], words[2:])
		case words[0] == "undo":
			s.orders.Drained, s.orders.Maintenance = without(s.orders.Drained, words[1]), without(s.orders.Maintenance, words[1])
		case words[0] == "self":
			s.self = s.place(words[1:])
		case words[0] == "mount":
			s.self.Mounts = mounts(words[1:]...)
		case words[0] == "config":
			s.config(words[1:])
		default:
			last = s.container(words[0], words[1:])
		}
	}
	s.parse()
	return s.last
}

func (s *scene) parse() {
	if s.parser == nil {
		s.parser = NewParser(s.cfg)
	}
	orders := s.orders
	snap := Snapshot{Self: s.self, Control: &orders}
	for _, w := range s.by {
		snap.Workloads = append(snap.Workloads, w)
	}
	slices.SortFunc(snap.Workloads, func(a, b *Workload) int { return strings.Compare(a.ID, b.ID) })
	s.last = s.parser.Parse(snap)
}

// ordered returns orders with one more, which holds until the time words name.
func (s *scene) ordered(orders map[string]Order, id string, words []string) map[string]Order {
	o := Order{Since: s.now}
	if len(words) > 0 {
		var err error
		if o.Until, err = time.Parse(time.RFC3339, words[0]); err != nil {
			s.t.Fatal(err)
		}
	}
	orders = without(orders, id)
	orders[id] = o
	return orders
}

func without(orders map[string]Order, id string) map[string]Order {
	rest := map[string]Order{}
	maps.Copy(rest, orders)
	delete(rest, id)
	return rest
}

// hostSelf is a proxy that shares the host's network.
func hostSelf() Self { return Self{ID: "self", Name: "proxy", HostNet: true, Bridges: true} }

func (s *scene) config(words []string) {
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "domain":
			s.cfg.Domain, s.cfg.Names.Domain = value, value
		case "internal-names":
			s.cfg.Names.Internal = strings.Split(value, ",")
		case "no-acme":
			s.cfg.Names.NoACME = true
		case "network":
			s.cfg.Network = value
		case "default":
			name, text, _ := strings.Cut(value, "=")
			if err := s.cfg.Schema.CheckDefault(name, text); err != nil {
				s.t.Fatal(err)
			}
			s.cfg.Defaults = append(s.cfg.Defaults, label.Setting{Key: name, Text: text, Label: "--default " + name})
		default:
			s.t.Fatalf("unknown word %q", word)
		}
	}
}

// place reads where the proxy is: "process", "outside", or "bridge" with its
// networks and gateways.
func (s *scene) place(words []string) Self {
	switch words[0] {
	case "process":
		return Self{HostNet: true, Bridges: true, Gateways: []netip.Addr{netip.MustParseAddr("172.17.0.1")}}
	case "outside":
		return Self{}
	}
	self := Self{ID: "self", Name: "proxy", Project: "edge"}
	for _, word := range words[1:] {
		if a, err := netip.ParseAddr(word); err == nil {
			self.Gateways = append(self.Gateways, a)
			continue
		}
		self.Networks = append(self.Networks, word)
	}
	return self
}

// container reads the line of one container.
func (s *scene) container(who string, words []string) *Workload {
	name, of, _ := strings.Cut(who, "@")
	project, service, _ := strings.Cut(of, "/")
	s.now = s.now.Add(time.Minute)
	w := &Workload{
		ID: "id-" + name, Name: name, Project: project, Service: cmp.Or(service, strings.TrimRight(name, "0123456789")), Labels: map[string]string{},
		Created: s.now, StartedAt: s.now, State: Running, Exposed: []int{80},
	}
	if project == "" {
		w.Service = ""
	}
	if old := s.by[name]; old != nil {
		w.Created, w.StartedAt, w.Labels = old.Created, old.StartedAt, maps.Clone(old.Labels)
	}
	for _, word := range words {
		s.word(w, word)
	}
	if w.Networks == nil && !w.HostNet && w.NetworkOf == "" && w.Source == FromEngine {
		w.Networks = []Attachment{{Network: "net", Driver: "bridge", IPv4: address(len(s.by))}}
	}
	if w.State == Created || w.State == Exited || w.State == Gone {
		w.Networks = nil
	}
	s.by[name] = w
	return w
}

func address(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n%256 + 2)}) }

func (s *scene) word(w *Workload, word string) {
	key, value, _ := strings.Cut(word, "=")
	if i := slices.Index(stateNames[:], key); i >= 0 {
		w.State = State(i)
		return
	}
	switch key {
	case "one-off":
		w.OneOff = true
	case "hostnet":
		w.HostNet = true
	case "self":
		w.Source = FromSelf
	case "routes-file":
		w.Source, w.ID = FromRoutes, "routes:"+w.Name
	case "joined":
		w.NetworkOf = value
	case "reason":
		w.Reason = value
	case "exposes":
		w.Exposed = nil
		for n := range strings.SplitSeq(value, ",") {
			if p, err := strconv.Atoi(n); err == nil {
				w.Exposed = append(w.Exposed, p)
			}
		}
	case "publishes": // HOST:PORT->PORT
		host, port, _ := strings.Cut(value, "->")
		n, _ := strconv.Atoi(port)
		w.Published = append(w.Published, Published{Container: n, Host: netip.MustParseAddrPort(host)})
	case "on": // NETWORK[(KEY)][/DRIVER]:ADDR[,ADDR]
		w.Networks = append(w.Networks, attachment(value))
	case "stop-timeout":
		w.StopTimeout, _ = time.ParseDuration(value)
	case "volume", "bind", "tmpfs":
		w.Mounts = append(w.Mounts, mounts(word)...)
		slices.SortFunc(w.Mounts, func(a, b Mount) int { return strings.Compare(a.At, b.At) })
	case "health":
		w.Health = Health(slices.Index(healthNames[:], value))
	case "starts": // again, now
		w.StartedAt = s.now
	case "never-started":
		w.StartedAt = time.Time{}
	case "ignored-stop": // SIGNAL/DURATION
		signal, after, _ := strings.Cut(value, "/")
		w.IgnoredStop.Signal = signal
		w.IgnoredStop.After, _ = time.ParseDuration(after)
	case "off-network":
		w.Networks = []Attachment{}
	default:
		s.t.Fatalf("unknown word %q", word)
	}
}

// mounts reads volume=NAME[/PART]:AT, bind=HOST:AT and tmpfs=AT.
func mounts(words ...string) (ms []Mount) {
	for _, word := range words {
		kind, value, _ := strings.Cut(word, "=")
		from, at, ok := strings.Cut(value, ":")
		m := Mount{Kind: kind, At: at}
		switch {
		case !ok:
			m.At = from
		case kind == "volume":
			m.Volume, m.Sub, _ = strings.Cut(from, "/")
			m.Host = path.Join("/var/lib/docker/volumes", m.Volume, "_data", m.Sub)
		default:
			m.Host = from
		}
		ms = append(ms, m)
	}
	slices.SortFunc(ms, func(a, b Mount) int { return strings.Compare(a.At, b.At) })
	return ms
}

func attachment(text string) Attachment {
	a := Attachment{Driver: "bridge"}
	name, addrs, _ := strings.Cut(text, ":")
	if network, driver, ok := strings.Cut(name, "/"); ok {
		name, a.Driver = network, driver
	}
	a.Network, a.Key, _ = strings.Cut(strings.TrimSuffix(name, ")"), "(")
	for text := range strings.SplitSeq(addrs, ",") {
		if addr, err := netip.ParseAddr(text); err == nil && addr.Is4() {
			a.IPv4 = addr
		} else if err == nil {
			a.IPv6 = addr
		}
	}
	return a
}

// label reads one label of w: text in quotes is as in Go.
func (s *scene) label(w *Workload, line string) {
	name, text, _ := strings.Cut(line, ": ")
	name = strings.TrimSuffix(name, ":")
	if unquoted, err := strconv.Unquote(text); err == nil {
		text = unquoted
	}
	if raw, ok := strings.CutPrefix(name, "!"); ok {
		if unquoted, err := strconv.Unquote(raw); err == nil {
			raw = unquoted
		}
		w.Labels[raw] = text
		return
	}
	w.Labels["fairlead."+name] = text
}

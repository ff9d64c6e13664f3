package spec

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/fairlead/fairlead/label"
)

type urlOptions struct{ Targets []Endpoint }

var _ = register(label.Declare(label.Kind{
	Name: "url", Section: label.SectionTarget, Slot: label.Target, Level: label.PerRoute, Inherit: label.Own,
	Doc: "Targets outside Docker.",
}, nil, label.Def[urlOptions]{
	Value:   label.List(func(o *urlOptions) *[]Endpoint { return &o.Targets }, parseTarget),
	Doc:     "Targets outside Docker that share load: `http://…`, `https://…`, `unix:/…`. Only in the routes file and on the proxy's own container.",
	Example: "https://192.168.1.10:8006", Nginx: "proxy_pass",
}))

func parseTarget(text string) (Endpoint, error) {
	wrong := func(msg string) (Endpoint, error) { return Endpoint{}, &label.ValueError{Msg: msg} }
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		if !strings.HasPrefix(path, "/") {
			return wrong("is not an absolute path behind unix:")
		}
		return Endpoint{Container: text, State: Running, Scheme: "http", Socket: path}, nil
	}
	u, err := url.Parse(text)
	switch {
	case !strings.Contains(text, "://"):
		return Endpoint{}, &label.ValueError{Msg: "does not say how to talk to it", Suggest: "http://" + strings.TrimLeft(text, "/")}
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return wrong("is not a URL such as http://192.168.1.10:8080")
	case u.Scheme == "h2c":
		return Endpoint{}, &label.ValueError{Code: "not-yet", Msg: "h2c is planned and does not work yet"}
	case u.Scheme != "http" && u.Scheme != "https":
		return wrong("is neither http://, https:// nor unix:")
	case u.Path != "" && u.Path != "/":
		return Endpoint{}, &label.ValueError{Msg: "has a path: put it in add-prefix", Suggest: u.Scheme + "://" + u.Host}
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || u.Hostname() == "" {
		return wrong("is not a URL such as http://192.168.1.10:8080")
	}
	e := Endpoint{Container: text, State: Running, Scheme: u.Scheme}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil {
		e.Addr = netip.AddrPortFrom(a.Unmap(), uint16(n))
	} else {
		e.Host = u.Hostname() + ":" + port
	}
	return e, nil
}

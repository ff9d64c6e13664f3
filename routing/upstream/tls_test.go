package upstream

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/spec"
)

// tlsOrigin proves to be example.com and says which name it was asked for.
func tlsOrigin(t *testing.T) (addr string, ca []byte) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "sni=%s host=%s body=%d proto=%s", r.TLS.ServerName, r.Host, n, r.Proto)
	}))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

func TestHTTPS(t *testing.T) {
	addr, ca := tlsOrigin(t)
	secret := func(string) ([]byte, error) { return ca, nil }
	for _, tt := range []struct {
		name, host string
		tls        spec.UpstreamTLS
		want, err  string
	}{
		{"no verify", "shop.example", spec.UpstreamTLS{NoVerify: true}, "sni=shop.example host=shop.example body=0 proto=HTTP/1.1", ""},
		{"unknown authority", "example.com", spec.UpstreamTLS{}, "", "signed by an unknown authority"},
		{"CA", "example.com:8443", spec.UpstreamTLS{CA: "file:/ca"}, "sni=example.com host=example.com:8443 body=0 proto=HTTP/1.1", ""},
		{"CA, another Host", "shop.example", spec.UpstreamTLS{CA: "file:/ca"}, "", "its certificate is for another name"},
		{"CA and name", "shop.example", spec.UpstreamTLS{CA: "file:/ca", ServerName: "example.com"}, "sni=example.com host=shop.example body=0 proto=HTTP/1.1", ""},
		{"CA, its own address", "", spec.UpstreamTLS{CA: "file:/ca"}, "sni= host=" + addr + " body=0 proto=HTTP/1.1", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := endpoint4("web", addr)
			e.Scheme = "https"
			p := poolOf(t, Config{TLS: tt.tls, Secret: secret}, e)
			for range 2 {
				r, _ := request(t, "GET", "/", nil)
				r.Host = tt.host
				_, body, err := do(t, p, r)
				if tt.err != "" {
					if !errors.As(err, new(*ConnectError)) || !strings.Contains(err.Error(), tt.err) {
						t.Errorf("got %v, want %q", err, tt.err)
					}
				} else if body != tt.want || err != nil {
					t.Errorf("got %q %v, want %q", body, err, tt.want)
				}
			}
		})
	}
}

func TestHTTPSTimesOut(t *testing.T) {
	hold := make(chan struct{})
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hold }))
	defer s.Close()
	defer close(hold)
	e := endpoint4("web", s.Listener.Addr().String())
	e.Scheme = "https"
	p := poolOf(t, Config{TLS: spec.UpstreamTLS{NoVerify: true}}, e)
	r, x := request(t, "GET", "/", nil)
	_, _, err := do(t, p, withTimeouts(r, x, exchange.Timeouts{Response: 20 * time.Millisecond}))
	var got *TimeoutError
	if !errors.As(err, &got) || got.Phase != Responding {
		t.Errorf("got %v, want a timeout of phase %s", err, Responding)
	}
}

func TestHTTPSUpload(t *testing.T) {
	addr, _ := tlsOrigin(t)
	e := endpoint4("web", addr)
	e.Scheme = "https"
	p := poolOf(t, Config{TLS: spec.UpstreamTLS{NoVerify: true}}, e)
	for range 3 {
		r, _ := request(t, "POST", "/", strings.NewReader(strings.Repeat("x", 1<<20)))
		if _, body, err := do(t, p, r); err != nil || !strings.Contains(body, "body=1048576") {
			t.Errorf("got %q %v", body, err)
		}
	}
	if tr := p.all[0].transport; len(tr.conns) != 1 {
		t.Errorf("connections: got %d, want 1", len(tr.conns))
	}
}

// A connection verified for one name is not used for another.
func TestHTTPSConnectionsAreKeptByName(t *testing.T) {
	addr, ca := tlsOrigin(t)
	e := endpoint4("web", addr)
	e.Scheme = "https"
	p := poolOf(t, Config{TLS: spec.UpstreamTLS{CA: "file:/ca"}, Secret: func(string) ([]byte, error) { return ca, nil }}, e)
	for i, tt := range []struct {
		host string
		ok   bool
	}{{"example.com", true}, {"evil.example", false}, {"example.com", true}} {
		r, _ := request(t, "GET", "/", nil)
		r.Host = tt.host
		if _, _, err := do(t, p, r); (err == nil) != tt.ok {
			t.Errorf("%d: host %s: got %v, want success %v", i, tt.host, err, tt.ok)
		}
	}
}

func TestHTTPSFiles(t *testing.T) {
	missing := errors.New("no such file")
	for name, o := range map[string]spec.UpstreamTLS{
		"no CA":          {CA: "file:/none"},
		"broken CA":      {CA: "file:/broken"},
		"no certificate": {Cert: "file:/none", Key: "file:/broken"},
		"no key":         {Cert: "file:/broken"},
		"broken pair":    {Cert: "file:/broken", Key: "file:/broken"},
	} {
		_, err := New(Config{TLS: o, Secret: func(ref string) ([]byte, error) {
			if ref == "file:/broken" {
				return []byte("rubbish"), nil
			}
			return nil, missing
		}})
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestClientCertificate(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, len(r.TLS.PeerCertificates))
	}))
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.StartTLS()
	t.Cleanup(s.Close)
	e := spec.Endpoint{ID: "id", Container: "web", StartedAt: began, State: spec.Running, Scheme: "https", Addr: netip.MustParseAddrPort(s.Listener.Addr().String())}
	pool := poolOf(t, Config{TLS: spec.UpstreamTLS{NoVerify: true}}, e)
	pool.tls.Certificates = s.TLS.Certificates // of any kind
	if _, body, err := get(t, pool, "/"); body != "1" || err != nil {
		t.Errorf("certificates shown: got %q, %v; want 1", body, err)
	}
}

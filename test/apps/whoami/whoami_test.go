package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestTargetIsReportedByteForByte(t *testing.T) {
	srv := httptest.NewServer(newHandler(config{version: "7"}))
	defer srv.Close()
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const target = "/a//b%2Fc;x?a=1;b=2&%zz"
	if _, err := c.Write([]byte("GET " + target + " HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got answer
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.Target != target || got.Version != "7" {
		t.Errorf("got target %q of version %q, want %q of 7", got.Target, got.Version, target)
	}
}

func TestEnvironmentIsTheDefaultOfTheFlags(t *testing.T) {
	t.Setenv("WHOAMI_START_DELAY", "3s")
	t.Setenv("WHOAMI_VERSION", "env")
	got, err := parse([]string{"-version", "flag"})
	if err != nil {
		t.Fatal(err)
	}
	if got.startDelay.Seconds() != 3 || got.version != "flag" {
		t.Errorf("got %+v, want a start delay of 3s from the environment and the version of the flag", got)
	}
	t.Setenv("WHOAMI_GRACE", "soon")
	if _, err := parse(nil); err == nil || !strings.Contains(err.Error(), "WHOAMI_GRACE") {
		t.Errorf("got error %v, want one that names WHOAMI_GRACE", err)
	}
}

func TestWhatIsNoHTTPIsSaidToEverybody(t *testing.T) {
	for what, text := range speaks {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go serveAs(what, &http.Server{}, l)
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
		if got, err := io.ReadAll(c); err != nil || string(got) != text {
			t.Errorf("%s: got %q, %v, want %q", what, got, err, text)
		}
	}
}

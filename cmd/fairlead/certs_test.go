package main

import (
	"encoding/pem"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/certs"
	"github.com/fairlead/fairlead/certs/localca"
	"github.com/fairlead/fairlead/certs/storage"
	"github.com/fairlead/fairlead/spec"
	"github.com/rs/zerolog"
)

func TestPrintCerts(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.Local)
	table := []string{
		"HOST              FROM       STATE    UNTIL             NEXT",
		"shop.example.com  acme.test  valid    2030-04-02 03:04  in 60d",
		"late.example.com  acme.test  waiting  –                 in 40s",
		"own.example.com   file       expired  2030-01-01 03:04  –",
		"*.app.localhost   internal   unused   –                 –",
	}
	lines := []certs.Line{
		{Host: "shop.example.com", Source: "acme", State: "valid", NotAfter: now.AddDate(0, 3, 0), Next: now.Add(60 * 24 * time.Hour)},
		{Host: "late.example.com", Source: "acme", State: "waiting", Next: now.Add(40 * time.Second), Error: "port 80 is closed", Fix: "open it"},
		{Host: "own.example.com", Source: "file", State: "expired", NotAfter: now.AddDate(0, 0, -1), Error: "it has expired"},
		{Host: "*.app.localhost", Source: "internal", State: "unused"},
	}
	for name, tt := range map[string]struct {
		view certs.View
		want []string
	}{
		"nothing": {certs.View{Authority: "acme.test"}, []string{"HOST  FROM  STATE  UNTIL  NEXT"}},
		"a host of each kind": {certs.View{Authority: "acme.test", Lines: lines}, append(slices.Clone(table),
			"", "late.example.com: port 80 is closed", "  → open it",
			"", "own.example.com: it has expired",
		)},
		"trouble": {certs.View{Authority: "acme.test", Trouble: "write x: no space left on device"}, []string{
			"HOST  FROM  STATE  UNTIL  NEXT",
			"", "DATA DIRECTORY: write x: no space left on device",
		}},
	} {
		var b strings.Builder
		if err := printCerts(&b, tt.view, now); err != nil {
			t.Errorf("%s: printCerts = %v", name, err)
		}
		if got, want := b.String(), strings.Join(tt.want, "\n")+"\n"; got != want {
			t.Errorf("%s: printed\n%s\nwant\n%s\nthey differ at %s", name, got, want, firstDifference(got, want))
		}
	}
}

func TestPrintCertsSaysThatItCannotPrint(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	far.Close()
	near.Close()
	if err := printCerts(near, certs.View{}, time.Now()); err == nil {
		t.Error("printCerts into a closed pipe = nil, want an error")
	}
}

func TestDistance(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, tt := range []struct {
		at   time.Time
		want string
	}{
		{time.Time{}, "–"},
		{now.Add(-time.Hour), "now"},
		{now, "now"},
		{now.Add(40*time.Second + 300*time.Millisecond), "in 40s"},
		{now.Add(90 * time.Minute), "in 1h30m0s"},
		{now.Add(47 * time.Hour), "in 47h0m0s"},
		{now.Add(48*time.Hour - time.Millisecond), "in 2d"},
		{now.Add(48 * time.Hour), "in 2d"},
		{now.Add(time.Millisecond), "now"},
		{now.Add(29*24*time.Hour + 23*time.Hour), "in 29d"},
	} {
		if got := distance(tt.at, now); got != tt.want {
			t.Errorf("distance of %s = %q, want %q", tt.at.Sub(now), got, tt.want)
		}
	}
}

// Whoever installs the root is told first what he trusts by it.
func TestInstallHelp(t *testing.T) {
	t.Parallel()
	authority, err := localca.New(localca.Config{
		Store: storage.Open(t.TempDir(), zerolog.Nop()), Log: zerolog.Nop(),
		Names: spec.Names{Domain: "example.org", Internal: []string{"lan"}},
		Now:   func() time.Time { return time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC) },
	})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := printInstallHelp(&b, rootView{string(authority.Root())}); err != nil {
		t.Fatalf("printInstallHelp = %v", err)
	}
	out := b.String()
	first, rest, _ := strings.Cut(out, "\n")
	if !strings.HasPrefix(first, "Fairlead internal CA ") || !strings.HasSuffix(first, ", until 2039-12-31.") {
		t.Errorf("the first line is %q, want the name of the root, and until when it holds", first)
	}
	trust := "Whoever installs it trusts this proxy for these names and what is below them, and for no others:\n" +
		"  example.org, home.arpa, internal, lan, local, localhost, test\n" +
		"and for these addresses:\n" +
		"  10.0.0.0/8, 127.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, ::1/128, fc00::/7\n"
	if !strings.HasPrefix(rest, trust) {
		t.Errorf("it goes on with\n%s\nwant\n%s", rest, trust)
	}
	at := 0
	for _, want := range []string{
		"fairlead ca > fairlead-root.pem", "\nDebian, Ubuntu:\n", "update-ca-certificates", "remove it: ", "\nFedora, RHEL:\n", "\nArch:\n", "\nAlpine:\n",
		"\nmacOS ", "\nWindows ", "\nChrome, Chromium on Linux:\n", "\nFirefox:\n", "\nAndroid:\n", "\niPhone, iPad:\n", "\ncurl:\n", "\nNode.js:\n", "\nPython ", "\nJava:\n", "\na container:\n",
	} {
		i := strings.Index(out[at:], want)
		if i < 0 {
			t.Errorf("the help lacks %q, or has it too early:\n%s", want, out)
			continue
		}
		at += i
	}
	if strings.Contains(out, "remove it: \n") {
		t.Errorf("the help says that something is removed, and not how:\n%s", out)
	}
}

func TestInstallHelpOfWhatIsNoRoot(t *testing.T) {
	t.Parallel()
	garbage := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("garbage")}))
	for name, tt := range map[string]struct{ pem, want string }{
		"nothing":        {"", "the proxy's answer holds no root"},
		"no PEM":         {"<html>404</html>", "the proxy's answer holds no root"},
		"no certificate": {garbage, "read the root: "},
	} {
		var b strings.Builder
		err := printInstallHelp(&b, rootView{tt.pem})
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) || b.Len() > 0 {
			t.Errorf("%s: printInstallHelp = %v, printed %q; want %q and nothing", name, err, b.String(), tt.want)
		}
	}
}

// Wrong settings of certificates end the program before it takes a port: the one
// it is told to take is not free, and that is not what it says.
func TestWrongCertificateSettingsEndBeforeAnyPortIsTaken(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	dir := t.TempDir()
	noPEM := filepath.Join(dir, "bundle.pem")
	write(t, noPEM, "not a certificate\n")
	for name, tt := range map[string]struct {
		env, args []string
		want      string
	}{
		"https-port negative":     {nil, []string{"--https-port", "-1"}, "--https-port -1: want a port from 1 to 65535"},
		"https-port too large":    {nil, []string{"--https-port", "65536"}, "--https-port 65536: want a port from 1 to 65535"},
		"https-port no number":    {nil, []string{"--https-port", "https"}, `invalid argument "https" for "--https-port" flag`},
		"https-port variable":     {[]string{"FAIRLEAD_HTTPS_PORT=8443/tcp"}, nil, `environment variable FAIRLEAD_HTTPS_PORT="8443/tcp": `},
		"directory without URL":   {nil, []string{"--acme-directory", "acme.example.com/dir"}, "--acme-directory acme.example.com/dir: want an https URL, or off"},
		"directory over http":     {nil, []string{"--acme-directory", "http://acme.example.com/dir"}, "--acme-directory http://acme.example.com/dir: want an https URL, or off"},
		"directory no URL at all": {nil, []string{"--acme-directory", "https://[::1"}, "--acme-directory https://[::1: want an https URL, or off"},
		"directory of":            {nil, []string{"--acme-directory", "of"}, "--acme-directory of: want an https URL, or off"},
		"directory variable":      {[]string{"FAIRLEAD_ACME_DIRECTORY=on"}, nil, "--acme-directory on: want an https URL, or off"},
		"kid without hmac":        {nil, []string{"--acme-eab-kid", "kid-1"}, "an external account binding needs both --acme-eab-kid and --acme-eab-hmac"},
		"hmac without kid":        {nil, []string{"--acme-eab-hmac", "c2VjcmV0"}, "an external account binding needs both --acme-eab-kid and --acme-eab-hmac"},
		"hmac no base64url":       {nil, []string{"--acme-eab-kid", "kid-1", "--acme-eab-hmac", "se+cr/et"}, "--acme-eab-hmac: want base64url, as the authority shows it"},
		"bundle missing":          {nil, []string{"--acme-ca-bundle", dir + "/none.pem"}, "--acme-ca-bundle: open " + dir + "/none.pem: no such file or directory"},
		"bundle is a directory":   {nil, []string{"--acme-ca-bundle", dir}, "--acme-ca-bundle: "},
		"bundle without PEM":      {nil, []string{"--acme-ca-bundle", noPEM}, "--acme-ca-bundle: the file holds no certificate in PEM"},
		"email no address":        {nil, []string{"--acme-email", "admin"}, "--acme-email admin: want an address such as admin@example.com"},
		"email with a name":       {nil, []string{"--acme-email", "Admin <admin@example.com>"}, "--acme-email Admin <admin@example.com>: want an address such as admin@example.com"},
		"two emails":              {nil, []string{"--acme-email", "a@example.com,b@example.com"}, "--acme-email a@example.com,b@example.com: want an address such as admin@example.com"},
		"internal name any":       {nil, []string{"--internal-names", "*"}, "--internal-names *: want a name such as lan or corp.example.com"},
		"internal name regexp":    {nil, []string{"--internal-names", "~.*[.]lan"}, "--internal-names ~.*[.]lan: want a name such as lan or corp.example.com"},
		"internal name blank":     {nil, []string{"--internal-names", "a b"}, "--internal-names a b: want a name such as lan or corp.example.com"},
		"internal name port":      {nil, []string{"--internal-names", "nas.lan:443"}, "--internal-names nas.lan:443: want a name such as lan or corp.example.com"},
		"internal name address":   {nil, []string{"--internal-names", "192.168.1.10"}, "--internal-names 192.168.1.10: want a name such as lan or corp.example.com"},
		"domain address":          {nil, []string{"--domain", "[::1]"}, "--domain [::1]: want a host name such as example.com"},
		"internal name the 2nd":   {[]string{"FAIRLEAD_INTERNAL_NAMES=lan,a..b"}, nil, "--internal-names a..b: want a name such as lan or corp.example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{
				"run", "--docker-host", "unix://" + dir + "/no.sock", "--http", taken.Addr().String(), "--https", "127.0.0.1:0",
				"--data-dir", filepath.Join(dir, strings.ReplaceAll(name, " ", "-")),
			}, tt.args...)
			x := execute(t, tt.env, args...)
			code := x.code()
			var said []string // for people; the rest is the log
			for line := range strings.Lines(x.stderr()) {
				if !strings.HasPrefix(line, "{") {
					said = append(said, line)
				}
			}
			if code != exitUsage || len(said) != 1 || !strings.HasPrefix(said[0], "fairlead: "+tt.want) {
				t.Errorf("exit code %d and\n%s\nwant %d and one line: fairlead: %s", code, x.stderr(), exitUsage, tt.want)
			}
		})
	}
}

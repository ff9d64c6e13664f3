package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFilesAreMade(t *testing.T) {
	dir := t.TempDir()
	if err := makeAll(dir + "/a/b.css=body{color:red}\n\n  " + dir + "/big.bin:3k\n" + dir + "/empty=\n"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a/b.css": "body{color:red}", "big.bin": strings.Repeat("x", 3<<10), "empty": ""} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s has %q, %v, want %q", name, got, err, want)
		}
	}
	for _, wrong := range []string{"a=b", "/a", "/a:x", "/a:-1", "=x"} {
		if err := makeAll(wrong); err == nil {
			t.Errorf("%q was taken", wrong)
		}
	}
}

func TestUploadsAreStoredBelowTheirDirectory(t *testing.T) {
	dir := t.TempDir()
	srv := httptest.NewServer(newHandler(config{store: filepath.Join(dir, "media")}))
	defer srv.Close()
	for _, c := range []struct {
		method, name string
		want         int
	}{
		{"PUT", "a/b.txt", 204},
		{"PUT", "../out.txt", 400},
		{"PUT", "", 400},
		{"GET", "a/b.txt", 405},
	} {
		req, err := http.NewRequest(c.method, srv.URL, strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		req.URL.Path = "/store/" + c.name
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("%s %q: got %d, want %d", c.method, c.name, resp.StatusCode, c.want)
		}
	}
	if got, err := os.ReadFile(filepath.Join(dir, "media/a/b.txt")); err != nil || string(got) != "hello" {
		t.Errorf("the upload has %q, %v, want what was sent", got, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "out.txt")); err == nil {
		t.Error("an upload got out of the directory")
	}
}

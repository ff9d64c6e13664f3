package assets

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// readAll reads a stream and returns what is there by name, each content as it
// would be stored, "/" for a directory.
func readAll(t *testing.T, stream []byte, run Run, limits Limits) (*extract, map[string]string, error) {
	t.Helper()
	open := func() io.Reader { return bytes.NewReader(stream) }
	x, err := readTar(context.Background(), open, &run, limits)
	if err != nil {
		return nil, nil, err
	}
	wanted, contents := map[digest]int64{}, map[digest]string{}
	for _, e := range x.found {
		if !e.dir {
			wanted[e.digest] = e.size
		}
	}
	all := len(wanted)
	err = x.store(context.Background(), open, wanted, func(d digest, size int64, r io.Reader) error {
		data, err := io.ReadAll(r)
		if sum := digest(sha256.Sum256(data)); err != nil || sum != d || int64(len(data)) != size {
			t.Errorf("%s is stored with %d bytes and the digest %s, %v; want %d", d, len(data), sum, err, size)
		}
		contents[d] = string(data)
		return nil
	})
	if err != nil || len(contents) != all {
		t.Errorf("stored %d contents, %v; want %d", len(contents), err, all)
	}
	files := map[string]string{}
	for _, e := range x.found {
		if files[e.name] = "/"; !e.dir {
			files[e.name] = contents[e.digest]
		}
	}
	return x, files, nil
}

func list(files map[string]string) string {
	var all []string
	for name, content := range files {
		all = append(all, name+"="+content)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func dirHead(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeDir} }
func linkHead(name, to string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to}
}
func hardHead(name, to string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: to}
}
func fileHead(name string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeReg, Size: 1, Format: tar.FormatGNU}
}

// entries makes a stream of headers; files have their number as content.
func entries(heads ...tar.Header) []byte {
	contents := make([]string, len(heads))
	for i := range heads {
		if heads[i].Typeflag == tar.TypeReg && heads[i].Size == 1 {
			contents[i] = fmt.Sprint(i % 10)
		}
	}
	return tarFrom(heads, contents)
}

func TestWhatIsTakenOfAnArchive(t *testing.T) {
	top := dirHead("static/")
	long := strings.Repeat("n", 255)
	run := Run{Dir: "/app/static", Skip: []string{"media", "a/b"}}
	for _, tt := range []struct {
		name                    string
		heads                   []tar.Header
		want                    string
		hostile, links, special int
	}{
		{"files", []tar.Header{top, fileHead("static/b"), dirHead("static/d/"), fileHead("static/d/c")}, "b=1 d/c=3 d=/", 0, 0, 0},
		{"names that begin with a dot", []tar.Header{dirHead("./"), fileHead("./b"), dirHead("./d"), fileHead("d/c")}, "b=1 d/c=3 d=/", 0, 0, 0},
		{"directories that no entry is for", []tar.Header{top, fileHead("static/a/c/d")}, "a/c/d=1 a/c=/ a=/", 0, 0, 0},
		{"the top again", []tar.Header{top, dirHead("static"), dirHead("static/./")}, "", 0, 0, 0},
		{"names that lead out", []tar.Header{top, fileHead("../x"), fileHead("static/../x"), fileHead("static/a/../../x"), fileHead("static/a/../x"), fileHead("/static/x"), fileHead("/etc/passwd"), fileHead("other/x"), fileHead("staticx/y"), fileHead("static"), fileHead("static/ok")}, "ok=0", 9, 0, 0},
		{"names that lead out of a dot", []tar.Header{dirHead("."), fileHead("../x"), fileHead("./../x"), fileHead("/x"), fileHead("x")}, "x=4", 3, 0, 0},
		{"long names", []tar.Header{top, fileHead("static/" + long), fileHead("static/" + long + "n"), fileHead("static/" + strings.Repeat("d/", 2048) + "d"), fileHead("static/" + strings.Repeat("d/", 2047) + "ddd")}, long + "=1", 3, 0, 0},
		{"the last of a name", []tar.Header{top, fileHead("static/a"), fileHead("static/b/c"), fileHead("static/a"), fileHead("static/b"), fileHead("static/d"), fileHead("static/d/e"), fileHead("static/f/g"), dirHead("static/f/")}, "a=3 b=4 d/e=6 d=/ f/g=7 f=/", 0, 0, 0},
		{"what is skipped", []tar.Header{top, dirHead("static/media/"), fileHead("static/media/x"), fileHead("static/media2"), fileHead("static/a/b/c"), fileHead("static/a/bc"), linkHead("static/l", "media/x"), linkHead("static/media/l", "../a")}, "a/bc=5 a=/ media2=3", 0, 1, 0},
		{"devices", []tar.Header{top, {Name: "static/c", Typeflag: tar.TypeChar}, {Name: "static/b", Typeflag: tar.TypeBlock}, {Name: "static/f", Typeflag: tar.TypeFifo}, fileHead("static/x")}, "x=4", 0, 0, 3},

		{"links to files", []tar.Header{top, fileHead("static/d/a"), linkHead("static/l", "d/a"), linkHead("static/m", "l"), linkHead("static/d/up", "../m"), linkHead("static/abs", "/app/static/d/a"), linkHead("static/out", "../static/d/./a")}, "abs=1 d/a=1 d/up=1 d=/ l=1 m=1 out=1", 0, 0, 0},
		{"links to directories", []tar.Header{top, fileHead("static/v3/js/a"), linkHead("static/current", "v3"), linkHead("static/js", "current/js/"), linkHead("static/v3/top", "../v3/js/..")}, "current/js/a=1 current/js=/ current=/ js/a=1 js=/ v3/js/a=1 v3/js=/ v3=/", 0, 2, 0},
		{"links out", []tar.Header{top, linkHead("static/a", "/etc/passwd"), linkHead("static/b", "../../etc/passwd"), linkHead("static/c", "../../../../../../etc/passwd"), linkHead("static/d", "/app/static2/x"), linkHead("static/e", "/app"), linkHead("static/f", "/app/static/../x"), linkHead("static/h", "none"), linkHead("static/k", "..")}, "", 0, 8, 0},
		{"links to themselves", []tar.Header{top, linkHead("static/a", "a"), linkHead("static/b", "c"), linkHead("static/c", "b"), linkHead("static/self", "."), linkHead("static/root", "/app/static"), linkHead("static/e", "e/x"), linkHead("static/g", "../static")}, "", 0, 7, 0},
		{"links through files", []tar.Header{top, fileHead("static/f"), linkHead("static/a", "f/.."), linkHead("static/b", "f/."), linkHead("static/c", "f/x")}, "f=1", 0, 3, 0},
		{"below a link", []tar.Header{top, linkHead("static/etc", "/etc"), fileHead("static/etc/passwd")}, "etc/passwd=2 etc=/", 0, 0, 0},
		{"hard links", []tar.Header{top, fileHead("static/a"), hardHead("static/b", "static/a"), hardHead("static/c", "/etc/passwd"), hardHead("static/d", "static/../../etc/passwd"), hardHead("static/e", "static/none"), hardHead("static/f", "static/b"), hardHead("static/g", "static/g"), hardHead("static/h", "a"), hardHead("static/i", "static")}, "a=1 b=1 f=1", 0, 6, 0},
		{"a device behind a link", []tar.Header{top, {Name: "static/null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}, linkHead("static/n", "null")}, "", 0, 1, 1},
	} {
		x, files, err := readAll(t, entries(tt.heads...), run, wideLimits)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := list(files); got != tt.want {
			t.Errorf("%s: got  %.200q\nwant %.200q", tt.name, got, tt.want)
		}
		if d := x.dropped; d.hostile != tt.hostile || d.links != tt.links || d.special != tt.special || (d.count() > 0) != (d.example != "") {
			t.Errorf("%s: dropped %+v, want %d hostile names, %d links, %d devices", tt.name, d, tt.hostile, tt.links, tt.special)
		}
	}
}

// docker.tar is what Docker's engine answered for /st of a container that was
// created.
func TestAStreamOfTheEngineIsRead(t *testing.T) {
	stream, err := os.ReadFile("testdata/docker.tar")
	if err != nil {
		t.Fatal(err)
	}
	x, files, err := readAll(t, stream, Run{Dir: "/st"}, wideLimits)
	want := "a=one\n abs=one\n cur/f=x\n cur=/ d/f=x\n d=/ hard=one\n " + strings.Repeat("n", 200) + "="
	if got := list(files); err != nil || got != want || x.dropped != (drops{links: 1, example: "out"}) {
		t.Errorf("got %q, %v, dropped %+v; want %q", got, err, x.dropped, want)
	}
}

func TestChainsOfLinksAreBounded(t *testing.T) {
	for n, want := range map[int]int{maxLinks: 0, maxLinks + 1: 1} {
		heads := []tar.Header{dirHead("static/"), fileHead("static/l0")}
		for i := range n {
			heads = append(heads, linkHead(fmt.Sprintf("static/l%d", i+1), fmt.Sprintf("l%d", i)))
		}
		x, _, err := readAll(t, entries(heads...), Run{Dir: "/app/static"}, wideLimits)
		if err != nil || x.dropped.links != want {
			t.Errorf("a chain of %d: %v, dropped %+v, want %d", n, err, x.dropped, want)
		}
	}
}

// linkBomb has 2^levels names by directories with two links each to the next.
func linkBomb(levels int) []byte {
	heads := []tar.Header{dirHead("static/")}
	for i := range levels {
		heads = append(heads, linkHead(fmt.Sprintf("static/%d/a", i), fmt.Sprintf("../%d", i+1)), linkHead(fmt.Sprintf("static/%d/b", i), fmt.Sprintf("../%d", i+1)))
	}
	return entries(append(heads, fileHead(fmt.Sprintf("static/%d/f", levels)))...)
}

// brokenLinks has a directory with many links to nothing, and many links to it.
func brokenLinks(n int) []byte {
	heads := []tar.Header{dirHead("static/")}
	for i := range n {
		heads = append(heads, linkHead(fmt.Sprintf("static/d/%d", i), "none"), linkHead(fmt.Sprintf("static/l%d", i), "d"))
	}
	return entries(heads...)
}

// manyImplied has directories by the names of what is below them.
func manyImplied() []byte {
	heads := []tar.Header{dirHead("static/")}
	for i := range 20 {
		heads = append(heads, fileHead(fmt.Sprintf("static/%d/%sx", i, strings.Repeat("d/", 1000))))
	}
	return entries(heads...)
}

// huge has a header that promises ten gibibytes.
func huge() []byte {
	h := tar.Header{Name: "static/huge.iso", Typeflag: tar.TypeReg, Size: 10 << 30, Mode: 0o644}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	top := dirHead("static/")
	w.WriteHeader(&top)
	w.WriteHeader(&h)
	return b.Bytes()
}

// sparse has a file of 1 TiB in GNU's old format for files with holes.
func sparse() []byte {
	b := bytes.Clone(entries(dirHead("static/"), fileHead("static/s")))
	h := b[512:1024]
	copy(h[257:], "ustar  \x00")
	h[156] = 'S'
	copy(h[386:], "00000000000\x0000000000001\x00") // one byte at 0
	copy(h[483:], "\x80\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00")
	sum(h)
	return b
}

func TestBoundsOfAnArchive(t *testing.T) {
	limits := Limits{Total: 1 << 40, Copy: 1 << 20, File: 1 << 20, Entries: 5000}
	for name, stream := range map[string][]byte{
		"links that multiply": linkBomb(20), "links to links to nothing": brokenLinks(2000), "directories without entries": manyImplied(),
		"ten gibibytes": huge(), "a hole of a tebibyte": sparse(),
	} {
		_, _, err := readAll(t, stream, Run{Dir: "/app/static"}, limits)
		if f, ok := errors.AsType[*copyFault](err); !ok || f.Code != codeTooLarge {
			t.Errorf("%s: %v, want a fault %s", name, err, codeTooLarge)
		}
	}
}

func TestHolesAreZeros(t *testing.T) {
	limits := wideLimits
	limits.File, limits.Copy = 2<<40, 2<<40
	stream := bytes.Clone(sparse())
	h := stream[512:1024]
	copy(h[483:], "00000000400\x00")
	sum(h)
	_, files, err := readAll(t, stream, Run{Dir: "/app/static"}, limits)
	if want := "1" + strings.Repeat("\x00", 255); err != nil || files["s"] != want {
		t.Errorf("got %q, %v, want %q", files["s"], err, want)
	}
}

func TestACopyEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errUnwanted)
	_, err := readTar(ctx, func() io.Reader { return bytes.NewReader(tarOf(nil)) }, &Run{Dir: "/app/static"}, wideLimits)
	if !errors.Is(err, errUnwanted) {
		t.Errorf("error %v", err)
	}
}

// summed has the checksums of headers corrected: nearly everything that is changed
// would fail by them.
func summed(stream []byte) []byte {
	stream = bytes.Clone(stream)
	for at := 0; at+512 <= len(stream); at += 512 {
		if h := stream[at : at+512]; string(h[257:262]) == "ustar" {
			sum(h)
		}
	}
	return stream
}

func sum(head []byte) {
	copy(head[148:], "        ")
	sum := 0
	for _, c := range head[:512] {
		sum += int(c)
	}
	copy(head[148:], fmt.Sprintf("%06o\x00 ", sum))
}

// Whatever the engine sends, no name and no content is outside, and nothing takes
// more than the limits say.
func FuzzExtract(f *testing.F) {
	top := dirHead("static/")
	for _, seed := range [][]byte{
		tarOf(map[string]string{"a": "1", "d/b": "2", "d/c": "1"}), nil, huge(), sparse(), linkBomb(6), brokenLinks(5), manyImplied()[:20_000],
		tarOf(map[string]string{"a": "1", "b": "2"})[:1600],
		entries(top, fileHead("../x"), fileHead("/etc/passwd"), fileHead("static/../x")),
		entries(top, linkHead("static/a", "/etc/passwd"), linkHead("static/b", "../.."), linkHead("static/c", "/app/static/d"), fileHead("static/d"), hardHead("static/e", "static/d")),
		entries(top, tar.Header{Name: "static/c", Typeflag: tar.TypeChar}, tar.Header{Name: "static/f", Typeflag: tar.TypeFifo}),
		entries(top, fileHead("static/"+strings.Repeat("d/", 200)+"f"), fileHead("static/"+strings.Repeat("n", 300))),
		entries(tar.Header{Name: "static", Typeflag: tar.TypeReg}), entries(linkHead("static", "x")),
	} {
		f.Add(seed)
	}
	limits := Limits{Copy: 1 << 20, File: 1 << 18, Entries: 500}
	run := Run{Dir: "/app/static", Skip: []string{"skip", "a/b"}}
	f.Fuzz(func(t *testing.T, stream []byte) {
		x, files, err := readAll(t, summed(stream), run, limits)
		if err != nil {
			return
		}
		names, bytes := 0, 0
		for name, content := range files {
			names++
			bytes += len(content)
			if !validName(name) || !filepath.IsLocal(name) || x.skipped(name) && !hasLink(x) {
				t.Errorf("the name %q", name)
			}
			if parent := filepath.Dir(name); parent != "." && files[parent] != "/" {
				t.Errorf("%q is in %q, which is %q", name, parent, files[parent])
			}
		}
		if names > limits.Entries || names != len(x.found) {
			t.Errorf("%d names of %d entries", names, len(x.found))
		}
		data := encodeListing(x.found)
		back, err := decodeListing(data)
		if err != nil || string(encodeListing(back)) != string(data) {
			t.Errorf("the listing is read as another, %v", err)
		}
	})
}

// hasLink reports whether names may come from links, which have no place of
// their own.
func hasLink(x *extract) bool {
	var in func(n *node) bool
	in = func(n *node) bool {
		for _, child := range n.children {
			if child.link != nil || in(child) {
				return true
			}
		}
		return false
	}
	return in(x.root)
}

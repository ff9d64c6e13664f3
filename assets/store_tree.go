package assets

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// A digest is the SHA-256 of a blob's content, or of a manifest as it is stored.
type digest [sha256.Size]byte

func (d digest) String() string { return hex.EncodeToString(d[:]) }

func parseDigest(text string) (d digest, ok bool) {
	if len(text) != 2*len(d) || strings.ToLower(text) != text {
		return d, false
	}
	_, err := hex.Decode(d[:], []byte(text))
	return d, err == nil
}

// A blob is the content of a file, stored once however many files have it.
type blob struct {
	digest digest
	size   int64
	refs   int // by manifests; guarded by Store.mu
	// variants are the bytes of the content as compressed, by codings: 0 if that
	// was not tried yet, notWorth if it would not be smaller.
	variants [3]atomic.Int32
}

const notWorth = -1

// An entry is a file of a manifest, or a directory: that has no blob.
type entry struct {
	name     string
	modified int64 // ns since 1970
	blob     *blob
}

// A manifest is the content of a directory: all files and directories below it,
// by name. It is immutable.
type manifest struct {
	digest  digest
	entries []entry // sorted by name, without the directory itself
	files   int
	bytes   int64 // of all files
	refs    int   // by records; guarded by Store.mu
}

// A listing is a manifest whose blobs are not stored yet.
type listing []listed

type listed struct {
	name     string
	modified int64 // ns since 1970
	dir      bool
	digest   digest
	size     int64
}

// manifestHead is the first line of a stored manifest. Another format gets
// another number.
const manifestHead = "fairlead files 1"

// encodeListing writes a listing as it is stored: a line for each name.
func encodeListing(l listing) []byte {
	var b bytes.Buffer
	b.WriteString(manifestHead + "\n")
	line := make([]byte, 0, 256)
	for i := range l {
		e := &l[i]
		line = line[:0]
		if e.dir {
			line = append(line, "d "...)
		} else {
			line = hex.AppendEncode(line, e.digest[:])
			line = append(line, ' ')
			line = strconv.AppendInt(line, e.size, 10)
			line = append(line, ' ')
		}
		line = strconv.AppendInt(line, e.modified, 10)
		line = append(line, ' ')
		line = strconv.AppendQuoteToASCII(line, e.name)
		b.Write(append(line, '\n'))
	}
	return b.Bytes()
}

var errManifest = errors.New("makes no sense")

// decodeListing reads what encodeListing wrote.
func decodeListing(data []byte) (l listing, err error) {
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 10*maxName) // a byte of a name may take ten: \U0010ffff
	if !lines.Scan() || lines.Text() != manifestHead {
		return nil, errManifest
	}
	for lines.Scan() {
		e, ok := decodeEntry(lines.Text())
		if !ok || e.name == "" || !validName(e.name) || len(l) > 0 && l[len(l)-1].name >= e.name {
			return nil, errManifest
		}
		l = append(l, e)
	}
	return l, lines.Err()
}

func decodeEntry(line string) (e listed, ok bool) {
	first, rest, _ := strings.Cut(line, " ")
	var err error
	if e.dir = first == "d"; !e.dir {
		if e.digest, ok = parseDigest(first); !ok {
			return e, false
		}
		var size string
		size, rest, _ = strings.Cut(rest, " ")
		if e.size, err = strconv.ParseInt(size, 10, 64); err != nil || e.size < 0 {
			return e, false
		}
	}
	modified, quoted, _ := strings.Cut(rest, " ")
	if e.modified, err = strconv.ParseInt(modified, 10, 64); err != nil {
		return e, false
	}
	e.name, err = strconv.Unquote(quoted)
	e.name = strings.Clone(e.name) // else it keeps its line
	return e, err == nil
}

// newManifest makes a manifest of a listing whose blobs are there.
func newManifest(d digest, l listing, blobs map[digest]*blob) *manifest {
	m := &manifest{digest: d, entries: make([]entry, len(l))}
	for i := range l {
		m.entries[i] = entry{name: l[i].name, modified: l[i].modified}
		if !l[i].dir {
			m.entries[i].blob = blobs[l[i].digest]
			m.files++
			m.bytes += l[i].size
		}
	}
	return m
}

// find returns the entry called name, and where it is or would be.
func (m *manifest) find(name string) (at int, found bool) {
	return slices.BinarySearchFunc(m.entries, name, func(e entry, name string) int { return cmp.Compare(e.name, name) })
}

// stat returns the entry called name as a File; "" is the directory itself.
func (m *manifest) stat(name string) (File, bool) {
	if name == "" {
		return File{Dir: true}, true
	}
	at, found := m.find(name)
	if !found {
		return File{}, false
	}
	return m.entries[at].file(), true
}

// list returns what directly belongs to the directory called name.
func (m *manifest) list(name string) (files []File, err error) {
	prefix := ""
	if name != "" {
		at, found := m.find(name)
		if !found || m.entries[at].blob != nil {
			return nil, fs.ErrNotExist
		}
		prefix = name + "/"
	}
	at, _ := m.find(prefix)
	for at < len(m.entries) && strings.HasPrefix(m.entries[at].name, prefix) {
		child, _, below := strings.Cut(m.entries[at].name[len(prefix):], "/")
		if below { // past the directory's content; what is between has its name as a prefix: "a", "a-b", "a/c"
			at, _ = m.find(prefix + child + string(rune('/'+1)))
			continue
		}
		files = append(files, m.entries[at].file())
		at++
	}
	return files, nil
}

// has reports whether every file of other is in m by name.
func (m *manifest) has(other *manifest) bool {
	for i := range other.entries {
		if e := &other.entries[i]; e.blob != nil {
			if _, found := m.find(e.name); !found {
				return false
			}
		}
	}
	return true
}

// versionBytes of a digest are shown as a version: enough that nobody meets two
// contents of one version.
const versionBytes = 16

func (e *entry) file() File {
	f := File{Name: e.name, Modified: time.Unix(0, e.modified)}
	if e.blob == nil {
		f.Dir = true
		return f
	}
	f.blob, f.ref = e.blob, e.blob.digest.String()
	f.Size, f.Version, f.Strong = e.blob.size, f.ref[:2*versionBytes], true
	return f
}

// shownName is a foreign name within bounds, for a log or a page.
func shownName(name string) string {
	const most = 100
	if len(name) > most {
		end := most
		for end > 0 && !utf8.RuneStart(name[end]) {
			end--
		}
		name = name[:end] + "…"
	}
	return strconv.Quote(name)
}

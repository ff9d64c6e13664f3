package spec

import (
	"path"
	"time"
)

// Files says which files of a service's containers a route answers with. A path
// in it is that of a container unless it says otherwise.
type Files struct {
	// Prefix is what comes before a file's name in the path of a request, as the
	// client sent it: "/static/". "" for a document root: there the name is the
	// path as the route's rewriting left it.
	Prefix string
	Dir    string // what Prefix stands for, absolute and clean
	// Areas say where the content below Dir lies, by Below; the first is that of
	// Dir itself. A mount below Dir is an area of its own.
	Areas []Area
	// Runs are those whose content is copied where an area is Archived, newest
	// first, of all generations of the service.
	Runs []FilesRun

	Fallback string // for what is not there: FallbackUpstream, FallbackNone, or the name of a file below Dir
	Index    string // name of the file that a directory is answered with, "" for none
	List     bool   // directories without one are listed
	Cache    FilesCache
	Retain   time.Duration // how long files of replaced containers stay reachable
}

// What Files.Fallback may be besides the name of a file.
const (
	FallbackUpstream = "upstream" // the route's pool
	FallbackNone     = "404"
)

// An Area is the content of Files.Dir, or of a mount below it.
type Area struct {
	Below string // name of the mount below Dir: "media", "a/b"; "" for Dir itself
	Kind  AreaKind
	Place        // with Live
	From  string // where it lies, for people: "volume shop_media, which the proxy has at /srv/media"
}

// A Place is a directory as the proxy sees it: the one called Name in Mount. What
// is in the mount is an app's, links as well; those that lead to it are not.
type Place struct{ Mount, Name string }

// Path is that of the directory, "" for no place.
func (p Place) Path() string { return path.Join(p.Mount, p.Name) }

// AreaKind is how the content of an area is read.
type AreaKind uint8

const (
	Archived AreaKind = iota // copied out of the container's file system
	Live                     // from a directory that the proxy has too
	Unshared                 // not at all: it lies on a mount that the proxy does not have
)

var areaKindNames = [...]string{"archive", "volume", "unshared"}

func (k AreaKind) String() string { return areaKindNames[k] }

// A FilesRun is one run of a container as far as its files matter.
type FilesRun struct {
	ID, Container string
	StartedAt     time.Time // zero if it never started
	Ended         bool      // it was started and has ended; told only of a container without an app
	// Ready: its content is complete. The app has been ready in this run; one
	// without an app has been created.
	Ready bool
	Dir   string   // by its own labels
	Skip  []string // mounts below Dir, as names: what lies there is not copied
}

// FilesCache is what Cache-Control says of files. The zero value is the default:
// names with a fingerprint stay for a year, all others are revalidated.
type FilesCache struct {
	Set       bool
	Age       time.Duration // with Set; 0 leaves Cache-Control out
	Immutable bool
}

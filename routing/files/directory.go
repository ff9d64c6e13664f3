package files

import (
	"net/http"
	"strings"
)

// directory answers for the directory that has the name: with its index file, or a
// listing.
func (j *job) directory() {
	outer := outerPath(j.x, j.r)
	slash := strings.HasSuffix(outer, "/")
	if index := j.h.o.Index; index != "" && !isScript(index) {
		e, a, err := j.h.find(below(j.name, index), j.x)
		switch {
		case err != nil && !isMissing(err):
			j.fail(err)
			return
		case err != nil || e.kind != regular:
		case !slash:
			j.addSlash(outer)
			return
		default:
			j.file(e, a, j.cacheControl(e, a))
			return
		}
	}
	switch {
	case !j.h.o.List:
		j.absent(true)
	case !slash:
		j.addSlash(outer)
	default:
		j.list(outer)
	}
}

// below returns the name that is called base in dir.
func below(dir, base string) string {
	if dir == "" {
		return base
	}
	return dir + "/" + base
}

// addSlash sends the client to the directory itself: relative links of its page
// would lead elsewhere. The way is a path of this host whatever it begins with:
// two slashes would make the first segment a host.
func (j *job) addSlash(outer string) {
	to := "/" + strings.TrimLeft(outer, `/\`) + "/"
	target := j.x.Target
	if target == "" {
		target = j.r.RequestURI
	}
	if _, query, ok := strings.Cut(target, "?"); ok {
		to += "?" + query
	}
	h := j.w.Header()
	h["Location"], h["Content-Length"] = []string{to}, []string{"0"}
	j.w.WriteHeader(http.StatusPermanentRedirect)
}

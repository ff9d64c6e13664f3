package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"strconv"

	"github.com/fairlead/fairlead/exchange"
)

// mostTries is how often a file that changes while it is opened is looked at anew.
const mostTries = 3

// file answers with e, which is a regular file. cache is the value of Cache-Control.
func (j *job) file(e *entry, a *area, cache []string) {
	ans := e.choose(j.r.Header["Accept-Encoding"])
	switch ans.judge(j.r.Header) {
	case notModified:
		ans.setValidators(j.w.Header(), cache)
		j.w.WriteHeader(http.StatusNotModified)
		return
	case failed:
		exchange.Refuse(j.w, j.r, exchange.Refusal{Status: http.StatusPreconditionFailed, Code: "precondition-failed", Message: "The file is not the version that was asked for."})
		return
	}
	if j.r.Method == http.MethodHead { // it knows no ranges (RFC 9110, 14.2)
		j.head(ans, cache)
		return
	}
	var spans []span
	if asked := j.r.Header["Range"]; len(asked) == 1 && ans.wantsPart(j.r.Header) {
		var ok bool
		if spans, ok = readRange(asked[0], ans.file.Size); !ok {
			j.unsatisfied(ans)
			return
		}
	}
	c, err := j.h.o.Answers.content(e, ans)
	switch {
	case err != nil:
		j.reopen(e, a, cache, err)
	case spans == nil:
		j.whole(ans, c, cache)
	default:
		j.parts(ans, c, cache, spans)
	}
}

// reopen answers when e could not be opened: with the version that is there now.
func (j *job) reopen(e *entry, a *area, cache []string, err error) {
	if j.tries++; j.tries >= mostTries || !isMissing(err) && !errors.Is(err, errChanged) {
		j.fail(err)
		return
	}
	switch e, err := j.h.o.Answers.again(e); {
	case err != nil:
		j.fail(err)
	case e.kind == regular:
		j.file(e, a, cache)
	default:
		j.absent(true)
	}
}

func (j *job) head(ans *answer, cache []string) {
	h := j.w.Header()
	ans.setFields(h, cache)
	h["Content-Length"] = ans.length
	j.w.WriteHeader(http.StatusOK)
}

func (j *job) whole(ans *answer, c content, cache []string) {
	j.head(ans, cache)
	err := j.copy(c, span{0, ans.file.Size})
	j.done(ans, c, err)
}

// unsatisfied tells how long the file is, so that the client can ask again.
func (j *job) unsatisfied(ans *answer) {
	size := "bytes */" + strconv.FormatInt(ans.file.Size, 10)
	j.x.OnHeader(func(_ int, h http.Header) { h["Content-Range"] = []string{size} })
	exchange.Refuse(j.w, j.r, exchange.Refusal{Status: http.StatusRequestedRangeNotSatisfiable, Code: "bad-range", Message: "The file does not have the part that was asked for."})
}

// parts answers with one part of the file, or several in an envelope.
func (j *job) parts(ans *answer, c content, cache []string, spans []span) {
	h := j.w.Header()
	ans.setFields(h, cache)
	var between []string // what comes before each part, and behind the last
	length := spans[0].length
	if len(spans) == 1 {
		h["Content-Range"] = []string{spans[0].of(ans.file.Size)}
		between = []string{"", ""}
	} else {
		boundary := fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64())
		between = envelope(ans, spans, boundary)
		h["Content-Type"] = []string{"multipart/byteranges; boundary=" + boundary}
		length = int64(len(between[len(spans)]))
		for i, s := range spans {
			length += int64(len(between[i])) + s.length
		}
	}
	h["Content-Length"] = []string{strconv.FormatInt(length, 10)}
	j.w.WriteHeader(http.StatusPartialContent)
	var err error
	for i := 0; i < len(spans) && err == nil; i++ {
		if _, err = io.WriteString(j.w, between[i]); err == nil {
			err = j.copy(c, spans[i])
		}
	}
	if err == nil {
		_, err = io.WriteString(j.w, between[len(spans)])
	}
	j.done(ans, c, err)
}

// of returns s as the value of Content-Range.
func (s span) of(size int64) string {
	return fmt.Sprintf("bytes %d-%d/%d", s.start, s.start+s.length-1, size)
}

// envelope returns what surrounds the parts (RFC 9110, 14.6).
func envelope(ans *answer, spans []span, boundary string) []string {
	out := make([]string, 0, len(spans)+1)
	begin := "--"
	for _, s := range spans {
		out = append(out, begin+boundary+"\r\nContent-Type: "+ans.kind[0]+"\r\nContent-Range: "+s.of(ans.file.Size)+"\r\n\r\n")
		begin = "\r\n--"
	}
	return append(out, begin+boundary+"--\r\n")
}

// errShort: the file ended before its length, which the client was told.
var errShort = errors.New("the file became shorter while it was sent")

// copy sends a part of c.
func (j *job) copy(c content, s span) error {
	if c.handle == nil {
		if s.length == 0 {
			return nil
		}
		_, err := j.w.Write(c.all[s.start : s.start+s.length])
		return err
	}
	f := c.handle
	if _, err := f.file.Seek(s.start, io.SeekStart); err != nil {
		return err
	}
	f.part.R, f.part.N = f.file, s.length
	n, err := io.Copy(j.w, &f.part)
	if err == nil && n < s.length {
		err = errShort
	}
	return err
}

// done gives c back. An answer that is not complete ends the connection: all else
// would pass for a complete one.
func (j *job) done(ans *answer, c content, err error) {
	if c.handle != nil {
		j.h.o.Answers.put(ans, c.handle, j.x.Start)
	}
	if err == nil {
		return
	}
	j.x.Cause, j.x.Code = err, "client-gone"
	if errors.Is(err, errShort) || errors.As(err, new(*fs.PathError)) {
		j.x.Code = "answer-cut"
	}
	panic(http.ErrAbortHandler)
}

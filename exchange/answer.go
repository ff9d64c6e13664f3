package exchange

import (
	"encoding/json"
	"html"
	"net/http"
	"strconv"
	"strings"
)

// A Refusal is an answer the proxy gives itself instead of the app's.
type Refusal struct {
	Status     int
	Code       string // stable, for log and metrics: "no-route"
	Message    string // for the client: one sentence, nothing internal
	RetryAfter int    // seconds, 0 leaves the header out
	Close      bool   // end a connection of HTTP/1: what follows on it cannot be trusted
	Err        error  // for the log alone
}

// Refuse answers r with f: a short page in HTML, JSON or plain text, by Accept,
// with the request id by which the log line is found. If the head is already
// out it only notes why.
func Refuse(w http.ResponseWriter, r *http.Request, f Refusal) {
	x := Of(r)
	x.Code, x.Cause = f.Code, f.Err
	if x.Response.Status != 0 {
		return
	}
	h := w.Header()
	clear(h)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Request-Id", x.ID)
	if f.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(f.RetryAfter))
	}
	if f.Close && r.ProtoMajor == 1 { // elsewhere it would end requests that have streams of their own (RFC 9113, 8.2.2)
		h.Set("Connection", "close")
	}
	kind, body := page(r.Header.Get("Accept"), f, x.ID)
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(f.Status)
	if r.Method != http.MethodHead {
		w.Write(body)
	}
}

func page(accept string, f Refusal, id string) (kind string, body []byte) {
	title := strconv.Itoa(f.Status) + " " + http.StatusText(f.Status)
	switch {
	case strings.Contains(accept, "text/html"):
		return "text/html; charset=utf-8", []byte("<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'><title>" + title +
			"</title><style>body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1rem;color:#223}h1{font-size:1.4rem}small{color:#667}@media(prefers-color-scheme:dark){body{background:#16181d;color:#dde}}</style><h1>" +
			title + "</h1><p>" + html.EscapeString(f.Message) + "</p><small>" + html.EscapeString(f.Code) + " · request " + html.EscapeString(id) + "</small></html>\n")
	case strings.Contains(accept, "json"):
		body, _ = json.Marshal(map[string]any{"status": f.Status, "code": f.Code, "message": f.Message, "request_id": id})
		return "application/json", append(body, '\n')
	}
	return "text/plain; charset=utf-8", []byte(title + "\n" + f.Message + "\n" + f.Code + " · request " + id + "\n")
}

package files

import "strings"

// codings are those that files may be stored in, in the order in which they are
// chosen where a client likes them equally.
var codings = [codingCount]struct{ name, extension string }{{"zstd", ".zst"}, {"br", ".br"}, {"gzip", ".gz"}}

const codingCount = 3

// choose returns the answer for a client whose Accept-Encoding fields are accept:
// the one it likes best, the smallest kind of those. Without any that it accepts it
// gets the file as it is (RFC 9110, 12.5.3).
func (e *entry) choose(accept []string) *answer {
	if len(e.coded) == 0 || len(accept) == 0 {
		return e.whole
	}
	q := qualities(accept)
	best, most := e.whole, q.of("identity")
	if !q.named("identity") {
		most = 0 // it goes without saying, and anything that is said goes first
	}
	for i := len(e.coded) - 1; i >= 0; i-- {
		a := e.coded[i]
		if got := q.of(a.coding[0]); got > 0 && got >= most {
			best, most = a, got
		}
	}
	return best
}

// weights are the weights of Accept-Encoding in thousandths, 1 more than that
// where they are named: 0 stands for what is not.
type weights struct{ identity, zstd, br, gzip, any int }

func (w *weights) slot(coding string) *int {
	switch {
	case strings.EqualFold(coding, "gzip"), strings.EqualFold(coding, "x-gzip"):
		return &w.gzip
	case strings.EqualFold(coding, "br"):
		return &w.br
	case strings.EqualFold(coding, "zstd"):
		return &w.zstd
	case strings.EqualFold(coding, "identity"):
		return &w.identity
	case coding == "*":
		return &w.any
	}
	return nil
}

func (w *weights) named(coding string) bool { return *w.slot(coding) > 0 }

// of returns the weight of a coding, in thousandths.
func (w *weights) of(coding string) int {
	switch {
	case w.named(coding):
		return *w.slot(coding) - 1
	case w.any > 0:
		return w.any - 1
	}
	return 0
}

func qualities(accept []string) (w weights) {
	for _, list := range accept {
		for rest := list; rest != ""; {
			var item string
			item, rest, _ = strings.Cut(rest, ",")
			name, params, _ := strings.Cut(item, ";")
			if slot := w.slot(strings.Trim(name, " \t")); slot != nil {
				*slot = quality(params) + 1
			}
		}
	}
	return w
}

// quality reads the weight among params (RFC 9110, 12.4.2), in thousandths. One
// that makes no sense is 0: nobody gets what he may not want.
func quality(params string) int {
	for rest := params; rest != ""; {
		var p string
		p, rest, _ = strings.Cut(rest, ";")
		name, text, _ := strings.Cut(p, "=")
		if !strings.EqualFold(strings.Trim(name, " \t"), "q") {
			continue
		}
		text = strings.Trim(text, " \t")
		if text == "" || len(text) > 5 || len(text) > 1 && text[1] != '.' {
			return 0
		}
		q, unit := 0, 1000
		for i := 0; i < len(text); i++ {
			if i == 1 {
				continue
			}
			if text[i] < '0' || text[i] > '9' {
				return 0
			}
			q += int(text[i]-'0') * unit
			unit /= 10
		}
		return min(q, 1000)
	}
	return 1000
}

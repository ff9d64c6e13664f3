package label

import (
	"iter"
	"strings"
)

// Nearest returns the one of names that word most likely meant, or "". Case
// and the separators - and _ do not count as differences.
func Nearest(word string, names iter.Seq[string]) string {
	near, _ := nearest(word, names)
	return near
}

func nearest(word string, names iter.Seq[string]) (best string, bestDist int) {
	if len(word) > maxWord {
		return "", 0
	}
	word = fold(word)
	for name := range names {
		d, ok := slips(word, fold(name))
		if ok && (best == "" || d < bestDist || d == bestDist && name < best) {
			best, bestDist = name, d
		}
	}
	return best, bestDist
}

// slips returns how far apart two folded words are, and whether one may be a
// slip of the pen for the other: a third of the shorter one, and one at least.
func slips(a, b string) (d int, near bool) {
	limit := max(1, (min(len(a), len(b))+1)/3)
	if a == "" || b == "" || len(a)-len(b) > limit || len(b)-len(a) > limit {
		return 0, false
	}
	d = distance(a, b)
	return d, d <= limit
}

var separators = strings.NewReplacer("-", "", "_", "")

// fold removes what separates stripPrefix, strip_prefix and strip-prefix.
func fold(s string) string { return strings.ToLower(separators.Replace(s)) }

// maxWord bounds the words compared, in bytes: longer ones are no misspelling.
const maxWord = 64

// distance is the optimal string alignment distance: insert, delete, replace, swap.
func distance(a, b string) int {
	if len(a) > maxWord || len(b) > maxWord {
		return maxWord
	}
	var rows [3][maxWord + 1]int
	prev2, prev, cur := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}

// nearest returns the key that an unknown key was most likely meant to be, and
// the kind that key belongs to: by one slip, by words of protection in it
// (basic-auth, path-prefix), by more slips, by other words.
func (s *Schema) nearest(key string) (suggest string, k *Kind) {
	if len(key) > maxWord {
		return "", s.byWords(key[:maxWord])
	}
	name, rest, _ := strings.Cut(key, ".")
	if k = s.byName[name]; k != nil {
		return k.nearest(rest), k
	}
	if row, k := s.byPath(key); row != "" {
		return row, k
	}
	near, slips := nearest(name, s.keys())
	byWords := s.byWords(key)
	if near != "" && (slips <= 1 || byWords == nil || !byWords.FailClosed) {
		k = s.byName[near]
		if key = strings.TrimSuffix(near+"."+rest, "."); s.has(key) {
			return key, k
		}
		if below := k.nearest(rest); below != "" {
			return below, k
		}
		return near, k
	}
	if byWords != nil {
		return byWords.Name, byWords
	}
	return "", nil
}

// nearest returns the label of k that rest, which follows k's name, was most
// likely meant to be. What stands for "*" is kept.
func (k *Kind) nearest(rest string) string {
	segment, arg, dotted := strings.Cut(rest, ".")
	best, bestDist := "", 0
	try := func(word, name, full string) {
		d, ok := slips(fold(word), fold(name))
		if ok && (best == "" || d < bestDist || d == bestDist && full < best) {
			best, bestDist = full, d
		}
	}
	for _, r := range k.Rows {
		below := strings.TrimPrefix(strings.TrimPrefix(r.Path, k.Name), ".")
		stem, star := strings.CutSuffix(below, ".*")
		switch {
		case !star:
			try(rest, below, r.Path)
		case dotted && arg != "":
			try(segment, stem, strings.TrimSuffix(r.Path, "*")+arg)
		default:
			try(segment, stem, strings.TrimSuffix(r.Path, "*")+"NAME")
		}
	}
	return best
}

// byPath finds the label that key is but for its separators: timeout-connect,
// timeoutConnect.
func (s *Schema) byPath(key string) (string, *Kind) {
	flat := strings.ReplaceAll(fold(key), ".", "")
	for i := range s.Kinds {
		k := &s.Kinds[i]
		for _, r := range k.Rows {
			if strings.ReplaceAll(fold(r.Path), ".", "") == flat {
				return r.Path, k
			}
		}
	}
	return "", nil
}

var words = strings.NewReplacer(".", "-", "_", "-")

// byWords returns the kind whose name is among the words of key, the longest
// that fails closed before others; then one that fails closed and begins or
// ends a word (basicauth).
func (s *Schema) byWords(key string) (best *Kind) {
	text := "-" + strings.ToLower(words.Replace(key)) + "-"
	weight := 0
	for i := range s.Kinds {
		k := &s.Kinds[i]
		w := 0
		switch {
		case strings.Contains(text, "-"+k.Name+"-"):
			w = 1000 + len(k.Name)
		case k.FailClosed && len(k.Name) >= 4 && (strings.Contains(text, "-"+k.Name) || strings.Contains(text, k.Name+"-")):
			w = len(k.Name)
		default:
			continue
		}
		if k.FailClosed {
			w += 100
		}
		if w > weight {
			best, weight = k, w
		}
	}
	return best
}

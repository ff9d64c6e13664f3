package enginetest

import (
	"strconv"
	"strings"
)

// A piece is one request as a lenient reader cuts it off, in lines with their
// ends. It is what rules look at: they have to find the very thing they name,
// where it is syntax.
type piece struct {
	front   string   // CRs and LFs before the request line
	line    string   // the request line
	fields  []string // field lines
	chunks  []string // the lines of chunk sizes
	ends    []string // what stands behind the data of chunks: two bytes each
	trailer []string // field lines behind the last chunk
}

// split cuts in to requests as net/http would if it had no limits. What is not
// cut to the end is the last piece.
func split(in string) []piece {
	var pieces []piece
	for in != "" {
		var p piece
		p.front, in = cutFront(in)
		p.line, in = cutLine(in)
		p.fields, in = cutFields(in)
		in = p.cutBody(in)
		pieces = append(pieces, p)
	}
	return pieces
}

// cutFront cuts off what old clients send behind the body of a POST.
func cutFront(in string) (front, rest string) {
	rest = strings.TrimLeft(in, "\r\n")
	return in[:len(in)-len(rest)], rest
}

func cutLine(in string) (line, rest string) {
	end := strings.IndexByte(in, '\n') + 1
	if end == 0 {
		end = len(in)
	}
	return in[:end], in[end:]
}

// cutFields cuts off lines up to and including an empty one, which it drops.
func cutFields(in string) (lines []string, rest string) {
	for in != "" {
		var line string
		line, in = cutLine(in)
		if line == "\r\n" {
			break
		}
		lines = append(lines, line)
		if line == "\n" {
			break // kept for the rule that names it
		}
	}
	return lines, in
}

func (p *piece) cutBody(in string) (rest string) {
	if len(p.values("Transfer-Encoding")) > 0 && !strings.Contains(p.line, "HTTP/1.0") {
		return p.cutChunks(in)
	}
	for _, v := range p.values("Content-Length") {
		n, _ := strconv.Atoi(v)
		return in[max(0, min(n, len(in))):]
	}
	return in
}

func (p *piece) cutChunks(in string) (rest string) {
	for in != "" {
		var line string
		line, in = cutLine(in)
		p.chunks = append(p.chunks, line)
		digits, _, _ := strings.Cut(strings.TrimSpace(line), ";")
		size, err := strconv.ParseUint(strings.TrimSpace(digits), 16, 63)
		if err != nil || size == 0 {
			break
		}
		in = in[min(size, uint64(len(in))):]
		p.ends = append(p.ends, in[:min(2, len(in))])
		in = in[min(2, len(in)):]
	}
	p.trailer, in = cutFields(in)
	return in
}

// values returns the values of the fields of that name, whatever is around it.
func (p *piece) values(name string) []string {
	var values []string
	for _, line := range p.fields {
		if n, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(strings.TrimSpace(n), name) {
			values = append(values, strings.Trim(v, " \t\r\n"))
		}
	}
	return values
}

// size returns the length of the head in bytes.
func (p *piece) size() int { return len(p.line) + len(strings.Join(p.fields, "")) + 2 }

// target returns the second word of the request line.
func (p *piece) target() string {
	_, rest, _ := strings.Cut(p.line, " ")
	if i := strings.LastIndexByte(rest, ' '); i >= 0 {
		return rest[:i]
	}
	return rest
}

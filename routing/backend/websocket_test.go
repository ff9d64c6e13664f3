package backend

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// frame returns a frame of n zeros whose first byte is first, as servers send
// it.
func frame(first byte, n int) []byte {
	head := []byte{first, byte(n)}
	switch {
	case n > 0xffff:
		head = binary.BigEndian.AppendUint64([]byte{first, 127}, uint64(n))
	case n > 125:
		head = binary.BigEndian.AppendUint16([]byte{first, 126}, uint16(n))
	}
	return append(head, make([]byte, n)...)
}

// masked returns a frame of n zeros as clients send it.
func masked(first byte, n int) []byte {
	f := frame(first, n)
	f[1] |= 0x80
	return append(f, 1, 2, 3, 4)
}

// track feeds b to a tracker in pieces that end at cuts, and returns where it
// saw frames end.
func track(b []byte, cuts []int) (f frames, ends []int) {
	at := 0
	for _, cut := range append(cuts, len(b)) {
		for at < cut {
			n := f.next(b[at:cut])
			if at += n; n <= 0 || at > cut {
				panic(fmt.Sprintf("next went over %d bytes, to %d of %d", n, at, cut))
			}
			if f.between() {
				ends = append(ends, at)
			}
		}
	}
	return f, ends
}

func TestFramesEnd(t *testing.T) {
	for _, tt := range []struct {
		name   string
		parts  [][]byte
		closed bool
	}{
		{"empty", [][]byte{frame(0x81, 0)}, false},
		{"short", [][]byte{frame(0x81, 1), frame(0x82, 125)}, false},
		{"of 16 bits", [][]byte{frame(0x82, 126), frame(0x82, 0xffff)}, false},
		{"of 64 bits", [][]byte{frame(0x82, 1<<16), frame(0x82, 1<<16)}, false},
		{"masked", [][]byte{masked(0x81, 0), masked(0x82, 126), masked(0x82, 1<<16)}, false},
		{"a fragmented message with a ping in it", [][]byte{frame(0x01, 7), frame(0x89, 4), frame(0x00, 300), frame(0x80, 0)}, false},
		{"compressed", [][]byte{frame(0xc1, 70)}, false},
		{"a Close", [][]byte{frame(0x81, 3), frame(0x88, 2)}, true},
		{"an empty Close", [][]byte{masked(0x88, 0)}, true},
		{"what looks like a Close in a payload", [][]byte{append(frame(0x81, 2)[:2], 0x88, 0x02)}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b []byte
			var want []int
			for _, p := range tt.parts {
				b = append(b, p...)
				want = append(want, len(b))
			}
			for _, step := range []int{1, 2, 3, 5, 14, 1 << 12, len(b)} {
				var cuts []int
				for i := step; i < len(b); i += step {
					cuts = append(cuts, i)
				}
				f, got := track(b, cuts)
				if !slices.Equal(got, want) || f.broken || f.closed != tt.closed {
					t.Errorf("in pieces of %d: got ends %v, broken %v, closed %v, want %v, false, %v", step, got, f.broken, f.closed, want, tt.closed)
				}
			}
		})
	}
}

func TestFramesThatAreNone(t *testing.T) {
	for _, tt := range []struct{ name, bytes string }{
		{"a reserved opcode", "\x83\x00"},
		{"a reserved control opcode", "\x8b\x00"},
		{"a length with the top bit set", "\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x01"},
		{"all ones", "\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff"},
		{"16 bits for a length of 125", "\x82\x7e\x00\x7d"},
		{"64 bits for a length of 65535", "\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff"},
		{"a fragmented ping", "\x09\x00"},
		{"a long Close", "\x88\x7e\x00\x7e"},
		{"HTTP", "HTTP/1.1 200 OK\r\n"},
	} {
		good := string(frame(0x81, 3))
		f, ends := track([]byte(good+tt.bytes+strings.Repeat(good, 3)), nil)
		if !f.broken || f.between() || f.closed || !slices.Equal(ends, []int{len(good)}) {
			t.Errorf("%s: got broken %v, between %v, closed %v, ends %v, want it broken behind the first frame", tt.name, f.broken, f.between(), f.closed, ends)
		}
	}
}

// reference finds the ends of frames in a stream that is there as a whole.
func reference(b []byte) (ends []int, closed, broken bool) {
	for at := 0; ; {
		rest := b[at:]
		if len(rest) < 2 {
			return ends, closed, false
		}
		final, op, mask := rest[0] >= 128, rest[0]%16, rest[1] >= 128
		extended := map[byte]int{126: 2, 127: 8}[rest[1]%128]
		if len(rest) < 2+extended {
			return ends, closed, false
		}
		var length uint64
		for _, c := range rest[2 : 2+extended] {
			length = length*256 + uint64(c)
		}
		switch {
		case extended == 0:
			length = uint64(rest[1] % 128)
		case extended == 2 && length < 126, extended == 8 && (length < 65536 || length > 1<<63-1):
			return ends, closed, true
		}
		switch op {
		case 0, 1, 2: // continuation, text, binary
		case 8, 9, 10: // close, ping, pong
			if !final || length > 125 {
				return ends, closed, true
			}
			closed = closed || op == 8
		default:
			return ends, closed, true
		}
		whole := uint64(2+extended) + length
		if mask {
			whole += 4
		}
		if whole > uint64(len(rest)) {
			return ends, closed, false
		}
		at += int(whole)
		ends = append(ends, at)
	}
}

// FuzzFrames holds the tracker, fed in pieces, against reference.
func FuzzFrames(f *testing.F) {
	for _, parts := range [][][]byte{
		{frame(0x81, 5), frame(0x88, 2)}, {masked(0x82, 126), masked(0x88, 0)}, {frame(0x01, 300), frame(0x89, 0), frame(0x80, 1)},
		{frame(0x82, 1<<16)[:100]}, {[]byte("\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x01")}, {frame(0x81, 1), []byte("\x82\x7e\x00\x7d")}, {[]byte("GET / HTTP/1.1\r\n")},
	} {
		f.Add(slices.Concat(parts...), []byte{1, 1, 2, 3, 7})
	}
	f.Fuzz(func(t *testing.T, b, steps []byte) {
		var cuts []int
		at := 0
		for _, s := range steps {
			if at += int(s); at < len(b) {
				cuts = append(cuts, at)
			}
		}
		ends, closed, broken := reference(b)
		got, gotEnds := track(b, cuts)
		if !slices.Equal(gotEnds, ends) || got.closed != closed || got.broken != broken {
			t.Fatalf("%x in pieces up to %v: got ends %v, closed %v, broken %v, want %v, %v, %v", b, cuts, gotEnds, got.closed, got.broken, ends, closed, broken)
		}
	})
}

func BenchmarkFrames(b *testing.B) {
	for name, one := range map[string][]byte{"short": frame(0x81, 62), "16 bits": masked(0x82, 1000)} {
		b.Run(name, func(b *testing.B) {
			const many = 30
			chunk := slices.Repeat(one, many)
			var f frames
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				f.skip(chunk)
				n += many
			}
			if !f.between() {
				b.Fatal("lost track")
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/frame")
		})
	}
}

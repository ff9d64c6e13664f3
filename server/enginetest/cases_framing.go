package enginetest

import (
	"slices"
	"strings"
)

// Where a body ends is what smuggling is about: bait stands where one of two
// readers would look for the next request.

var lengths = slices.Concat([]request{
	{"two lengths", post("Content-Length: 1\r\nContent-Length: 2\r\n", "ab") + bait, refused},
	{"the same length twice", post("Content-Length: 3\r\nContent-Length: 3\r\n", "abc") + last, []string{"200 200", "400"}},
	{"two lengths, one of them empty", post("Content-Length: 3\r\nContent-Length:\r\n", "abc") + bait, refused},
	{"length of a GET that disagrees", get("Content-Length: 0\r\nContent-Length: 33\r\n") + bait, refused},
	{"length and chunked (THREATS 1)", post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n") + bait, refused},
	{"chunked and length (THREATS 1)", post("Transfer-Encoding: chunked\r\nContent-Length: 38\r\n", "0\r\n\r\n") + bait, refused},
	{"length of 0 and chunked (THREATS 1)", post("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n") + bait, refused},
	{"bad length and chunked (THREATS 1)", post("Content-Length: x\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n") + bait, refused},
	{"leading zeros", post("Content-Length: 0003\r\n", "abc") + last, both},
	{"blanks around the length", post("Content-Length: \t 3 \t\r\n", "abc") + last, both},
	{"body that ends early", post("Content-Length: 10\r\n", "abc"), []string{"400", ""}},
},
	each("length (THREATS 2)", refused, func(v string) string { return post("Content-Length: "+v+"\r\n", "abcde") + bait },
		"", "+5", "-5", "-0", "5,6", "5, 5", "5,", ",5", "0x5", "5x", "1 2", "5;", "5.0", "5e0", "5_0", "\xa05", "5\xa0", "\x0b5", "\"5\"", "\xef\xbc\x95", "5\x00",
		"9223372036854775808", "18446744073709551616", "18446744073709551621", "99999999999999999999999999999999999999"),
)

var codings = slices.Concat([]request{
	{"chunked twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n") + bait, noCoding},
	{"chunked and identity", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n") + bait, noCoding},
	{"chunked in 1.0", "POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + bait, refused},
	{"chunked and length in 1.0", "POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + bait, refused},
	{"chunked in upper case", post("TRANSFER-ENCODING: CHUNKED\r\n", "0\r\n\r\n") + last, both},
	{"blanks around chunked", post("Transfer-Encoding: \t chunked \t\r\n", "0\r\n\r\n") + last, both},
	{"chunked GET", get("Transfer-Encoding: chunked\r\n") + "3\r\nabc\r\n0\r\n\r\n" + last, both},
	{"folded chunked", post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n") + bait, refused},
	{"chunked behind a bare LF", post("X-A: a\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n") + bait, refused},
	{"chunked behind a bare CR", post("X-A: a\rTransfer-Encoding: chunked\r\n", "0\r\n\r\n") + bait, refused},
	{"blank before the colon of chunked", post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n") + bait, refused},
},
	each("coding", noCoding, func(v string) string { return post("Transfer-Encoding: "+v+"\r\n", "0\r\n\r\n") + bait },
		"", "gzip", "identity", "gzip, chunked", "chunked, gzip", "chunked, chunked", "chunked, identity", "identity, chunked", "chunked,", ",chunked", "chunked;q=1",
		"xchunked", "chunked x", "chunke", "\"chunked\"", "\x0bchunked", "chunked\x0b", "\xa0chunked", "chun\x00ked", "chun\xc5\xbfked", "chun\xe2\x84\xaaed"),
)

var chunks = slices.Concat([]request{
	{"chunks of all sizes", chunked("1\r\na\r\n0A\r\n0123456789\r\n00f;a=b;c=\"d e\"\r\n0123456789abcde\r\n000\r\n\r\n") + last, both},
	{"chunk with extensions", chunked("3;a=b\r\nabc\r\n0;last\r\n\r\n") + last, both},
	{"bare LF in chunks (THREATS 3)", chunked("3\nabc\n0\n\n") + bait, refused},
	{"bare LF behind a size (THREATS 3)", chunked("3\nabc\r\n0\r\n\r\n") + bait, refused},
	{"bare LF behind data (THREATS 3)", chunked("3\r\nabc\n0\r\n\r\n") + bait, refused},
	{"bare LF behind an extension (THREATS 3)", chunked("3;a\nabc\r\n0\r\n\r\n") + bait, refused},
	{"bare CR behind a size", chunked("3\rabc\r\n0\r\n\r\n") + bait, refused},
	{"bare CR in an extension", chunked("3;a\rb\r\nabc\r\n0\r\n\r\n") + bait, refused},
	{"bare LF behind the last chunk", chunked("0\n\r\n") + bait, refused},
	{"bare LF at the end", chunked("0\r\n\n") + bait, refused},
	{"chunk with more data", chunked("3\r\nabcd\r\n0\r\n\r\n") + bait, refused},
	{"chunk with less data", chunked("3\r\nab\r\n0\r\n\r\n") + bait, refused},
	{"no CRLF behind data", chunked("3\r\nabc0\r\n\r\n") + bait, refused},
	{"CR CR LF behind data", chunked("3\r\nabc\r\r\n0\r\n\r\n") + bait, refused},
	{"two bytes for CRLF", chunked("3\r\nabcXX0\r\n\r\n") + bait, refused},
	{"chunks that end early", chunked("5\r\nabc"), []string{"400", ""}},
	{"chunks without the last", chunked("3\r\nabc\r\n"), []string{"400", ""}},
	{"last chunk without its end", chunked("3\r\nabc\r\n0\r\n"), []string{"400", ""}},
	{"last chunk with half its end", chunked("3\r\nabc\r\n0\r\n\r"), []string{"400", ""}},
	{"extension of a chunk of 64 KiB (THREATS 3)", chunked("3;"+strings.Repeat("a", 64<<10)+"\r\nabc\r\n0\r\n\r\n") + bait, refused},
	{"small chunks with extensions (THREATS 3)", chunked(strings.Repeat("1;"+strings.Repeat("a", 500)+"\r\na\r\n", 200)+"0\r\n\r\n") + bait, refused},
	{"control bytes in an extension", chunked("3;a\x00b\r\nabc\r\n0\r\n\r\n") + bait, refused},
	{"a next request for a chunk", chunked(get("")) + bait, refused},
},
	each("chunk size", refused, func(v string) string { return chunked(v+"\r\nabc\r\n0\r\n\r\n") + bait },
		"", "0x3", "+3", "-3", " 3", "3 ", "3\t", "3 ;a", "3h", "g", "3,", "3=a", "3\x00", "\x0b3", "\"3\"", "\xef\xbc\x93", "_3", "3.0",
		"fffffffffffffffff", "10000000000000003", "ffffffffffffffff", "8000000000000003", "00000000000000000000000000003"),
)

var trailerFields = slices.Concat([]request{
	{"trailers", chunked("0\r\nX-A: a\r\nX-A: b\r\nX-B:\r\n\r\n") + last, both},
	{"folded trailer", chunked("0\r\nX-A: a\r\n b\r\n\r\n") + bait, refused},
	{"bare LF behind a trailer", chunked("0\r\nX-A: a\n\r\n") + bait, refused},
	{"trailer without a colon", chunked("0\r\nX-A\r\n\r\n") + bait, refused},
	{"a next request for a trailer", chunked("0\r\n"+get("")) + bait, refused},
	{"half a trailer", chunked("0\r\nX-A: a\r\n"), []string{"400", ""}},
},
	each("trailer name", refused, func(v string) string { return chunked("0\r\n"+v+": x\r\n\r\n") + bait },
		"", "X-A ", "X A", "X\x00A", "X\x80A", " X"),
	each("trailer value", refused, func(v string) string { return chunked("0\r\nX-A: "+v+"\r\n\r\n") + bait },
		"a\x00b", "a\rb", "a\x7fb"),
)

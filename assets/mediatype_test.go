package assets

import (
	"mime"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/internal/alloctest"
)

func TestMediaTypes(t *testing.T) {
	for name, want := range map[string]string{
		"index.html": "text/html; charset=utf-8", "a/b/INDEX.HTM": "text/html; charset=utf-8",
		"app.min.js": "text/javascript; charset=utf-8", "x.mjs": "text/javascript; charset=utf-8", "app.css": "text/css; charset=utf-8",
		"app.js.map": "application/json", "x.json": "application/json", "x.wasm": "application/wasm",
		"site.webmanifest": "application/manifest+json", "x.jsonld": "application/ld+json", "x.geojson": "application/geo+json",
		"x.svg": "image/svg+xml", "x.avif": "image/avif", "x.webp": "image/webp", "x.jxl": "image/jxl", "x.heic": "image/heic",
		"x.JPG": "image/jpeg", "favicon.ico": "image/x-icon", "f.woff2": "font/woff2", "f.woff": "font/woff",
		"live.m3u8": "application/vnd.apple.mpegurl", "seg1.ts": "video/mp2t", "x.mts": "video/mp2t", "x.mp4": "video/mp4",
		"x.glb": "model/gltf-binary", "x.gltf": "model/gltf+json", "x.opus": "audio/ogg", "x.mp3": "audio/mpeg",
		"x.epub": "application/epub+zip", "x.pdf": "application/pdf", "x.vtt": "text/vtt; charset=utf-8", "x.txt": "text/plain; charset=utf-8",
		"x.apk": "application/vnd.android.package-archive", "x.7z": "application/x-7z-compressed", "x.tar.gz": "application/gzip",
		"x.zst": "application/zstd", "x.br": "application/x-brotli", "x.iso": "application/x-iso9660-image", "x.dmg": "application/x-apple-diskimage",

		"": unknownType, "README": unknownType, "x.": unknownType, "x.unknown": unknownType, "dir.html/file": unknownType,
		"x.html~": unknownType, "x.html\x00": unknownType, "html": unknownType,
	} {
		if got := MediaType(name); got != want {
			t.Errorf("%q is %s, want %s", name, got, want)
		}
	}
}

func TestMediaTypesAreWellFormed(t *testing.T) {
	if len(mediaTypes) < 120 {
		t.Errorf("there are only %d", len(mediaTypes))
	}
	used := map[string]bool{}
	for ext, full := range mediaTypes {
		bare, params, err := mime.ParseMediaType(full)
		if err != nil || mime.FormatMediaType(bare, params) != full {
			t.Errorf("%s is %q: %v", ext, full, err)
		}
		used[bare] = true
		if ext != strings.ToLower(ext) || strings.ContainsAny(ext, "./ ") {
			t.Errorf("nothing has the extension %q", ext)
		}
		if text := strings.HasPrefix(bare, "text/"); text != (params["charset"] == "utf-8") {
			t.Errorf("%s is %q: text has a charset, and nothing else has", ext, full)
		}
	}
	for bare := range packed {
		if !used[bare] {
			t.Errorf("%s is worth compressing, and no file has it", bare)
		}
	}
}

func TestMediaTypeAllocatesNothing(t *testing.T) {
	var got string
	alloctest.AtMost(t, 0, 100, func() { got = MediaType("assets/app.3f9c2a1b.js") })
	if got == "" {
		t.Error("no type")
	}
}

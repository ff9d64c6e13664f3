package assets

import "strings"

// unknownType is the media type of what has no other: it is saved, not shown.
const unknownType = "application/octet-stream"

// MediaType returns the media type of a file by the extension of its name, upper
// or lower case, for Content-Type. Text is UTF-8. The table is the same on every
// machine: those of systems differ.
func MediaType(name string) string {
	if t, ok := mediaTypes[extension(name)]; ok {
		return t
	}
	return unknownType
}

// extension returns what follows the last dot of the last segment of name, in
// lower case.
func extension(name string) string {
	for i := len(name) - 1; i >= 0 && name[i] != '/'; i-- {
		if name[i] == '.' {
			return strings.ToLower(name[i+1:])
		}
	}
	return ""
}

// Compresses reports whether files of that name become smaller when they are
// compressed. Of others nobody has compressed ones.
func Compresses(name string) bool {
	ext := extension(name)
	if ext == "svgz" { // is compressed already
		return false
	}
	t := mediaTypes[ext]
	t, _, _ = strings.Cut(t, ";")
	return strings.HasPrefix(t, "text/") || strings.HasSuffix(t, "+xml") || strings.HasSuffix(t, "+json") || packed[t]
}

// packed are media types besides text whose content is not compressed by itself.
var packed = map[string]bool{
	"application/json":              true,
	"application/postscript":        true,
	"application/rtf":               true,
	"application/sql":               true,
	"application/toml":              true,
	"application/vnd.apple.mpegurl": true,
	"application/vnd.ms-fontobject": true,
	"application/wasm":              true,
	"application/x-ndjson":          true,
	"application/x-sh":              true,
	"application/x-subrip":          true,
	"application/x-x509-ca-cert":    true,
	"application/xml":               true,
	"application/xml-dtd":           true,
	"application/yaml":              true,
	"font/collection":               true,
	"font/otf":                      true,
	"font/ttf":                      true,
	"image/bmp":                     true,
	"image/x-icon":                  true,
	"model/gltf-binary":             true,
	"model/mtl":                     true,
	"model/obj":                     true,
	"model/stl":                     true,
}

// inUTF8 is the parameter of text. XML and JSON say by themselves, or are UTF-8.
const inUTF8 = "; charset=utf-8"

// mediaTypes has media types by extension, in lower case: those of IANA where it
// has one that browsers know.
var mediaTypes = map[string]string{
	// pages and what they are made of
	"html": "text/html" + inUTF8, "htm": "text/html" + inUTF8, "shtml": "text/html" + inUTF8,
	"xhtml": "application/xhtml+xml", "xht": "application/xhtml+xml",
	"css": "text/css" + inUTF8,
	"js":  "text/javascript" + inUTF8, "mjs": "text/javascript" + inUTF8, "cjs": "text/javascript" + inUTF8, // RFC 9239
	"json": "application/json", "map": "application/json", "topojson": "application/json",
	"jsonld": "application/ld+json", "geojson": "application/geo+json", "ndjson": "application/x-ndjson",
	"webmanifest": "application/manifest+json",
	"wasm":        "application/wasm",
	"xml":         "application/xml", "xsd": "application/xml", "xsl": "application/xslt+xml", "xslt": "application/xslt+xml",
	"dtd": "application/xml-dtd", "rdf": "application/rdf+xml",
	"rss": "application/rss+xml", "atom": "application/atom+xml",
	"mml": "text/mathml" + inUTF8, "htc": "text/x-component" + inUTF8, "appcache": "text/cache-manifest" + inUTF8,
	"wml": "text/vnd.wap.wml" + inUTF8, "jad": "text/vnd.sun.j2me.app-descriptor" + inUTF8,

	// text
	"txt": "text/plain" + inUTF8, "text": "text/plain" + inUTF8, "log": "text/plain" + inUTF8, "conf": "text/plain" + inUTF8,
	"ini": "text/plain" + inUTF8, "asc": "text/plain" + inUTF8, "sha256": "text/plain" + inUTF8, "rst": "text/plain" + inUTF8,
	"diff": "text/plain" + inUTF8, "patch": "text/plain" + inUTF8,
	"md": "text/markdown" + inUTF8, "markdown": "text/markdown" + inUTF8,
	"csv": "text/csv" + inUTF8, "tsv": "text/tab-separated-values" + inUTF8,
	"ics": "text/calendar" + inUTF8, "vcf": "text/vcard" + inUTF8, "vtt": "text/vtt" + inUTF8, "srt": "application/x-subrip",
	"ttl": "text/turtle" + inUTF8, "yaml": "application/yaml", "yml": "application/yaml", "toml": "application/toml",
	"sql": "application/sql", "sh": "application/x-sh",

	// images
	"gif": "image/gif", "jpeg": "image/jpeg", "jpg": "image/jpeg", "jpe": "image/jpeg", "jfif": "image/jpeg", "pjpeg": "image/jpeg",
	"png": "image/png", "apng": "image/apng", "avif": "image/avif", "avifs": "image/avif", "webp": "image/webp",
	"jxl": "image/jxl", "heic": "image/heic", "heif": "image/heif", "jp2": "image/jp2",
	"svg": "image/svg+xml", "svgz": "image/svg+xml", "ico": "image/x-icon", "cur": "image/x-icon",
	"bmp": "image/bmp", "tif": "image/tiff", "tiff": "image/tiff", "wbmp": "image/vnd.wap.wbmp", "jng": "image/x-jng",
	"psd": "image/vnd.adobe.photoshop",

	// fonts
	"woff": "font/woff", "woff2": "font/woff2", "ttf": "font/ttf", "otf": "font/otf", "ttc": "font/collection",
	"eot": "application/vnd.ms-fontobject",

	// sound
	"mp3": "audio/mpeg", "m4a": "audio/mp4", "m4b": "audio/mp4", "aac": "audio/aac", "ogg": "audio/ogg", "oga": "audio/ogg",
	"opus": "audio/ogg", "flac": "audio/flac", "wav": "audio/wav", "weba": "audio/webm", "mka": "audio/x-matroska",
	"mid": "audio/midi", "midi": "audio/midi", "kar": "audio/midi", "ra": "audio/x-realaudio", "aif": "audio/aiff", "aiff": "audio/aiff",
	"m3u": "audio/x-mpegurl",

	// video
	"mp4": "video/mp4", "m4v": "video/mp4", "m4s": "video/iso.segment", "webm": "video/webm", "ogv": "video/ogg",
	"mov": "video/quicktime", "mpeg": "video/mpeg", "mpg": "video/mpeg", "mkv": "video/x-matroska",
	"ts": "video/mp2t", "mts": "video/mp2t", "m2ts": "video/mp2t", "3gp": "video/3gpp", "3gpp": "video/3gpp", "3g2": "video/3gpp2",
	"avi": "video/x-msvideo", "wmv": "video/x-ms-wmv", "asf": "video/x-ms-asf", "asx": "video/x-ms-asf", "flv": "video/x-flv",
	"mng": "video/x-mng", "m3u8": "application/vnd.apple.mpegurl", "mpd": "application/dash+xml", "ogx": "application/ogg",
	"xspf": "application/xspf+xml",

	// documents
	"pdf": "application/pdf", "epub": "application/epub+zip", "mobi": "application/x-mobipocket-ebook", "rtf": "application/rtf",
	"ps": "application/postscript", "eps": "application/postscript", "ai": "application/postscript",
	"doc": "application/msword", "xls": "application/vnd.ms-excel", "ppt": "application/vnd.ms-powerpoint",
	"docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	"xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	"pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
	"odt":  "application/vnd.oasis.opendocument.text", "ods": "application/vnd.oasis.opendocument.spreadsheet",
	"odp": "application/vnd.oasis.opendocument.presentation", "odg": "application/vnd.oasis.opendocument.graphics",
	"kml": "application/vnd.google-earth.kml+xml", "kmz": "application/vnd.google-earth.kmz", "gpx": "application/gpx+xml",

	// models
	"glb": "model/gltf-binary", "gltf": "model/gltf+json", "obj": "model/obj", "mtl": "model/mtl", "stl": "model/stl",
	"3mf": "model/3mf", "usdz": "model/vnd.usdz+zip",

	// archives and programs
	"zip": "application/zip", "7z": "application/x-7z-compressed", "rar": "application/vnd.rar", "tar": "application/x-tar",
	"gz": "application/gzip", "tgz": "application/gzip", "bz2": "application/x-bzip2", "xz": "application/x-xz",
	"zst": "application/zstd", "br": "application/x-brotli",
	"apk": "application/vnd.android.package-archive", "jar": "application/java-archive", "war": "application/java-archive",
	"ear": "application/java-archive", "jnlp": "application/x-java-jnlp-file", "jardiff": "application/x-java-archive-diff",
	"deb": "application/vnd.debian.binary-package", "rpm": "application/x-rpm", "iso": "application/x-iso9660-image",
	"dmg": "application/x-apple-diskimage", "msi": "application/x-msi", "crx": "application/x-chrome-extension",
	"xpi": "application/x-xpinstall", "torrent": "application/x-bittorrent", "swf": "application/x-shockwave-flash",
	"pkpass": "application/vnd.apple.pkpass", "mobileconfig": "application/x-apple-aspen-config",
	"der": "application/x-x509-ca-cert", "pem": "application/x-x509-ca-cert", "crt": "application/x-x509-ca-cert",
	"p7s": "application/pkcs7-signature", "sig": "application/pgp-signature",
}

package files

import "testing"

func TestFingerprints(t *testing.T) {
	for name, want := range map[string]bool{
		"app.3f9c2a1b.js":                           true,
		"index-DiwrgTda.js":                         true,
		"index-BkzTq8Wn.css":                        true,
		"main.a1b2c3d4.chunk.css":                   true,
		"assets/vendor-C2iRz4eP.js":                 true,
		"app.3f9c2a1b.js.map":                       true,
		"styles.3F9C2A1B.min.css":                   true,
		"css/base.5af66c1b1797.css":                 true, // Django's ManifestStaticFilesStorage
		"logo.6ce24c58023cc2f8fd88fe9d219db6c6.svg": true,
		"787.28cb0dcd.chunk.js":                     true,
		"framework-4a6b2f0c8d1e3f57.js":             true,
		"polyfills-42372ed130431b0a.js":             true,
		"application-1b0ab2dd5a3cd1fb77cb4f5d6b09b1f8a28e1d6bd0e8be3ae9cf8db3a3d3ef97.js": true, // sprockets
		"index.BsPx4k2L.js":                          true,
		"chunk-vendors.9f8e7d6c.js":                  true,
		"font-Xq7_pR2m.woff2":                        true,
		"_next/static/chunks/main.js":                true,
		"_next/static/abc/_buildManifest.js":         true,
		"_app/immutable/entry/start.js":              true,
		"immutable/x.css":                            true,
		"entry-kQXzBvTj.js":                          true,
		"app.js":                                     false,
		"bootstrap.min.css":                          false,
		"2024-report.pdf":                            false,
		"report-20240115.pdf":                        false,
		"report-20240115a.pdf":                       false,
		"jquery-3.7.1.min.js":                        false,
		"component.js":                               false,
		"my-component.js":                            false,
		"page-HomePage.js":                           false,
		"page-UserList.js":                           false,
		"icon-DropZone.svg":                          false,
		"photo-1024x768.jpg":                         false,
		"photo-2024final.jpg":                        false,
		"setup-windows10x64.exe":                     false,
		"backup-20240101T120000.zip":                 false,
		"sprite-header_bg_2x.png":                    false,
		"app.production.js":                          false,
		"README":                                     false,
		"a.b.c":                                      false,
		"3f9c2a1b.js":                                false, // a name, for all we know
		"a-3f2504e0-4f89-11d3-9a0c-0305e82c3301.jpg": false,
		"font-awesome.css":                           false,
		"locale.en-US.json":                          false,
		"fonts.googleapis.css":                       false,
		"data-12345678.json":                         false,
		"notimmutable/x.css":                         false,
		"my_next/static/x.css":                       false,
		"app.3f9c2a1.js":                             false, // seven
		"index-javascript.js":                        false,
	} {
		if got := isStamped(name); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

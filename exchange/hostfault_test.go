package exchange

import (
	"strings"
	"testing"
)

func TestHostFaultsAreNamed(t *testing.T) {
	for host, want := range map[string]string{
		"a..b": "between two dots", ".a": "before the first", "a:x": "no port", "a:99999": "no port", "": "no name", ":80": "no name",
		"a,b": "a list", "a%2eb": "percent", "*.a": "asterisks", "[::1": "IPv6", "[a]": "IPv6", "a b": "characters", "a/b": "characters",
		strings.Repeat("a", 64) + ".ex": "longer than 63", strings.Repeat("a.", 130) + "ex": "longer than 253",
	} {
		if _, _, ok := ParseHost(host); ok && host != "" {
			t.Errorf("%.40q is valid", host)
		}
		if got := hostFault(host); !strings.Contains(got, want) {
			t.Errorf("%.40q: %q, want something with %q", host, got, want)
		}
	}
}

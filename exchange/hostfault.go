package exchange

import (
	"strconv"
	"strings"
)

// hostFault says why ParseHost does not take hostport, for people.
func hostFault(hostport string) string {
	name := hostport
	if i := strings.IndexByte(hostport, ':'); i >= 0 && !strings.HasPrefix(hostport, "[") {
		name = hostport[:i]
		if _, ok := parsePort(hostport[i+1:]); !ok {
			return "what follows the colon is no port"
		}
	}
	switch {
	case strings.HasPrefix(hostport, "["):
		return "it is no IPv6 address in brackets with, perhaps, a port"
	case name == "":
		return "there is no name"
	case strings.Contains(name, ","):
		return "it is a list"
	case strings.ContainsAny(name, "%*"):
		return "names have neither percent signs nor asterisks"
	case strings.Contains(strings.TrimSuffix(name, "."), "..") || strings.HasPrefix(name, "."):
		return "nothing stands between two dots, or before the first"
	case len(name) > maxName+1:
		return "it is longer than " + strconv.Itoa(maxName) + " bytes"
	}
	for part := range strings.SplitSeq(name, ".") {
		if len(part) > maxLabel {
			return "a part of it is longer than " + strconv.Itoa(maxLabel) + " bytes"
		}
	}
	return "it has characters that no host name has"
}

package label

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var (
	durationPart = regexp.MustCompile(`^(\d+(?:\.\d+)?|\.\d+)(ns|us|µs|μs|ms|s|m|h|d|w|y)`)
	dayUnits     = map[string]time.Duration{"d": 24, "w": 7 * 24, "y": 365 * 24} // in hours
)

// ParseDuration reads what time.ParseDuration does, without a sign, and d, w
// and y (24 hours, 7 days, 365 days). A bare number is refused, with the likely
// meaning.
func ParseDuration(text string) (time.Duration, error) {
	wrong := &ValueError{Msg: "is not a duration such as 30s, 5m, 1h30m or 7d"}
	if text == "0" {
		return 0, nil
	}
	if _, err := strconv.ParseUint(text, 10, 63); err == nil {
		return 0, &ValueError{Msg: "has no unit", Suggest: text + "s"}
	}
	var sum time.Duration
	for rest := text; ; {
		m := durationPart.FindStringSubmatch(rest)
		if m == nil {
			return 0, wrong
		}
		number, unit := m[1], m[2]
		times := max(1, dayUnits[unit])
		if times > 1 {
			unit = "h"
		}
		d, err := time.ParseDuration(number + unit)
		if err != nil || d > (1<<63-1-sum)/times {
			return 0, wrong // too long to be counted
		}
		sum += d * times
		if rest = rest[len(m[0]):]; rest == "" {
			return sum, nil
		}
	}
}

var sizeUnits = map[string]int64{
	"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30,
	"kb": 1000, "mb": 1000 * 1000, "gb": 1000 * 1000 * 1000,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30,
}

// ParseSize reads a number of bytes: 512, 10k, 50m, 1g (by 1024), KB MB GB (by
// 1000), KiB MiB GiB, in any case.
func ParseSize(text string) (int64, error) {
	low := strings.ToLower(text)
	digits := strings.TrimRight(low, "kmgib")
	times, ok := sizeUnits[low[len(digits):]]
	n, err := strconv.ParseUint(digits, 10, 62)
	if !ok || err != nil || n > uint64((1<<62)/times) {
		return 0, &ValueError{Msg: "is not a size such as 512, 10k, 50m or 1g"}
	}
	return int64(n) * times, nil
}

// BriefSize writes a number of bytes as ParseSize reads it: 64k, 5g.
func BriefSize(n int64) string {
	for _, unit := range []string{"g", "m", "k"} {
		if of := sizeUnits[unit]; n >= of && n%of == 0 {
			return strconv.FormatInt(n/of, 10) + unit
		}
	}
	return strconv.FormatInt(n, 10)
}

// ParsePrefix reads a CIDR or a single address. IPv4 in IPv6 (::ffff:10.0.0.0/104)
// is IPv4, as client addresses are.
func ParsePrefix(text string) (netip.Prefix, error) {
	wrong := &ValueError{Msg: "is neither an address nor a network such as 192.168.0.0/16"}
	if a, err := netip.ParseAddr(text); err == nil {
		if a.Zone() != "" {
			return netip.Prefix{}, wrong
		}
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, wrong
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, wrong
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

package exchange

import (
	"net/netip"
	"strings"
)

// Expand replaces the placeholders {client-ip}, {host}, {scheme}, {port} and
// {request-id} in text. Other braces stay as they are.
func (x *Exchange) Expand(text string) string {
	if !strings.Contains(text, "{") {
		return text
	}
	client := ""
	if x.Client != (netip.Addr{}) {
		client = x.Client.String()
	}
	return strings.NewReplacer(
		"{client-ip}", client, "{host}", x.Host, "{scheme}", x.Scheme, "{port}", x.Port, "{request-id}", x.ID,
	).Replace(text)
}

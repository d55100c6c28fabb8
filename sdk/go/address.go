package sala

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// address is where the broker listens for gRPC, and whether the caller has said how to talk to it.
type address struct {
	hostPort  string
	scheme    string // "http", "https" or empty
	encrypted bool   // whether the client uses TLS; [Dial] decides
}

// parseAddress reads host:port, http://host:port or https://host:port.
func parseAddress(text string) (address, error) {
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		scheme, rest = "", text
	}
	if scheme != "" && scheme != "http" && scheme != "https" {
		return address{}, fmt.Errorf("sala: the address %q begins with neither http:// nor https://", text)
	}
	rest = strings.TrimSuffix(rest, "/")
	host, port, err := net.SplitHostPort(rest)
	if err != nil || host == "" || port == "" || strings.ContainsAny(rest, "/@") {
		return address{}, fmt.Errorf("sala: the address %q is not host:port, such as 127.0.0.1:9090", text)
	}
	return address{hostPort: rest, scheme: scheme}, nil
}

// isLoopback reports whether the address is this machine's own, so that nobody else can listen in.
func (a address) isLoopback() bool {
	host, _, err := net.SplitHostPort(a.hostPort)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

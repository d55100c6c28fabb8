package config

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// AdvertiseFlag is the flag of [Cluster.Advertise].
const AdvertiseFlag = "--advertise"

// Advertise is where other nodes reach a node, as far as it is configured: the rest is empty.
type Advertise struct {
	// Scheme is "http" or "https".
	Scheme string
	// Host is a name or an IP address, without brackets.
	Host string
	// Port is the number of a port.
	Port string
}

// parseAdvertise reads a URL without a path, host:port, or a host.
func parseAdvertise(text string) (Advertise, error) {
	if text == "" {
		return Advertise{}, nil
	}
	problem := fmt.Errorf("%s %q is not an address that other nodes can connect to; write it like 10.0.0.5:3000 or https://node1.example.com:3000", AdvertiseFlag, text)
	raw := text
	if !strings.Contains(raw, "://") {
		if net.ParseIP(raw) != nil && strings.Contains(raw, ":") {
			raw = "[" + raw + "]"
		}
		raw = "//" + raw
	}
	u, err := url.Parse(raw)
	if err != nil {
		return Advertise{}, problem
	}
	a := Advertise{Scheme: u.Scheme, Host: u.Hostname(), Port: u.Port()}
	bare := u.User == nil && strings.Trim(u.Path, "/") == "" && u.RawQuery == "" && u.Fragment == "" && u.Opaque == ""
	known := a.Scheme == "" || a.Scheme == "http" || a.Scheme == "https"
	if !bare || !known || a.Host == "" || strings.ContainsAny(a.Host, " %") || !validPort(a.Port) {
		return Advertise{}, problem
	}
	if ip := net.ParseIP(a.Host); ip != nil && ip.IsUnspecified() {
		return Advertise{}, fmt.Errorf("%s %q means all addresses of this machine; name the one that other nodes can connect to", AdvertiseFlag, text)
	}
	return a, nil
}

func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil && n > 0
}

package config

import (
	"net/netip"

	"github.com/salabroker/sala/broker"
)

// limits maps the limits of clients. The broker checks their bounds.
func (f *Flags) limits(p *problems) broker.Limits {
	return broker.Limits{
		ConnectionsPerIP:   f.MaxConnectionsPerIP,
		HandshakesPerIP:    f.MaxHandshakesPerIP,
		Exempt:             parseNetworks(p, "--limit-exempt", f.LimitExempt),
		ConnectionsPerUser: f.MaxConnectionsPerUser,
		Namespaces:         f.MaxNamespaces,
		Events:             f.MaxEvents,
		Bytes:              f.MaxBytes,
		Joins:              f.MaxJoins,
	}
}

// networkNames are the networks with a name.
var networkNames = map[string][]string{
	"loopback": {"127.0.0.0/8", "::1/128"},
	"private":  {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10"},
}

// parseNetworks parses networks, addresses and the names of networks.
func parseNetworks(p *problems, flag string, list List) (networks []netip.Prefix) {
	for _, entry := range list {
		texts, named := networkNames[entry]
		if !named {
			texts = []string{entry}
		}
		for _, text := range texts {
			network, ok := parseNetwork(text)
			if !ok {
				p.addf("%s %q is not a network; write it like 10.0.0.0/8, 192.0.2.1, 2001:db8::/32, loopback or private", flag, entry)
				continue
			}
			networks = append(networks, network)
		}
	}
	return networks
}

func parseNetwork(text string) (netip.Prefix, bool) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), true
	}
	network, err := netip.ParsePrefix(text)
	return network.Masked(), err == nil && !network.Addr().Is4In6()
}

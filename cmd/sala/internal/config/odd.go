package config

import (
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
)

// oddities say what is no error, and likely no intention either.
func (f *Flags) oddities() []string {
	var notes []string
	for _, file := range []struct{ flag, path string }{
		{"--tls-key", string(f.TLSKey)},
		{"--control-tls-key", string(f.ControlTLSKey)},
	} {
		if readableByAll(file.path) {
			notes = append(notes, fmt.Sprintf("%s %s can be read by every user of this machine; take that away: chmod o-r", file.flag, file.path))
		}
	}
	if f.holdsSecrets() && readableByAll(f.file.path) {
		notes = append(notes, fmt.Sprintf("%s holds secrets and can be read by every user of this machine; take that away (chmod o-r), or set them in the environment", f.file.path))
	}
	notes = append(notes, f.openToAll()...)
	notes = append(notes, f.wideProxies()...)
	if p := f.file.sections.Anonymous; f.AllowAnonymous && p != nil && !f.Dev && (p.Broadcast || slices.Contains(p.Publish, "**")) {
		notes = append(notes, "anonymous: lets everybody who can connect send to all rooms, without a token; name the rooms that are meant")
	}
	if f.Dev && !isLoopback(f.Listen) && slices.ContainsFunc(f.JWTSecret, func(s string) bool { return len(s) < 32 }) {
		notes = append(notes, fmt.Sprintf("--dev accepts a short secret, and --listen %s can be reached from other machines: whoever guesses it can be any user", f.Listen))
	}
	return notes
}

// openToAll says which of the files that the broker keeps are open to others:
// whoever can write to the list of revoked tokens can take some back, and whoever
// can write to the audit log can change the past.
func (f *Flags) openToAll() []string {
	var notes []string
	note := func(flag, path, does, remedy string) {
		notes = append(notes, fmt.Sprintf("%s %s can be %s by every user of this machine; take that away: %s", flag, path, does, remedy))
	}
	if dir := string(f.StateDir); modeOf(dir)&0o002 != 0 {
		note("--state-dir", dir, "written", "chmod o-w")
	}
	if path := string(f.AuditLog); path != "-" {
		switch mode := modeOf(path); {
		case mode&0o002 != 0:
			note("--audit-log", path, "written", "chmod o-rw")
		case mode&0o004 != 0:
			note("--audit-log", path, "read", "chmod o-r")
		}
	}
	return notes
}

// Networks of public addresses with fewer bits than these are no proxies'.
const (
	widestIPv4 = 10
	widestIPv6 = 24
)

// wideProxies says which networks of trusted proxies hold strangers too.
func (f *Flags) wideProxies() []string {
	private := parseNetworks(new(problems), "", List{"loopback", "private"})
	var notes []string
	for _, entry := range f.TrustedProxies {
		network, ok := parseNetwork(entry)
		widest := widestIPv4
		if ok && network.Addr().Is6() {
			widest = widestIPv6
		}
		within := func(p netip.Prefix) bool { return p.Bits() <= network.Bits() && p.Contains(network.Addr()) }
		if !ok || network.Bits() >= widest || slices.ContainsFunc(private, within) {
			continue
		}
		notes = append(notes, fmt.Sprintf("--trusted-proxies %s holds more than your proxies: whoever connects from there can claim to be any client, and has no limits for addresses; name the proxies alone", entry))
	}
	return notes
}

// holdsSecrets reports whether the file does. The hash of a key is none.
func (f *Flags) holdsSecrets() bool {
	for _, name := range []string{"jwt_secret", "cluster_key", "redis_url"} {
		if _, ok := f.file.settings[name]; ok {
			return true
		}
	}
	return slices.ContainsFunc(f.file.settings["api_key"].values, func(raw string) bool { return KeySecret(raw) != "" })
}

func readableByAll(path string) bool { return modeOf(path)&0o004 != 0 }

// modeOf returns what may be done with a file; nothing if there is none.
func modeOf(path string) fs.FileMode {
	if path == "" {
		return 0
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Mode().Perm()
}

func isLoopback(addr string) bool {
	at, err := net.ResolveTCPAddr("tcp", addr)
	return err == nil && at.IP.IsLoopback()
}

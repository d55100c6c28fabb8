package config

import (
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/salabroker/sala/broker"
)

// warnings describes settings that are valid but likely a mistake.
func (f *Flags) warnings() []string {
	var warnings []string
	if !f.Dev {
		warnings = f.shortKeys()
	}
	return slices.Concat(warnings, f.overrideWarnings(), f.clusterWarnings(), f.secretFileWarnings(), f.openFileWarnings(), f.proxyWarnings(), f.accessWarnings(), f.recoveryWarnings(), f.historyWarnings())
}

// secretFileWarnings warns of files with secrets that every user can read.
func (f *Flags) secretFileWarnings() []string {
	var warnings []string
	for _, file := range []struct{ flag, path string }{
		{"--tls-key", string(f.TLSKey)},
		{"--control-tls-key", string(f.ControlTLSKey)},
	} {
		if readableByAll(file.path) {
			warnings = append(warnings, fmt.Sprintf("%s %s can be read by every user of this machine; run chmod o-r on it", file.flag, file.path))
		}
	}
	if f.fileHasSecrets() && readableByAll(f.file.path) {
		warnings = append(warnings, fmt.Sprintf("%s contains secrets and can be read by every user of this machine; run chmod o-r on it, or set the secrets in the environment", f.file.path))
	}
	return warnings
}

// accessWarnings warns of settings that let strangers do more than is likely intended.
func (f *Flags) accessWarnings() []string {
	var warnings []string
	if f.AdminUI && f.TLSCert == "" && !isLoopback(f.Listen) && len(f.TrustedProxies) == 0 && !f.Dev {
		warnings = append(warnings, fmt.Sprintf("--admin-ui lets people send API keys to --listen %s, which has no TLS: set --tls-cert, or --trusted-proxies if a proxy encrypts", f.Listen))
	}
	if p := f.file.sections.Anonymous; f.AllowAnonymous && p != nil && !f.Dev {
		if p.Broadcast || slices.Contains(p.Publish, "**") {
			warnings = append(warnings, "anonymous: lets everybody who can connect send to all rooms without a token; list the rooms that you mean")
		}
		if slices.Contains(p.History, "**") || slices.Contains(p.Presence, "**") {
			warnings = append(warnings, "anonymous: lets everybody who can connect read what all rooms remember, or who is in them, without a token; list the rooms that you mean")
		}
	}
	if f.Dev && !isLoopback(f.Listen) && slices.ContainsFunc(f.JWTSecret, func(s string) bool { return len(s) < 32 }) {
		warnings = append(warnings, fmt.Sprintf("--dev accepts a short secret, and --listen %s can be reached from other machines: whoever guesses the secret can pose as any user", f.Listen))
	}
	return warnings
}

// recoveryWarnings warns of settings for session recovery that have no effect.
func (f *Flags) recoveryWarnings() []string {
	switch {
	case f.RecoveryWindow == 0 && f.Recovery == string(broker.RecoverAlways):
		return []string{"--recovery=always has no effect, because --recovery-window 0 turns recovery off"}
	case f.Recovery == string(broker.RecoverOptional) && len(f.RecoveryNamespaces) > 0:
		return []string{"--recovery-namespaces has no effect with --recovery=optional: in every namespace, the clients that ask get a session"}
	}
	return nil
}

// historyWarnings warns of a bound for histories that are elsewhere.
func (f *Flags) historyWarnings() []string {
	if f.RedisURL == "" || f.HistoryMaxBytes == 0 {
		return nil
	}
	return []string{"--history-max-bytes has no effect with --redis-url: the history of rooms is in Redis, whose maxmemory applies"}
}

// openFileWarnings warns of files of the broker that every user can change or read. Whoever can
// write to the list of revoked tokens can restore tokens, and whoever can write to the audit log
// can change the past.
func (f *Flags) openFileWarnings() []string {
	var warnings []string
	add := func(flag, path, access, remedy string) {
		warnings = append(warnings, fmt.Sprintf("%s %s can be %s by every user of this machine; run %s on it", flag, path, access, remedy))
	}
	if dir := string(f.StateDir); modeOf(dir)&0o002 != 0 {
		add("--state-dir", dir, "written", "chmod o-w")
	}
	path := string(f.AuditLog)
	if path == "-" {
		return warnings
	}
	switch mode := modeOf(path); {
	case mode&0o002 != 0:
		add("--audit-log", path, "written", "chmod o-rw")
	case mode&0o004 != 0:
		add("--audit-log", path, "read", "chmod o-r")
	}
	return warnings
}

// A network of public addresses with fewer bits than these contains more than proxies.
const (
	widestIPv4 = 10
	widestIPv6 = 24
)

// proxyWarnings warns of networks of trusted proxies that contain strangers too.
func (f *Flags) proxyWarnings() []string {
	private := parseNetworks(new(problems), "", List{"loopback", "private"})
	var warnings []string
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
		warnings = append(warnings, fmt.Sprintf("--trusted-proxies %s contains more than your proxies: whoever connects from there can claim any address and has no limits per address; list only the proxies", entry))
	}
	return warnings
}

// fileHasSecrets reports whether the file contains secrets. The hash of an API key isn't one.
func (f *Flags) fileHasSecrets() bool {
	for _, name := range []string{"jwt_secret", "cluster_key", "redis_url"} {
		if _, ok := f.file.settings[name]; ok {
			return true
		}
	}
	return slices.ContainsFunc(f.file.settings["api_key"].values, func(raw string) bool { return KeySecret(raw) != "" })
}

func readableByAll(path string) bool { return modeOf(path)&0o004 != 0 }

// modeOf returns the permissions of a file, 0 if there is none.
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

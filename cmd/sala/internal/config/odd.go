package config

import (
	"fmt"
	"net"
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
	if p := f.file.sections.Anonymous; f.AllowAnonymous && p != nil && !f.Dev && (p.Broadcast || slices.Contains(p.Publish, "**")) {
		notes = append(notes, "anonymous: lets everybody who can connect send to all rooms, without a token; name the rooms that are meant")
	}
	if f.Dev && !isLoopback(f.Listen) && slices.ContainsFunc(f.JWTSecret, func(s string) bool { return len(s) < 32 }) {
		notes = append(notes, fmt.Sprintf("--dev accepts a short secret, and --listen %s can be reached from other machines: whoever guesses it can be any user", f.Listen))
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

func readableByAll(path string) bool {
	if path == "" {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && info.Mode().Perm()&0o004 != 0
}

func isLoopback(addr string) bool {
	at, err := net.ResolveTCPAddr("tcp", addr)
	return err == nil && at.IP.IsLoopback()
}

package broker

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/salabroker/sala/broker/realip"
)

// publicHandler serves Socket.IO below its path, to allowed origins only. Stock
// clients leave out the "/" at the end with addTrailingSlash: false.
func (b *Broker) publicHandler(socketIO http.Handler) http.Handler {
	path, served := b.opts.Path, b.checkOrigin(socketIO)
	mux := http.NewServeMux()
	mux.Handle(path, served)
	if path != "/" {
		mux.Handle(strings.TrimSuffix(path, "/"), served)
		mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, http.StatusNotFound, "this is a Sala broker: connect a Socket.IO client, which asks below "+path)
		})
	}
	return limitBodyTime(realip.Proxies(b.opts.TrustedProxies).Handler(mux), bodyTimeout)
}

// HealthPaths are paths of the public listener that Socket.IO can't have, since
// health checks may be served there.
func HealthPaths() []string { return []string{"/livez", "/readyz"} }

// checkPath returns an error if clients couldn't connect below path, which ends
// with "/".
func checkPath(path string) error {
	switch {
	case !strings.HasPrefix(path, "/"):
		return fmt.Errorf("%q doesn't begin with /; a path looks like /socket.io/", strings.TrimSuffix(path, "/"))
	case len(path) > maxNameBytes:
		return fmt.Errorf("the path has %d bytes; at most %d are allowed", len(path), maxNameBytes)
	case slices.Contains(HealthPaths(), strings.TrimSuffix(path, "/")):
		return fmt.Errorf("%q is a path of health checks; choose another, such as /socket.io/", path)
	case path == "/":
		return nil
	}
	for segment := range strings.SplitSeq(path[1:len(path)-1], "/") {
		if strings.Trim(segment, ".") == "" || strings.ContainsFunc(segment, isOutOfPath) {
			return fmt.Errorf("%q has an empty part, or characters other than letters, digits, '-', '_', '.' and '~'; a path looks like /socket.io/", path)
		}
	}
	return nil
}

func isOutOfPath(r rune) bool {
	letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
	return !letter && !strings.ContainsRune("-_.~", r)
}

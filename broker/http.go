package broker

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/salabroker/sala/broker/cors"
	"github.com/salabroker/sala/broker/grace"
	"github.com/salabroker/sala/broker/nodeproxy"
	"github.com/salabroker/sala/broker/realip"
)

// bodyTimeout is how long a client may take to send the body of a request.
const bodyTimeout = 10 * time.Second

// reasonOriginDenied is how the metrics count pages that may not connect.
const reasonOriginDenied = "ORIGIN_DENIED"

// publicHandler serves Socket.IO below its path, to pages of allowed origins, and
// what other nodes of the cluster pass on.
// Stock clients leave out the "/" at the end with addTrailingSlash: false.
func (b *Broker) publicHandler(socketIO http.Handler) http.Handler {
	policy := cors.New(cors.Options{
		AllowedOrigins: b.opts.AllowedOrigins,
		AllowedHeaders: b.opts.AllowedHeaders,
		Refuse:         b.refuseOrigin,
	})
	path, served := b.opts.Path, policy.Handler(socketIO)
	mux := http.NewServeMux()
	mux.Handle(path, served)
	if b.proxy != nil {
		mux.Handle(nodeproxy.Path, b.proxy.Handler(socketIO))
	}
	if path != "/" {
		mux.Handle(strings.TrimSuffix(path, "/"), served)
		mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
			writeRefusal(w, http.StatusNotFound, "this is a Sala broker: connect a Socket.IO client, which sends its requests below "+path)
		})
	}
	return grace.LimitBodies(realip.Proxies(b.opts.TrustedProxies).Handler(mux), bodyTimeout)
}

// refuseOrigin answers a request that the origin policy doesn't pass on.
func (b *Broker) refuseOrigin(w http.ResponseWriter, r *http.Request, status int, message string) {
	if status == http.StatusForbidden {
		b.metrics.refused(reasonOriginDenied)
		b.noteRefused("", "", r.RemoteAddr, reasonOriginDenied, message)
		b.log.Info("client refused", "reason", reasonOriginDenied, "origin", cors.Loggable(r.Header.Get("Origin")), "address", r.RemoteAddr)
	}
	writeRefusal(w, status, message)
}

// HealthPaths returns the paths of the public listener that Socket.IO can't use
// because health checks may be served there.
func HealthPaths() []string { return []string{"/livez", "/readyz"} }

// checkPath returns an error if clients couldn't connect below path. The path ends
// with "/".
func checkPath(path string) error {
	switch {
	case !strings.HasPrefix(path, "/"):
		return fmt.Errorf("%q doesn't begin with /; a path looks like /socket.io/", strings.TrimSuffix(path, "/"))
	case len(path) > maxNameBytes:
		return fmt.Errorf("the path has %d bytes; at most %d are allowed", len(path), maxNameBytes)
	case slices.Contains(HealthPaths(), strings.TrimSuffix(path, "/")):
		return fmt.Errorf("%q is a path of health checks; choose another, such as /socket.io/", path)
	case strings.HasPrefix(path, nodeproxy.Path):
		return fmt.Errorf("%q is for requests between nodes; choose another, such as /socket.io/", path)
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

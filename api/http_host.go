package api

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/salabroker/sala/api/apierror"
)

// ownHost refuses requests over loopback under a name that isn't this machine's.
// A page can make its own name point at 127.0.0.1 (DNS rebinding) and then reads
// what its visitor's machine serves without a key. Over other interfaces any name
// can be right.
func ownHost(next http.Handler) http.Handler {
	own, _ := os.Hostname() // without it the name doesn't count
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isOverLoopback(r) && !isOwnHost(r.Host, own) {
			writeStatus(w, apierror.WithReason(status.New(codes.PermissionDenied, fmt.Sprintf(
				"%.100q is no name of this machine; ask for 127.0.0.1, localhost or its address", r.Host)), apierror.ReasonHostDenied))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func isOverLoopback(r *http.Request) bool {
	at, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && at.IP.IsLoopback()
}

// isOwnHost reports whether hostport, of a request over loopback, is an address,
// localhost, the machine's name, or one below .internal: nobody can register those,
// and containers call the machine host.docker.internal. HTTP/1.0 needs no Host, and
// no browser speaks it.
func isOwnHost(hostport, own string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	private := strings.HasSuffix(host, ".localhost") || strings.HasSuffix(host, ".internal")
	return host == "" || host == "localhost" || private || host == strings.ToLower(own)
}

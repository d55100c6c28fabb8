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

// ownHost refuses requests over loopback for a host name that isn't this machine's. With DNS
// rebinding, a web page can point its own name at 127.0.0.1 and read what its visitor's
// machine serves without a key. Over other interfaces, any name may be right.
func ownHost(next http.Handler) http.Handler {
	own, _ := os.Hostname() // if it fails, the machine's name isn't accepted
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isOverLoopback(r) && !isOwnHost(r.Host, own) {
			writeStatus(w, apierror.WithReason(status.New(codes.PermissionDenied, fmt.Sprintf(
				"%.100q is not a name of this machine; use 127.0.0.1, localhost or its address", r.Host)), apierror.ReasonHostDenied))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func isOverLoopback(r *http.Request) bool {
	at, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && at.IP.IsLoopback()
}

// isOwnHost reports whether the host of a request over loopback is an address, localhost, the
// machine's name, or a name below .internal, which nobody can register and which containers
// use for the machine (host.docker.internal). HTTP/1.0 needs no Host, but no browser speaks
// it.
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

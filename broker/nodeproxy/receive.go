package nodeproxy

import (
	"bufio"
	"encoding/base64"
	"net"
	"net/http"

	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
)

// Handler serves the requests of other nodes below [Path]. Those that they pass on go to sessions, as
// if the clients had sent them to this node. All others are refused with 403.
func (p *Proxy) Handler(sessions http.Handler) http.Handler {
	self := string(p.opts.Mesh.ID())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(headerNode, self)
		about, from, reason := p.open(r)
		p.opts.Observer.Received(reason)
		if reason != "" {
			p.complain(complaintReceiving, "refused a request that doesn't come from a node of this cluster; if the address is a node's, compare their --cluster-key and clocks",
				"address", r.RemoteAddr, "from", string(from), "reason", string(reason))
			w.Header().Set("Connection", "close")
			http.Error(w, "only nodes of this cluster may send requests here", http.StatusForbidden)
			return
		}
		sid := r.URL.Query().Get("sid")
		switch {
		case r.URL.Path == pathCheck:
			w.WriteHeader(http.StatusNoContent)
		case r.URL.Path == pathRelease:
			p.opts.Release(sid)
			w.WriteHeader(http.StatusNoContent)
		case r.URL.Path == pathForward && cluster.OwnerOf(sid) == p.opts.Mesh.ID():
			if r.Method == http.MethodPost {
				w = postWriter{w}
			}
			sessions.ServeHTTP(w, asClient(r, about))
		default:
			http.NotFound(w, r)
		}
	})
}

// open checks that a request comes from another node, and returns what that says about the client.
func (p *Proxy) open(r *http.Request) (*wire.Forwarded, cluster.NodeID, cluster.LossReason) {
	lines := r.Header.Values(headerProof)
	if len(lines) != 1 {
		return nil, "", cluster.LostMalformed
	}
	proof, err := base64.RawURLEncoding.DecodeString(lines[0])
	if err != nil {
		return nil, "", cluster.LostMalformed
	}
	from, payload, reason := p.opts.Mesh.OpenRequest(proof, subject(r.URL.Path, r))
	if reason != "" {
		return nil, "", reason
	}
	about := &wire.Forwarded{}
	if err := proto.Unmarshal(payload, about); err != nil {
		return nil, from, cluster.LostMalformed
	}
	return about, from, ""
}

// asClient returns r as its client would have sent it to this node.
func asClient(r *http.Request, about *wire.Forwarded) *http.Request {
	direct := r.WithContext(r.Context())
	direct.RemoteAddr = about.GetClient()
	direct.Header = r.Header.Clone()
	direct.Header.Del(headerProof)
	direct.Header.Del("X-Forwarded-Proto")
	if !about.GetDirect() {
		direct.Header.Set("X-Forwarded-For", withoutPort(about.GetClient()))
	}
	direct.TLS = nil
	if about.GetSecure() {
		direct.Header.Set("X-Forwarded-Proto", "https")
	}
	return direct
}

// postWriter answers a POST that another node passes on. Closing the connection would only break the
// other node's, so Hijack has the other node close the client's.
type postWriter struct{ http.ResponseWriter }

// Hijack implements [http.Hijacker].
func (w postWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.Header().Set(headerHangUp, "1")
	return nil, nil, http.ErrNotSupported
}

// Unwrap lets [http.ResponseController] reach the connection's deadlines.
func (w postWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

package engine

import (
	"crypto/tls"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/zishang520/socket.io/v3/pkg/types"
)

// request is what a connection remembers of the HTTP request that opened it: what the layer above reads, and nothing
// that would keep net/http's buffers in memory for as long as the connection lasts.
type request struct {
	// Static.
	path, query   string
	authorization string
	secure        bool

	// built is the form in which the library reads it. It is large, and of use only while a socket is let in.
	built atomic.Pointer[types.HttpContext]
}

func newRequest(r *http.Request) request {
	return request{
		path:          strings.Clone(r.URL.Path),
		query:         strings.Clone(r.URL.RawQuery),
		authorization: strings.Clone(r.Header.Get("Authorization")),
		secure:        r.TLS != nil,
	}
}

// context returns the request in the library's form.
func (q *request) context(remote string) *types.HttpContext {
	if built := q.built.Load(); built != nil {
		return built
	}
	r := &http.Request{
		Method:     http.MethodGet,
		URL:        &url.URL{Path: q.path, RawQuery: q.query},
		Header:     make(http.Header),
		RemoteAddr: remote,
	}
	if q.authorization != "" {
		r.Header.Set("Authorization", q.authorization)
	}
	if q.secure {
		r.TLS = &tls.ConnectionState{}
	}
	built := types.NewHttpContext(noResponse{}, r)
	built.Flush() // ends the goroutine that it has started
	q.built.Store(built)
	return built
}

// ForgetRequest frees the memory of what the library reads about the request. It is built again when it is asked for.
func (c *Conn) ForgetRequest() { c.request.built.Store(nil) }

// noResponse stands for a response that was given in another way.
type noResponse struct{}

func (noResponse) Header() http.Header         { return http.Header{} }
func (noResponse) Write(p []byte) (int, error) { return len(p), nil }
func (noResponse) WriteHeader(int)             {}

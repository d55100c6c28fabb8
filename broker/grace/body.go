package grace

import (
	"net/http"
	"time"
)

// LimitBodies returns a handler that gives the body of each request the time d to
// arrive and passes the request on to next. The deadline also holds for requests
// that are refused unread: net/http reads what a handler has left of a body, and
// would wait for it without limit.
func LimitBodies(next http.Handler, d time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.Body != http.NoBody {
			// It fails only where a ResponseWriter has no deadlines; a server's has.
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(d))
		}
		next.ServeHTTP(w, r)
	})
}

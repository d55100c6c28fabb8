package grace

import (
	"net/http"
	"time"
)

// LimitBodies returns a handler that passes requests on to next and gives the body of each the time
// d to arrive. The deadline also applies if next doesn't read the body: net/http then reads the
// rest itself, and would wait for it without limit.
func LimitBodies(next http.Handler, d time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.Body != http.NoBody {
			// It fails only if the ResponseWriter has no deadlines, which that of a server has.
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(d))
		}
		next.ServeHTTP(w, r)
	})
}

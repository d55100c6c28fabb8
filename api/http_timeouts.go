package api

import (
	"net/http"
	"time"
)

const (
	// writeTimeout is how long a caller may take nothing of an answer over HTTP.
	writeTimeout = 10 * time.Second
	// writePiece is how much of an answer a caller has to take in that time.
	writePiece = 64 << 10
)

// limitWriteTime cuts off callers who don't read their answers, which would
// otherwise be kept for as long as they like.
func limitWriteTime(patience time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		_ = control.SetWriteDeadline(time.Time{}) // that of the request before; a server's connection has deadlines
		next.ServeHTTP(&progressWriter{ResponseWriter: w, control: control, patience: patience}, r)
	})
}

// progressWriter has each piece of an answer be taken in time.
type progressWriter struct {
	http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration
}

// Write implements http.ResponseWriter.
func (w *progressWriter) Write(b []byte) (written int, err error) {
	for first := true; first || len(b) > 0 && err == nil; first = false {
		var n int
		_ = w.control.SetWriteDeadline(time.Now().Add(w.patience)) // as above
		n, err = w.ResponseWriter.Write(b[:min(len(b), writePiece)])
		written += n
		b = b[n:]
	}
	return written, err
}

// Unwrap lets http.ResponseController reach the server's own.
func (w *progressWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// bodyTimeout is how long the body of a request may take to arrive.
const bodyTimeout = 10 * time.Second

// limitBodyTime gives the body of a request, whoever reads it, until bodyTime
// from now to arrive. net/http itself reads what a handler has left, and would
// wait for that without limit.
func limitBodyTime(bodyTime time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hasBody(r) {
			setReadDeadline(w, time.Now().Add(bodyTime))
		}
		next.ServeHTTP(w, r)
	})
}

// setReadDeadline sets when reading the request fails; the zero time is never.
// The only error is that a ResponseWriter has no deadlines; a server's has.
func setReadDeadline(w http.ResponseWriter, t time.Time) {
	_ = http.NewResponseController(w).SetReadDeadline(t)
}

func hasBody(r *http.Request) bool { return r.Body != nil && r.Body != http.NoBody }

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

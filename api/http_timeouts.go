package api

import (
	"net/http"
	"time"
)

const (
	// writeTimeout is how long a client may take to read the next writePiece of an answer.
	writeTimeout = 10 * time.Second
	// writePiece is a number of bytes.
	writePiece = 64 << 10
)

// limitWriteTime closes connections whose client doesn't read its answer.
func limitWriteTime(patience time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		_ = control.SetWriteDeadline(time.Time{}) // clears the deadline of the previous request; a server's connections support deadlines
		next.ServeHTTP(&progressWriter{ResponseWriter: w, control: control, patience: patience}, r)
	})
}

// progressWriter sets a deadline for each piece of an answer.
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

// setReadDeadline sets when reading the request fails; the zero time is never. It ignores the
// only possible error, that the ResponseWriter doesn't support deadlines: a server's does.
func setReadDeadline(w http.ResponseWriter, t time.Time) {
	_ = http.NewResponseController(w).SetReadDeadline(t)
}

func hasBody(r *http.Request) bool { return r.Body != nil && r.Body != http.NoBody }

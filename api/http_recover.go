package api

import (
	"log/slog"
	"net/http"
	"runtime/debug"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/broker/panics"
)

// recoverHTTP lets a panic fail only its own request, with an error answer unless an answer
// has begun. Panics of calls don't get here.
func (s *Server) recoverHTTP(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tracked := &trackedWriter{ResponseWriter: w}
		defer s.answerPanic(tracked, r)
		next.ServeHTTP(tracked, r)
	})
}

// answerPanic is deferred.
func (s *Server) answerPanic(w *trackedWriter, r *http.Request) {
	panicked := recover()
	if panicked == nil {
		return
	}
	if panicked == http.ErrAbortHandler { //nolint:errorlint // net/http compares it like this
		panic(panicked) //nolint:forbidigo // net/http closes the connection
	}
	s.log.ErrorContext(r.Context(), "a request could not be answered",
		slog.String("error", "panic: "+panics.Describe(panicked)), slog.String("stack", string(debug.Stack())))
	if w.wrote {
		panic(http.ErrAbortHandler) //nolint:forbidigo // close the connection rather than end the answer
	}
	refuse(w, apierror.Internal().Status())
}

// trackedWriter records whether an answer has begun.
type trackedWriter struct {
	http.ResponseWriter
	wrote bool
}

// WriteHeader implements http.ResponseWriter.
func (w *trackedWriter) WriteHeader(code int) {
	w.wrote = true
	w.ResponseWriter.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (w *trackedWriter) Write(b []byte) (int, error) {
	w.wrote = true
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the server's own.
func (w *trackedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

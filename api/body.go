package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// bodyTimeout is how long the body of a request may take to arrive.
	bodyTimeout = 10 * time.Second
	// maxBodies bounds how many bodies are held in memory at once.
	maxBodies = 64
)

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

func hasBody(r *http.Request) bool { return r.Body != nil && r.Body != http.NoBody }

// setReadDeadline sets when reading the request fails; the zero time is never.
// The only error is that a ResponseWriter has no deadlines; a server's has.
func setReadDeadline(w http.ResponseWriter, t time.Time) {
	_ = http.NewResponseController(w).SetReadDeadline(t)
}

// bodyLimits bounds the bodies of REST requests. It may be used concurrently.
type bodyLimits struct {
	bytes int64
	time  time.Duration
	slots chan struct{} // one is held for each body in memory
}

func newBodyLimits(maxBytes int64, bodyTime time.Duration) *bodyLimits {
	return &bodyLimits{bytes: maxBytes, time: bodyTime, slots: make(chan struct{}, maxBodies)}
}

// read returns the body, and a function to call when it isn't needed any more;
// or the status to refuse the request with, and then the deadline for reading
// stands.
func (l *bodyLimits) read(w http.ResponseWriter, r *http.Request) (body []byte, release func(), refusal *status.Status) {
	if !hasBody(r) {
		return nil, func() {}, nil
	}
	timer := time.NewTimer(l.time)
	defer timer.Stop()
	select {
	case l.slots <- struct{}{}:
	case <-r.Context().Done():
		return nil, nil, classify(r.Context().Err()).status()
	case <-timer.C:
		return nil, nil, withDetails(status.New(codes.ResourceExhausted,
			fmt.Sprintf("the broker is busy with %d other requests; try again in a moment", maxBodies)), ReasonTooManyRequests, nil)
	}
	release = func() { <-l.slots }
	setReadDeadline(w, time.Now().Add(l.time))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, l.bytes))
	if err != nil {
		release()
		return nil, nil, l.explain(err)
	}
	// Past the body, the server watches the connection for the caller going
	// away, which isn't to end at a deadline. net/http clears it too, but
	// doesn't promise to.
	setReadDeadline(w, time.Time{})
	return body, release, nil
}

func (l *bodyLimits) explain(err error) *status.Status {
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		return classify(requestTooLarge("the body has more than %d bytes", l.bytes)).status()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return withDetails(status.New(codes.DeadlineExceeded,
			fmt.Sprintf("the body did not arrive within %s; send it at once", l.time)), ReasonRequestTimeout, nil)
	default:
		return classify(badRequest("the body broke off before its end")).status()
	}
}

// restBody is a body in memory. The decoder leaves with the request what it
// finds out about it, since the gateway passes on the text of errors alone.
type restBody struct {
	*bytes.Reader
	request *restRequest
}

// Close implements io.Closer.
func (*restBody) Close() error { return nil }

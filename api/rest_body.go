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

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/api/auth"
)

// bodies reads the bodies of REST requests within limits. It may be used concurrently.
type bodies struct {
	most   int64 // bytes of one
	time   time.Duration
	intake *intake
}

// firstBuffer is the initial size of the buffer for a body. It doubles as the body arrives,
// whatever its announced length.
const firstBuffer = 4 << 10

// read reads a body. It takes room of the caller's share only as the body arrives, so that
// slow bodies don't keep others out. taken is how much it took, even with an error.
func (b *bodies) read(w http.ResponseWriter, r *http.Request, by *auth.Caller) (body []byte, taken int64, err error) {
	setReadDeadline(w, time.Now().Add(b.time))
	from := http.MaxBytesReader(w, r.Body, b.most)
	for {
		if len(body) == cap(body) {
			size := max(2*cap(body), firstBuffer)
			if announced := r.ContentLength; announced >= 0 && announced < int64(size) && announced >= int64(len(body)) {
				size = int(announced) + 1 // and the end of the body
			}
			more := int64(size - cap(body))
			if !b.intake.receiving.try(by, more) {
				return nil, taken, tooBusy()
			}
			taken += more
			body = append(make([]byte, 0, size), body...)
		}
		n, err := from.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if errors.Is(err, io.EOF) {
			// After the body, the server watches whether the client goes away, without
			// a deadline. net/http clears it too, but doesn't document that.
			setReadDeadline(w, time.Time{})
			return body, taken, nil
		}
		if err != nil {
			return nil, taken, b.explain(err)
		}
	}
}

func (b *bodies) explain(err error) error {
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		return apierror.TooLarge("the body has more than %d bytes", b.most)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return apierror.WithReason(status.New(codes.DeadlineExceeded,
			fmt.Sprintf("the body did not arrive within %s; send it at once", b.time)), apierror.ReasonRequestTimeout).Err()
	default:
		return apierror.BadRequest("the body broke off before its end")
	}
}

// isEmpty reads a body to its end and reports whether it is only white space.
func isEmpty(w http.ResponseWriter, r *http.Request, most int64) (bool, error) {
	from, buffer := http.MaxBytesReader(w, r.Body, most), make([]byte, firstBuffer)
	for {
		n, err := from.Read(buffer)
		switch {
		case len(bytes.TrimSpace(buffer[:n])) > 0:
			return false, nil
		case errors.Is(err, io.EOF):
			return true, nil
		case err != nil:
			return false, err
		}
	}
}

// restBody is the body of a REST request that the gateway gets. It reads as empty. The
// decoder takes the real body from the request, once the call is known, and leaves errors
// there, since the gateway passes on only their text.
type restBody struct{ request *restRequest }

// Read implements io.Reader.
func (restBody) Read([]byte) (int, error) { return 0, io.EOF }

// Close implements io.Closer.
func (restBody) Close() error { return nil }

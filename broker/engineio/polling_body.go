package engineio

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"time"
)

// readBody reads the body of a POST and keeps as much of it as messageLimits allows. whole says
// that it has kept all.
func (c *Conn) readBody(
	w http.ResponseWriter, r *http.Request, in *intake,
) (body []byte, whole bool, err error) {
	limit, keep := c.messageLimits()
	if r.ContentLength > limit {
		return nil, false, &http.MaxBytesError{Limit: limit}
	}
	control := http.NewResponseController(w)
	deadline := time.Now().Add(c.server.opts.WriteTimeout)
	// Not every ResponseWriter has deadlines. Without them, those of the caller's http.Server
	// count.
	_ = control.SetReadDeadline(deadline)
	in.onEvict = func() { // may be called while the body is read
		c.EndUnfinished()
		_ = control.SetReadDeadline(time.Now())
	}
	scratch := c.server.buffers.get()
	defer c.server.buffers.put(scratch)
	from := http.MaxBytesReader(w, r.Body, limit)
	for arrived := int64(0); ; {
		n, failed := from.Read(scratch[:])
		arrived += int64(n)
		kept := scratch[:min(int64(n), keep-int64(len(body)))]
		if body, err = in.append(body, kept, keep); err != nil {
			return nil, false, err
		}
		switch {
		case errors.Is(failed, io.EOF):
			_ = control.SetReadDeadline(time.Time{})
			if whole = arrived == int64(len(body)); !whole {
				body = trimRune(body)
			}
			return body, whole, nil
		case failed != nil: // the deadline stays, since net/http reads the rest
			return nil, false, failed
		}
		if wait := in.countRead(n); wait > 0 {
			deadline = deadline.Add(wait)
			_ = control.SetReadDeadline(deadline)
			if err := in.pause(wait); err != nil {
				return nil, false, err
			}
		}
	}
}

// append appends a part of a body, and keeps at most keep bytes. A body that fits into a
// read buffer doesn't count as held.
func (in *intake) append(body, p []byte, keep int64) ([]byte, error) {
	have := int64(cap(body))
	switch {
	case len(p) == 0:
		return body, nil
	case body == nil && len(p) < readBufferSize:
		return bytes.Clone(p), nil
	case int64(len(body)+len(p)) > have:
		more := min(max(have, minGrowth), keep-have)
		if err := in.hold(more); err != nil {
			return nil, err
		}
		body = enlarge(body, more)
	}
	return append(body, p...), nil
}

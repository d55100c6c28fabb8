package forward

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

const (
	// maxAnswerBytes bounds the body of an answer.
	maxAnswerBytes = 1 << 20
	// How long to wait before an attempt is repeated: at random, up to a time that doubles.
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
)

// Target is the URL that receives the events. It may be used concurrently.
type Target struct {
	URL     *url.URL
	Source  string  // of the CloudEvents
	Signer  *Signer // nil: requests aren't signed
	Timeout time.Duration
	client  *http.Client
}

// NewTarget returns a target. TLS settings may be nil. It keeps one connection for each of the
// requests that run at the same time.
func NewTarget(at *url.URL, source string, signer *Signer, timeout time.Duration, concurrency int, settings *tls.Config) *Target {
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSClientConfig:     settings,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: concurrency,
		IdleConnTimeout:     time.Minute,
	}
	return &Target{URL: at, Source: source, Signer: signer, Timeout: timeout, client: &http.Client{
		Transport: transport,
		// A redirect would carry events to somewhere that nobody has configured.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close closes the connections.
func (t *Target) Close() { t.client.CloseIdleConnections() }

// attemptError is why an attempt failed.
type attemptError struct {
	err   error
	final bool          // another attempt is pointless
	after time.Duration // what the target asks to wait; 0: it doesn't
}

func (e *attemptError) Error() string { return e.err.Error() }

// deliver sends an event until the target accepts it, and returns the body of the answer. It gives up
// when ctx ends, or after an answer that says that the request is wrong. onRetry learns of each
// attempt that failed and is repeated.
func (t *Target) deliver(ctx context.Context, e *salav1.ClientEvent, onRetry func(error)) ([]byte, error) {
	body, err := encode(e, t.Source)
	if err != nil {
		return nil, fmt.Errorf("can't encode the event: %w", err)
	}
	pause := firstPause
	for {
		answer, failed := t.attempt(ctx, e.GetDeliveryId(), body)
		switch {
		case failed == nil:
			return answer, nil
		case failed.final:
			return nil, failed.err
		}
		if ctx.Err() == nil {
			onRetry(failed.err)
		}
		wait := max(rand.N(pause), min(failed.after, longestPause)) //nolint:gosec // it only spreads attempts
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("gave up: %w", failed.err)
		}
		pause = min(2*pause, longestPause)
	}
}

// attempt sends the event once.
func (t *Target) attempt(ctx context.Context, id string, body []byte) ([]byte, *attemptError) {
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, t.URL.String(), bytes.NewReader(body))
	if err != nil {
		return nil, &attemptError{err: err, final: true}
	}
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("User-Agent", "sala-forward")
	if t.Signer != nil {
		t.Signer.sign(request.Header, id, time.Now(), body)
	}
	response, err := t.client.Do(request)
	if err != nil {
		var wrapped *url.Error // names the URL, which may contain a secret
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return nil, &attemptError{err: err}
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes+1))
	switch {
	case err != nil:
		return nil, &attemptError{err: fmt.Errorf("the answer broke off: %w", err)}
	case response.StatusCode >= 200 && response.StatusCode < 300 && len(answer) > maxAnswerBytes:
		return nil, &attemptError{err: errors.New("the answer is larger than 1 MiB"), final: true}
	case response.StatusCode >= 200 && response.StatusCode < 300:
		return answer, nil
	}
	return nil, &attemptError{
		err:   fmt.Errorf("the target answered %s", response.Status),
		final: !isTemporary(response.StatusCode),
		after: retryAfter(response.Header),
	}
}

// isTemporary reports whether the same request may succeed later.
func isTemporary(code int) bool {
	switch code {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return code >= 500
}

// retryAfter returns the seconds of the header Retry-After, 0 if there are none.
func retryAfter(header http.Header) time.Duration {
	seconds, err := strconv.ParseUint(header.Get("Retry-After"), 10, 16)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

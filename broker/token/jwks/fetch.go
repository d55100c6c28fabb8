package jwks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Limits of a fetch.
const (
	// fetchTimeout bounds the whole fetch.
	fetchTimeout = 5 * time.Second
	// maxDocument bounds the document. Even with certificates it is far smaller.
	maxDocument = 256 << 10
	// maxHeaders bounds the headers.
	maxHeaders = 64 << 10
)

var errRedirect = errors.New("it redirects; give the URL that has the keys")

func newClient(transport http.RoundTripper) *http.Client {
	if transport == nil {
		transport = &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			MaxResponseHeaderBytes: maxHeaders,
			MaxConnsPerHost:        1,
			IdleConnTimeout:        interval / 2,
			ForceAttemptHTTP2:      true,
		}
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return errRedirect },
	}
}

// fetch returns the document at the URL. Errors contain no part of it, and no query.
func (s *Set) fetch(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	if s.agent != "" {
		request.Header.Set("User-Agent", s.agent)
	}
	response, err := s.client.Do(request)
	if err != nil {
		return nil, withoutURL(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers with HTTP %d", response.StatusCode)
	}
	document, err := io.ReadAll(io.LimitReader(response.Body, maxDocument+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the answer is incomplete: %w", err)
	case len(document) > maxDocument:
		return nil, fmt.Errorf("it answers with more than %d bytes", maxDocument)
	}
	return document, nil
}

// withoutURL removes the URL from an error of net/http: its query may be secret, and the log has
// the rest.
func withoutURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

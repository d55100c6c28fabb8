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

// Limits of one fetch.
const (
	// fetchTimeout bounds all of it.
	fetchTimeout = 5 * time.Second
	// maxDocument is far more than a document with certificates takes.
	maxDocument = 256 << 10
	// maxHeaders bounds what comes before it.
	maxHeaders = 64 << 10
)

var errRedirect = errors.New("it redirects elsewhere; give the URL where the keys are")

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

// fetch returns what the URL answers. An error contains nothing of it, and no
// query.
func (s *Set) fetch(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
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
		return nil, fmt.Errorf("the answer broke off: %w", err)
	case len(document) > maxDocument:
		return nil, fmt.Errorf("it answers with more than %d bytes", maxDocument)
	}
	return document, nil
}

// withoutURL drops the URL that net/http puts in front: it stands in the log
// anyway, without what may be secret.
func withoutURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

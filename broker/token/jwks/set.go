package jwks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/token"
)

// Times between fetches.
const (
	// interval is the time between two regular fetches. Issuers publish a key long before they sign
	// with it.
	interval = 5 * time.Minute
	// retry is the time after a first failure. It doubles with each further one, up to interval.
	retry = 15 * time.Second
	// cooldown is the least time between a fetch and an early one.
	cooldown = 10 * time.Second
)

// Options configures a [Set].
type Options struct {
	// URL is where the keys are: https, or http on this machine. Required.
	URL string
	// Issuer is the issuer of the keys: tokens with another "iss" are refused. Empty accepts any.
	Issuer string
	// UserAgent is the requests' User-Agent. By default it is that of net/http.
	UserAgent string
	// Transport sends the requests. By default it is one that uses the proxy of the environment.
	Transport http.RoundTripper
}

// Set is the keys of one issuer at one URL. It implements [token.Source]. Its methods may be called
// concurrently.
type Set struct {
	// Static.
	url    *url.URL
	issuer string
	client *http.Client
	agent  string
	wake   chan struct{} // holds one token if an early fetch is due
	metrics

	// Guarded by mu.
	mu       sync.Mutex
	keys     []*token.PublicKey // replaced, never modified
	loaded   bool
	begun    time.Time     // when the last fetch began
	underway chan struct{} // closed when the fetch that is due or under way ends; nil if there is none
}

// New returns a set without keys, which Run fetches. Its error says what is wrong with the URL.
func New(o Options) (*Set, error) {
	u, err := parseURL(o.URL)
	if err != nil {
		return nil, err
	}
	return &Set{
		url:      u,
		issuer:   o.Issuer,
		client:   newClient(o.Transport),
		agent:    o.UserAgent,
		wake:     make(chan struct{}, 1),
		metrics:  newMetrics(u, o.Issuer),
		underway: make(chan struct{}),
	}, nil
}

// parseURL refuses URLs over which others could replace the keys.
func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return nil, errors.New("it is not a URL; one looks like https://example.com/.well-known/jwks.json")
	case u.User != nil:
		return nil, errors.New("it has a user or password; keys are public and need none")
	case u.Fragment != "":
		return nil, errors.New("it has a fragment (#), which is never sent to a server")
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
		return u, nil
	default:
		return nil, errors.New("it must begin with https://, since whoever can change the keys on the way can forge tokens; http:// is allowed only for this machine")
	}
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// String returns the URL for logs: without its query, which may be secret.
func (s *Set) String() string { return s.url.Scheme + "://" + s.url.Host + s.url.Path }

// Keys implements [token.Source].
func (s *Set) Keys() (keys []*token.PublicKey, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys, s.loaded
}

// Refresh implements [token.Source]. However many tokens name unknown keys, it fetches at most once
// in 10 s.
func (s *Set) Refresh() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.underway == nil {
		if time.Since(s.begun) < cooldown {
			return nil
		}
		s.underway = make(chan struct{})
		s.wake <- struct{}{} // doesn't block: refresh takes the token before it closes underway
	}
	return s.underway
}

// Run fetches the keys now, then every 5 minutes and when [Set.Refresh] asks for it, until ctx
// ends. It logs to log. It must be called once.
func (s *Set) Run(ctx context.Context, log *slog.Logger) {
	defer s.client.CloseIdleConnections()
	log = log.With("url", s.String())
	timer := time.NewTimer(0)
	defer timer.Stop()
	pause := retry
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-timer.C:
		}
		err := s.refresh(ctx, log)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			log.Warn("can't fetch an issuer's keys; the current ones stay in use", "error", err)
			timer.Reset(pause)
			pause = min(2*pause, interval)
		default:
			timer.Reset(interval)
			pause = retry
		}
	}
}

// refresh fetches the keys and closes underway.
func (s *Set) refresh(ctx context.Context, log *slog.Logger) error {
	s.mu.Lock()
	s.begun = time.Now()
	if s.underway == nil {
		s.underway = make(chan struct{})
	}
	s.mu.Unlock()
	document, err := s.fetch(ctx)
	var keys []*token.PublicKey
	var skipped []error
	if err == nil {
		if keys, skipped, err = Parse(document, s.issuer); err != nil {
			err = fmt.Errorf("the URL's answer can't be used: %w", err)
		}
	}
	s.count(err)
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.wake: // this fetch was the early one, too
	default:
	}
	close(s.underway)
	s.underway = nil
	if err != nil {
		return err
	}
	keys, changed := reuse(s.keys, keys)
	if changed || !s.loaded {
		log.Info("fetched an issuer's keys", "keys", ids(keys), "not_usable", len(skipped))
		for _, why := range skipped {
			log.Debug("skipped a key of an issuer", "error", why)
		}
	}
	s.keys, s.loaded = keys, true
	return nil
}

// reuse returns the new keys, with those that were there before replaced by the old objects, and
// whether any key is new or gone.
func reuse(before, now []*token.PublicKey) (keys []*token.PublicKey, changed bool) {
	for i, k := range now {
		if at := slices.IndexFunc(before, k.Equal); at >= 0 {
			now[i] = before[at]
		} else {
			changed = true
		}
	}
	return now, changed || len(now) != len(before)
}

func ids(keys []*token.PublicKey) []string {
	all := make([]string, len(keys))
	for i, k := range keys {
		all[i] = k.ID()
	}
	return all
}

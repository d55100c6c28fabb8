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

// When keys are fetched.
const (
	// interval is between two fetches; issuers publish a key long before they
	// sign with it.
	interval = 5 * time.Minute
	// retry is how soon it is tried again after a failure; then twice that, and so on.
	retry = 15 * time.Second
	// cooldown is at least between a fetch and an early one.
	cooldown = 10 * time.Second
)

// Options configures a [Set].
type Options struct {
	// URL is where the keys are: https, or http on this machine. Required.
	URL string
	// Issuer is whose keys they are: tokens that say another "iss" are refused.
	// Empty means that they are for any.
	Issuer string
	// Transport sends the requests; nil means one of its own, which heeds the
	// environment's proxy.
	Transport http.RoundTripper
}

// Set is the keys of one issuer at one URL. It implements [token.Source] and may
// be used concurrently.
type Set struct {
	// Static.
	url    *url.URL
	issuer string
	client *http.Client
	wake   chan struct{} // holds one if somebody waits for an early fetch
	metrics

	// Guarded by mu.
	mu       sync.Mutex
	keys     []*token.PublicKey // replaced, never changed
	loaded   bool
	begun    time.Time     // of the last fetch
	underway chan struct{} // closed when the fetch has ended that is due or under way; nil if none is
}

// New returns a set without keys, for which Run fetches them. The error says
// what is wrong with the URL.
func New(o Options) (*Set, error) {
	u, err := parseURL(o.URL)
	if err != nil {
		return nil, err
	}
	return &Set{
		url:      u,
		issuer:   o.Issuer,
		client:   newClient(o.Transport),
		wake:     make(chan struct{}, 1),
		metrics:  newMetrics(u, o.Issuer),
		underway: make(chan struct{}),
	}, nil
}

// parseURL refuses what others on the way could change.
func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return nil, errors.New("it is no URL; one looks like https://example.com/.well-known/jwks.json")
	case u.User != nil:
		return nil, errors.New("it holds a user or password; keys are public and need none")
	case u.Fragment != "":
		return nil, errors.New("it holds a fragment (#), which no server gets to see")
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
		return u, nil
	default:
		return nil, errors.New("it must begin with https://, since whoever can change the keys on their way can make tokens; http:// is for this machine alone")
	}
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// String is the URL as it can stand in logs: a query may hold anything.
func (s *Set) String() string { return s.url.Scheme + "://" + s.url.Host + s.url.Path }

// Keys implements [token.Source].
func (s *Set) Keys() (keys []*token.PublicKey, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys, s.loaded
}

// Refresh implements [token.Source]. However many tokens name keys that don't
// exist, the URL is not asked more often than each 10 s.
func (s *Set) Refresh() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.underway == nil {
		if time.Since(s.begun) < cooldown {
			return nil
		}
		s.underway = make(chan struct{})
		s.wake <- struct{}{} // there is room: Run takes it before it ends what is under way
	}
	return s.underway
}

// Run fetches the keys now, and then each 5 minutes or when somebody asks for
// it, until ctx ends. What happens is logged. It is called once.
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
			log.Warn("the keys of an issuer can't be fetched; those that are here go on being used", "error", err)
			timer.Reset(pause)
			pause = min(2*pause, interval)
		default:
			timer.Reset(interval)
			pause = retry
		}
	}
}

// refresh fetches the keys, and lets go who waits for that.
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
			err = fmt.Errorf("what the URL answers can't be used: %w", err)
		}
	}
	s.count(err)
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.wake: // this was it
	default:
	}
	close(s.underway)
	s.underway = nil
	if err != nil {
		return err
	}
	keys, changed := reuse(s.keys, keys)
	if changed || !s.loaded {
		log.Info("the keys of an issuer", "keys", ids(keys), "not_usable", len(skipped))
		for _, why := range skipped {
			log.Debug("a key of an issuer is not used", "error", why)
		}
	}
	s.keys, s.loaded = keys, true
	return nil
}

// reuse returns the new keys, in the place of each that was there before the old
// one, and whether any is new or gone.
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

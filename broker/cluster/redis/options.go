package redis

import (
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// Options configure a [Bus].
type Options struct {
	// URL is the server: redis://user:password@host:port/db, rediss:// for TLS,
	// unix:///path for a socket. A Redis Cluster is recognised; more of its
	// nodes can be given as ?addr=host:port&addr=…. With ?master_set=name the
	// addresses are those of sentinels, which know the server; sentinel_username and
	// sentinel_password are for them.
	URL string
	// InboxBytes bounds what was received and not handled yet; by default 64 MiB.
	InboxBytes int
	// Timeout bounds how long the server may take to connect or to answer before it
	// counts as gone; by default 2 s.
	Timeout time.Duration
	// MinBackoff and MaxBackoff bound the pause before connecting again; by
	// default 50 ms and 2 s.
	MinBackoff, MaxBackoff time.Duration
	// Logger hears of connects and disconnects, and why; may be nil.
	Logger *slog.Logger
}

// client returns what the Redis client needs to know.
func (o *Options) client() (rueidis.ClientOption, error) {
	setDefault(&o.InboxBytes, 64<<20)
	setDefault(&o.Timeout, 2*time.Second)
	setDefault(&o.MinBackoff, 50*time.Millisecond)
	setDefault(&o.MaxBackoff, 2*time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c, err := rueidis.ParseURL(withoutEmptyPath(o.URL))
	if err != nil {
		// The error may repeat the URL, and the URL may have a password.
		return c, fmt.Errorf("redis: the URL isn't one: use redis://user:password@host:port/db (%s)", scheme(o.URL))
	}
	c.ClientName = "sala"
	c.Dialer.Timeout = o.Timeout
	c.Dialer.KeepAlive = o.Timeout / 2 // and a ping as often, where nothing else is said
	c.ConnWriteTimeout = o.Timeout
	c.DisableCache = true
	c.DisableRetry = true
	c.PipelineMultiplex = -1    // one connection, so that what is published stays in order
	c.RingScaleEachConn = 12    // commands that wait for their answers
	c.BlockingPoolCleanup = 0   // connections to hear on end with their session
	c.BlockingPoolSize = 1 << 8 // never fewer than are used
	return c, nil
}

// withoutEmptyPath returns a URL without a path that says nothing, as in
// redis://host/?addr=other.
func withoutEmptyPath(raw string) string {
	if u, err := url.Parse(raw); err == nil && u.Path == "/" {
		u.Path = ""
		return u.String()
	}
	return raw
}

// scheme returns what a URL begins with, which is no secret.
func scheme(raw string) string {
	before, _, found := strings.Cut(raw, "://")
	if !found {
		return "it has no scheme"
	}
	return fmt.Sprintf("its scheme is %q", before)
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

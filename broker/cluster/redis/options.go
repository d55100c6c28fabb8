package redis

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// Options configure a [Bus].
type Options struct {
	// URL is the server: redis://user:password@host:port/db, rediss:// for TLS, unix:///path for a
	// socket. A Redis Cluster is detected; more of its nodes can be given as
	// ?addr=host:port&addr=…. With ?master_set=name the addresses are those of sentinels;
	// sentinel_username and sentinel_password are their credentials.
	URL string
	// InboxBytes bounds the messages that were received but not handled yet; by default 64 MiB.
	InboxBytes int
	// Timeout bounds how long the server may take to connect or to answer; by default 2 s.
	Timeout time.Duration
	// MinBackoff and MaxBackoff bound the pause before connecting again; by default 50 ms and 2 s.
	MinBackoff, MaxBackoff time.Duration
	// Logger gets connects and disconnects with their reasons; may be nil.
	Logger *slog.Logger
}

// client sets defaults and returns the options of the Redis client.
func (o *Options) client() (rueidis.ClientOption, error) {
	o.InboxBytes = cmp.Or(o.InboxBytes, 64<<20)
	o.Timeout = cmp.Or(o.Timeout, 2*time.Second)
	o.MinBackoff = cmp.Or(o.MinBackoff, 50*time.Millisecond)
	o.MaxBackoff = cmp.Or(o.MaxBackoff, 2*time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c, err := rueidis.ParseURL(withoutEmptyPath(o.URL))
	if err != nil {
		// The error may repeat the URL, and the URL may have a password.
		return c, fmt.Errorf("redis: the URL is malformed; it must look like redis://user:password@host:port/db (%s)", scheme(o.URL))
	}
	c.ClientName = "sala"
	c.Dialer.Timeout = o.Timeout
	c.Dialer.KeepAlive = o.Timeout / 2 // also the interval of pings on an idle connection
	c.ConnWriteTimeout = o.Timeout
	c.DisableCache = true
	c.DisableRetry = true
	c.PipelineMultiplex = -1    // one connection, so that publications stay in order
	c.RingScaleEachConn = 12    // 4096 commands may wait for answers
	c.BlockingPoolCleanup = 0   // links close their connections themselves
	c.BlockingPoolSize = 1 << 8 // more than the links need
	return c, nil
}

// withoutEmptyPath removes the path "/" from a URL such as redis://host/?addr=other.
func withoutEmptyPath(raw string) string {
	if u, err := url.Parse(raw); err == nil && u.Path == "/" {
		u.Path = ""
		return u.String()
	}
	return raw
}

// scheme describes the scheme of a URL, the only part that is never secret.
func scheme(raw string) string {
	before, _, found := strings.Cut(raw, "://")
	if !found {
		return "it has no scheme"
	}
	return fmt.Sprintf("its scheme is %q", before)
}

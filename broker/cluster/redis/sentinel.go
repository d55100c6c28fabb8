package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

const (
	// masterEvery is how often sentinels are asked for the master, in addition to what they
	// publish.
	masterEvery = time.Second
	// sentinelPause is the pause before reconnecting to a sentinel.
	sentinelPause = time.Second
)

var errDemoted = errors.New("redis: another server has become the master")

// sentinels know which of several servers is the master. A session belongs to one master. It ends
// when another server becomes the master, so that publishing and receiving move at the same time.
type sentinels struct {
	master    string // its name
	addresses []string
	option    rueidis.ClientOption
	timeout   time.Duration
}

// sentinelsOf returns the sentinels in a URL, or nil if it has none.
func sentinelsOf(rawURL string, c *rueidis.ClientOption, timeout time.Duration) (*sentinels, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("redis: the URL is malformed")
	}
	q := u.Query()
	username, password := q.Get("sentinel_username"), q.Get("sentinel_password")
	switch {
	case !q.Has("master_set") && username == "" && password == "":
		return nil, nil
	case q.Get("master_set") == "":
		return nil, errors.New("redis: with sentinels the URL needs master_set, their name for the master")
	case u.Scheme == "unix":
		return nil, errors.New("redis: master_set needs the address of a sentinel, redis://host:26379/?master_set=name")
	}
	addresses := c.InitAddress
	if u.Port() == "" {
		addresses[0] = net.JoinHostPort(u.Hostname(), "26379")
	}
	o := *c
	o.Username, o.Password, o.SelectDB = username, password, 0
	o.Sentinel, o.ForceSingleClient = rueidis.SentinelOption{}, true
	c.Sentinel, c.ForceSingleClient = rueidis.SentinelOption{}, true
	return &sentinels{master: q.Get("master_set"), addresses: addresses, option: o, timeout: timeout}, nil
}

// at returns options for one address. With TLS, the certificate must be for that host.
func at(o rueidis.ClientOption, address string) rueidis.ClientOption {
	o.InitAddress = []string{address}
	if host, _, err := net.SplitHostPort(address); err == nil && o.TLSConfig != nil {
		o.TLSConfig = o.TLSConfig.Clone()
		o.TLSConfig.ServerName = host
		o.TLSConfig.MinVersion = tls.VersionTLS12
	}
	return o
}

// find asks all sentinels for the master's address, waits for a majority, and returns the answer
// with the latest failover: a sentinel that is cut off from the others may not know about it.
// Requests that aren't answered in time end on their own.
func (s *sentinels) find(ctx context.Context) (address string, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	answers := make(chan masterAnswer, len(s.addresses))
	for _, sentinel := range s.addresses {
		go func() { answers <- s.ask(ctx, sentinel) }()
	}
	var latest masterAnswer
	var errs []error
	for n := range s.addresses {
		a := <-answers
		switch {
		case a.err != nil:
			errs = append(errs, a.err)
		case latest.address == "" || a.epoch > latest.epoch:
			latest = a
		}
		if good := n + 1 - len(errs); 2*good > len(s.addresses) {
			break
		}
	}
	if latest.address == "" {
		return "", fmt.Errorf("redis: no sentinel names the master %q: %w", s.master, errors.Join(errs...))
	}
	return latest.address, nil
}

// masterAnswer is a sentinel's answer.
type masterAnswer struct {
	address string
	epoch   uint64 // the number of failovers
	err     error
}

// ask connects to a sentinel and asks it for the master.
func (s *sentinels) ask(ctx context.Context, sentinel string) masterAnswer {
	client, err := rueidis.NewClient(at(s.option, sentinel))
	if err != nil {
		return masterAnswer{err: err}
	}
	defer client.Close()
	return s.askOver(ctx, client)
}

// askOver asks a sentinel for the master.
func (s *sentinels) askOver(ctx context.Context, client rueidis.Client) masterAnswer {
	about, err := client.Do(ctx, client.B().Arbitrary("SENTINEL", "MASTER").Args(s.master).Build()).AsStrMap()
	if err != nil {
		return masterAnswer{err: err}
	}
	epoch, err := strconv.ParseUint(about["config-epoch"], 10, 64)
	if err != nil || about["ip"] == "" {
		return masterAnswer{err: errors.New("redis: a sentinel's answer is malformed")}
	}
	return masterAnswer{address: net.JoinHostPort(about["ip"], about["port"]), epoch: epoch}
}

// watch calls fail when the server at address is no longer the master, according to the sentinels
// or to the server itself, which client is connected to. It returns when ctx ends.
func (s *sentinels) watch(ctx context.Context, address string, client rueidis.Client, fail func(error)) {
	var watching sync.WaitGroup
	for _, sentinel := range s.addresses {
		watching.Go(func() {
			for ctx.Err() == nil {
				s.watchAt(ctx, sentinel, address, fail)
				wait(ctx, sentinelPause)
			}
		})
	}
	for ctx.Err() == nil {
		wait(ctx, masterEvery)
		if err := checkMaster(ctx, client, s.timeout); err != nil && ctx.Err() == nil {
			fail(err)
		}
	}
	watching.Wait()
}

// watchAt watches one sentinel until its connection or ctx ends.
func (s *sentinels) watchAt(ctx context.Context, sentinel, address string, fail func(error)) {
	client, err := rueidis.NewClient(at(s.option, sentinel))
	if err != nil {
		return // other sentinels may be reachable
	}
	defer client.Close()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	switched := make(chan struct{}, 1)
	var receiving sync.WaitGroup
	receiving.Go(func() {
		defer stop()
		_ = client.Receive(ctx, client.B().Subscribe().Channel("+switch-master").Build(), func(rueidis.PubSubMessage) {
			select {
			case switched <- struct{}{}:
			default:
			}
		})
	})
	tick := time.NewTicker(masterEvery)
	defer tick.Stop()
	for {
		// A sentinel that was cut off from the others may not know about the last failover.
		if a := s.askOver(ctx, client); a.err == nil && a.address != address && s.haveMoved(ctx, address) {
			fail(errDemoted)
		}
		select {
		case <-ctx.Done():
			receiving.Wait()
			return
		case <-tick.C:
		case <-switched:
		}
	}
}

// haveMoved reports whether the sentinels together name another master.
func (s *sentinels) haveMoved(ctx context.Context, address string) bool {
	now, err := s.find(ctx)
	return err == nil && now != address
}

// checkMaster returns an error if the server that client is connected to says that it isn't a
// master.
func checkMaster(ctx context.Context, client rueidis.Client, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	role, err := client.Do(ctx, client.B().Role().Build()).ToArray()
	if err != nil {
		if _, refused := rueidis.IsRedisErr(err); refused {
			return nil // the user isn't allowed to ask; the sentinels still tell
		}
		return err
	}
	if len(role) > 0 {
		if name, err := role[0].ToString(); err == nil && name != "master" {
			return fmt.Errorf("%w; this one is a %s", errDemoted, name)
		}
	}
	return nil
}

package redis

import (
	"context"
	"errors"
	mathrand "math/rand/v2"
	"time"

	"github.com/redis/rueidis"
)

// dialer connects to the server, again and again.
type dialer struct {
	options   Options
	client    rueidis.ClientOption
	sentinels *sentinels // nil without
}

var errNotYet = errors.New("redis: not connected yet")

// newDialer checks the options and fills in their defaults.
func newDialer(o Options) (dialer, error) {
	client, err := o.client()
	if err != nil {
		return dialer{}, err
	}
	sentinels, err := sentinelsOf(o.URL, &client, o.Timeout)
	return dialer{options: o, client: client, sentinels: sentinels}, err
}

// open connects to the server or, with sentinels, to the master. watch calls fail when the server
// is no longer the master; it is nil without sentinels.
func (d *dialer) open(ctx context.Context) (client rueidis.Client, watch func(ctx context.Context, fail func(error)), err error) {
	if d.sentinels == nil {
		client, err = rueidis.NewClient(d.client)
		return client, nil, err
	}
	address, err := d.sentinels.find(ctx)
	if err != nil {
		return nil, nil, err
	}
	client, err = rueidis.NewClient(at(d.client, address))
	if err != nil {
		return nil, nil, err
	}
	if err := checkMaster(ctx, client, d.options.Timeout); err != nil {
		client.Close()
		return nil, nil, err
	}
	return client, func(ctx context.Context, fail func(error)) {
		d.sentinels.watch(ctx, address, client, fail)
	}, nil
}

// repeatEvery is how often the same error is logged.
const repeatEvery = 30 * time.Second

// repeats keeps the log from being filled with one error.
type repeats struct {
	last string
	at   time.Time
}

// isNew records an error that is about to be logged. It reports false if the error was logged
// shortly before.
func (r *repeats) isNew(err error, now time.Time) bool {
	if err.Error() == r.last && now.Sub(r.at) < repeatEvery {
		return false
	}
	r.last, r.at = err.Error(), now
	return true
}

// pause waits before the next attempt: for a random part, at least half, of a time that doubles
// with each attempt. So nodes that lost the same server don't all come back at the same moment.
func (d *dialer) pause(ctx context.Context, attempt int) {
	most := min(d.options.MinBackoff<<min(attempt, 16), d.options.MaxBackoff)
	wait(ctx, most/2+mathrand.N(most/2+1)) //nolint:gosec // needn't be secret
}

// wait waits until d has passed or ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

package idempotency

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// How long things may take.
const (
	// storeTimeout bounds one step in the store.
	storeTimeout = 2 * time.Second
	// sendTimeout bounds the time in which a message is sent.
	sendTimeout = 5 * time.Second
	// waitTimeout bounds how long a repeat waits for the result.
	waitTimeout = 10 * time.Second
	// takeOverAfter is how old a claim is whose message another node has hardly begun to send, if
	// it hasn't said so by then. Too early would do no harm, as each node delivers it once.
	takeOverAfter = 3 * time.Second
	// minPoll and maxPoll bound how often a repeat looks for the result.
	minPoll, maxPoll = 5 * time.Millisecond, 100 * time.Millisecond
)

// claimBytes is about what a claim takes besides its key and result.
const claimBytes = 256

// Why a message isn't sent. The first two say that the key is in use, the others that it couldn't be
// claimed.
var (
	// ErrMismatch means that the key belongs to another message.
	ErrMismatch = errors.New("idempotency: the key was used for another message")
	// ErrInProgress means that the message is being sent, and that the result isn't known yet.
	ErrInProgress = errors.New("idempotency: the message of the key is still being sent")
	// ErrTooMany means that this node has made as many claims as it may, or as the owner may.
	ErrTooMany = errors.New("idempotency: too many keys were used")
	// ErrUnavailable means that the store can't be reached.
	ErrUnavailable = errors.New("idempotency: the key can't be claimed")
)

// Options configure [Keys].
type Options struct {
	// Store keeps the claims. Required.
	Store Store
	// Window is how long the store keeps them. Required.
	Window time.Duration
	// MaxKeys and MaxBytes bound the claims that this node makes within a window; by default,
	// 1,000,000 and 256 MiB. Each owner may make three quarters of them.
	MaxKeys, MaxBytes int64
	// NewID returns an identity for a message. Required.
	NewID func() ID
	// Alive reports whether another node may still be sending. Required.
	Alive func(node string) bool
	// Observe is called with what became of each call; may be nil.
	Observe func(Outcome)
	// Logger may be nil.
	Logger *slog.Logger
}

// Outcome is what became of a call of [Keys.Do].
type Outcome string

// Outcomes.
const (
	// Sent means that the key was new.
	Sent Outcome = "sent"
	// Repeated means that there was a result.
	Repeated Outcome = "repeated"
	// Completed means that there was an incomplete result, and that the message was sent again.
	Completed Outcome = "completed"
	// TakenOver means that another call had failed to send the message or to record the result.
	TakenOver Outcome = "taken_over"
	// Refused means that there was an error.
	Refused Outcome = "refused"
)

// Send sends a message under an identity. It returns the result, and whether every node and every
// room's history that is concerned has the message. ctx bounds how long it waits for that; it sends the
// message also if ctx has ended. It must be safe to repeat with the same identity, also at once and on
// several nodes.
type Send func(ctx context.Context, id ID) (result []byte, complete bool)

// Keys carries out messages once for each key. Its methods may be called concurrently.
type Keys struct {
	// Static.
	opts  Options
	quota *quotas

	// Guarded by mu.
	mu   sync.Mutex
	busy map[Key]chan struct{} // closed when the call of this node that deals with the key ends
}

// NewKeys returns a set of keys that has none yet from this node.
func NewKeys(o Options) *Keys {
	if o.Observe == nil {
		o.Observe = func(Outcome) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Keys{
		opts:  o,
		quota: newQuotas(o.Window, cmp.Or(o.MaxKeys, 1_000_000), cmp.Or(o.MaxBytes, 256<<20)),
		busy:  make(map[Key]chan struct{}),
	}
}

// Do sends the message of an owner's key, unless that has been done, and returns its result. duplicate says that
// another call has produced a result before. If that was incomplete, Do sends the message again and
// returns the new result.
//
// While another call sends the message, Do waits for the result. ctx bounds that, and only that: once
// Do sends, it goes on when the caller has gone. The error is one of those above, and then nothing was
// sent by this call.
func (k *Keys) Do(ctx context.Context, owner string, key Key, f Fingerprint, send Send) (result []byte, duplicate bool, err error) {
	result, outcome, err := k.do(ctx, owner, key, f, send)
	if err != nil {
		outcome = Refused
	}
	k.opts.Observe(outcome)
	return result, outcome == Repeated || outcome == Completed, err
}

func (k *Keys) do(ctx context.Context, owner string, key Key, f Fingerprint, send Send) ([]byte, Outcome, error) {
	waiting, cancel := context.WithTimeout(ctx, waitTimeout)
	defer cancel()
	leave, err := k.enter(waiting, key)
	if err != nil {
		return nil, Refused, err
	}
	defer leave()
	if k.quota.full(owner) {
		return nil, Refused, ErrTooMany
	}
	claim := Claim{Fingerprint: f, ID: k.opts.NewID(), Time: time.Now()}
	for poll := minPoll; ; poll = min(2*poll, maxPoll) {
		there, found, err := k.claim(waiting, key, claim)
		switch {
		case err != nil:
			return nil, Refused, err
		case !found:
			k.quota.count(owner, 1, claimBytes+len(key.Text))
			return k.send(ctx, owner, key, claim, send), Sent, nil
		case there.Fingerprint != f:
			return nil, Refused, ErrMismatch
		case there.State == Complete:
			return there.Result, Repeated, nil
		case there.State == Incomplete:
			return k.send(ctx, owner, key, there, send), Completed, nil
		case !k.underWay(there):
			return k.send(ctx, owner, key, there, send), TakenOver, nil
		}
		select {
		case <-waiting.Done():
			return nil, Refused, ErrInProgress
		case <-time.After(poll):
		}
	}
}

// enter waits until no other call of this node deals with a key. leave lets the next one do so.
func (k *Keys) enter(ctx context.Context, key Key) (leave func(), err error) {
	ended := make(chan struct{})
	for {
		k.mu.Lock()
		other, busy := k.busy[key]
		if !busy {
			k.busy[key] = ended
		}
		k.mu.Unlock()
		if !busy {
			break
		}
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ErrInProgress
		}
	}
	return func() {
		k.mu.Lock()
		delete(k.busy, key)
		k.mu.Unlock()
		close(ended)
	}, nil
}

// claim claims a key in the store.
func (k *Keys) claim(ctx context.Context, key Key, c Claim) (there Claim, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	there, found, err = k.opts.Store.Claim(ctx, key, c)
	if err != nil {
		return there, found, errors.Join(ErrUnavailable, err)
	}
	return there, found, nil
}

// underWay reports whether another node may be sending the message of a claim that has no result. This
// node isn't: its calls deal with a key one after the other.
func (k *Keys) underWay(c Claim) bool {
	return time.Since(c.Time) < takeOverAfter && k.opts.Alive(c.ID.Node)
}

// send sends the message of a claim and records the result. If that fails, a repeat sends the message
// again.
func (k *Keys) send(ctx context.Context, owner string, key Key, c Claim, send Send) []byte {
	until := time.Now().Add(sendTimeout)
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(until) {
		until = deadline
	}
	ctx = context.WithoutCancel(ctx)
	sending, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	var complete bool
	c.Result, complete = send(sending, c.ID)
	c.State = Incomplete
	if complete {
		c.State = Complete
	}
	k.quota.count(owner, 0, len(c.Result))
	recording, stop := context.WithTimeout(ctx, storeTimeout)
	defer stop()
	if err := k.opts.Store.Record(recording, key, c); err != nil {
		k.opts.Logger.Debug("the result of a keyed message can't be recorded; a repeat sends it again to those that lack it", "error", err)
	}
	return c.Result
}

package idempotency

import "context"

// Store keeps the claims on keys, each for a window of time after it was made or became [Complete]. Its
// methods may be called concurrently.
type Store interface {
	// Claim sets the claim on a key, unless there is one, and returns the one that is there and
	// whether there was one. It is one step: of all that call it at once for a key, on all nodes,
	// exactly one finds none. After an error, the claim may be set all the same.
	Claim(ctx context.Context, key Key, c Claim) (there Claim, found bool, err error)
	// Record replaces the claim on a key.
	Record(ctx context.Context, key Key, c Claim) error
}

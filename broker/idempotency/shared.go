package idempotency

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"time"
)

// Values are values that the nodes of a cluster share. A [cluster.Mesh] implements it.
//
// [cluster.Mesh]: https://pkg.go.dev/github.com/salabroker/sala/broker/cluster#Mesh
type Values interface {
	// SetNew sets a value until ttl has passed, unless there is one by that name. It returns the
	// value that was there, and whether there was one.
	SetNew(ctx context.Context, name string, value []byte, ttl time.Duration) (existing []byte, found bool, err error)
	// Set sets a value until ttl has passed.
	Set(ctx context.Context, name string, value []byte, ttl time.Duration) error
}

// Shared is the [Store] of a cluster. Each claim is a value of its own, and so they are spread over the
// servers of a Redis Cluster.
type Shared struct {
	values Values
	window time.Duration
}

// NewShared returns a store that keeps claims for a window.
func NewShared(values Values, window time.Duration) *Shared {
	return &Shared{values: values, window: window}
}

// Claim implements [Store].
func (s *Shared) Claim(ctx context.Context, key Key, c Claim) (Claim, bool, error) {
	raw, found, err := s.values.SetNew(ctx, key.name(), c.encode(), s.window)
	if err != nil || !found {
		return Claim{}, false, err
	}
	there, err := decodeClaim(raw)
	return there, err == nil, err
}

// Record implements [Store].
func (s *Shared) Record(ctx context.Context, key Key, c Claim) error {
	return s.values.Set(ctx, key.name(), c.encode(), c.lifetime(s.window, time.Now()))
}

// name returns the name of the value for a key. Publishers choose keys, so it is a digest: its length
// and characters are always the same, and no tag in a key says on which server it lives.
func (k Key) name() string {
	d := NewDigest()
	d.Text(k.Namespace)
	d.Text(k.Text)
	sum := d.Sum()
	return "claim:" + base64.RawURLEncoding.EncodeToString(sum[:sha256.Size])
}

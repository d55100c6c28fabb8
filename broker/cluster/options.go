package cluster

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// Options configure a [Mesh]. Bus and Handler are required.
type Options struct {
	// Bus carries the messages. The mesh runs it.
	Bus Bus
	// Handler is called with what arrives.
	Handler Handler
	// ID is this node's id; by default a new one.
	ID NodeID
	// Name is the cluster's name, which keeps several on one Redis apart: letters, digits, "-", "_"
	// and "."; by default "sala".
	Name string
	// Keys sign everything that nodes say, see the package's documentation: the first signs, all
	// are accepted. Each has at least [MinKeyBytes], and none may occur twice. Without keys,
	// everyone on the bus is trusted.
	Keys [][]byte
	// Info returns what this node says about itself, by default nothing. It is called for every
	// heartbeat and by [Mesh.Nodes], concurrently, and must not block.
	Info func() Info
	// Observer is told what happens; may be nil.
	Observer Observer
	// Logger gets problems and what to do about them; may be nil.
	Logger *slog.Logger
	// Now returns the time for envelopes; by default [time.Now].
	Now func() time.Time
	// Heartbeat is the time between two heartbeats of a node; by default 1 s.
	Heartbeat time.Duration
	// DeadAfter is how long a node may be silent before it is lost; by default 4 s, at least twice
	// Heartbeat.
	DeadAfter time.Duration
	// MaxEnvelopeBytes bounds an envelope; by default 8 MiB. It must be the same on all nodes.
	MaxEnvelopeBytes int
	// MaxAge is the most that an envelope's time may differ from this node's clock; by default 30
	// s. It applies only with Keys.
	MaxAge time.Duration
}

func (o *Options) setDefaults() error {
	o.Name = cmp.Or(o.Name, "sala")
	o.Heartbeat = cmp.Or(o.Heartbeat, time.Second)
	o.DeadAfter = cmp.Or(o.DeadAfter, 4*time.Second)
	o.MaxEnvelopeBytes = cmp.Or(o.MaxEnvelopeBytes, 8<<20)
	o.MaxAge = cmp.Or(o.MaxAge, 30*time.Second)
	if o.ID == "" {
		o.ID = NewNodeID()
	}
	if o.Observer == nil {
		o.Observer = discardObserver{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Info == nil {
		o.Info = func() Info { return Info{} }
	}
	return o.check()
}

func (o *Options) check() error {
	switch {
	case o.Bus == nil || o.Handler == nil:
		return errors.New("cluster: Bus and Handler are required")
	case len(o.ID) != NodeIDBytes:
		return fmt.Errorf("cluster: the node id %q doesn't have %d bytes", o.ID, NodeIDBytes)
	case !ValidName(o.Name):
		return fmt.Errorf("cluster: the name %q has characters other than letters, digits, '-', '_' and '.'", o.Name)
	case o.DeadAfter < 2*o.Heartbeat:
		return errors.New("cluster: DeadAfter must be at least twice Heartbeat")
	}
	if err := CheckKeys(o.Keys); err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	return nil
}

// MinKeyBytes is the least length of a key.
const MinKeyBytes = 32

// CheckKeys returns what is wrong with the keys of a cluster. Its error contains no part of them.
func CheckKeys(keys [][]byte) error {
	for i, key := range keys {
		if len(key) < MinKeyBytes {
			return fmt.Errorf("key %d has %d bytes, but at least %d are needed, the same on every node; make one with: openssl rand -hex 32", i+1, len(key), MinKeyBytes)
		}
		if slices.ContainsFunc(keys[:i], func(other []byte) bool { return bytes.Equal(key, other) }) {
			return fmt.Errorf("key %d is a duplicate", i+1)
		}
	}
	return nil
}

const nameChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

// ValidName reports whether a cluster can have that name.
func ValidName(name string) bool { return name != "" && strings.Trim(name, nameChars) == "" }

package idempotency

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
)

// Fingerprint is a SHA-256 that tells a message and its target from others.
type Fingerprint [sha256.Size]byte

// Digest computes a [Fingerprint]. Each value is written with its length, so that two series of values
// have the same fingerprint only if they are the same.
type Digest struct{ hash hash.Hash }

// NewDigest returns the digest of nothing.
func NewDigest() Digest { return Digest{sha256.New()} }

// Text adds a text.
func (d Digest) Text(s string) { d.Bytes([]byte(s)) }

// Texts adds a list of texts.
func (d Digest) Texts(list []string) {
	d.length(len(list))
	for _, s := range list {
		d.Text(s)
	}
}

// Bytes adds bytes.
func (d Digest) Bytes(b []byte) {
	d.length(len(b))
	d.hash.Write(b)
}

// Flag adds a yes or no.
func (d Digest) Flag(yes bool) {
	n := 0
	if yes {
		n = 1
	}
	d.length(n)
}

func (d Digest) length(n int) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(n)) //nolint:gosec // a length isn't negative
	d.hash.Write(b[:])
}

// Sum returns the fingerprint of what was added.
func (d Digest) Sum() Fingerprint { return Fingerprint(d.hash.Sum(nil)) }

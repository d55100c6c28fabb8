package cluster

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"slices"
	"sync"
)

// MACBytes is the length of a MAC that a [Signer] makes.
const MACBytes = sha256.Size

// Signer makes and checks the MACs of what nodes send each other or keep in the store that they
// share. Its methods may be called concurrently.
type Signer struct {
	context string
	macs    []*sync.Pool // of hash.Hash, one pool for each key: the first signs, all verify
}

// NewSigner returns a signer with the keys of a cluster. The context separates its MACs from others
// that are made with the same keys. Without keys it signs nothing and must not be asked to.
func NewSigner(context string, keys [][]byte) *Signer {
	s := &Signer{context: context}
	for _, key := range keys {
		s.macs = append(s.macs, &sync.Pool{New: func() any { return hmac.New(sha256.New, key) }})
	}
	return s
}

// Keyed reports whether there is a key. Without one, nothing is authenticated.
func (s *Signer) Keyed() bool { return len(s.macs) > 0 }

// Sign appends to dst the MAC of a body at a place, such as the channel that it is sent on.
func (s *Signer) Sign(dst []byte, place string, body []byte) []byte {
	return s.mac(s.macs[0], dst, place, body)
}

// Verify returns the index of the key that made the MAC of a body at a place, or -1 if none did.
func (s *Signer) Verify(place string, code, body []byte) (key int) {
	return slices.IndexFunc(s.macs, func(macs *sync.Pool) bool {
		var want [MACBytes]byte
		return hmac.Equal(s.mac(macs, want[:0], place, body), code)
	})
}

// mac appends the MAC of a place and body to dst.
func (s *Signer) mac(macs *sync.Pool, dst []byte, place string, body []byte) []byte {
	h := macs.Get().(hash.Hash)
	defer macs.Put(h)
	h.Reset()
	var length [4]byte
	binary.BigEndian.PutUint32(length[:], uint32(len(place))) //nolint:gosec // the name of a place has a few hundred bytes
	h.Write([]byte(s.context))
	h.Write(length[:])
	h.Write([]byte(place))
	h.Write(body)
	return h.Sum(dst)
}

package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"sync"
)

// hs256 verifies signatures with one secret. It may be used concurrently.
//
// The library makes a new HMAC for each signature, which hashes the secret twice and costs more than
// the hash of a token. These are used again.
type hs256 struct {
	id   string // of the secret
	macs sync.Pool
}

// mac is an HMAC and the memory that it needs.
type mac struct {
	hash.Hash
	chunk [256]byte
	sum   [sha256.Size]byte
}

func newHS256(k Key) *hs256 {
	h := &hs256{id: k.ID}
	h.macs.New = func() any { return &mac{Hash: hmac.New(sha256.New, k.Secret)} }
	return h
}

// verify reports whether the secret signed text. It compares in constant time.
func (h *hs256) verify(text string, signature []byte) bool {
	m := h.macs.Get().(*mac)
	defer h.macs.Put(m)
	m.Reset()
	for len(text) > 0 {
		n := copy(m.chunk[:], text)
		m.Write(m.chunk[:n])
		text = text[n:]
	}
	return hmac.Equal(signature, m.Sum(m.sum[:0]))
}

package engineio

import "sync"

// buffers is a pool of read buffers, shared by the connections of a server.
type buffers struct{ pool sync.Pool }

func (b *buffers) get() *[readBufferSize]byte {
	if buf, ok := b.pool.Get().(*[readBufferSize]byte); ok {
		return buf
	}
	return new([readBufferSize]byte)
}

func (b *buffers) put(buf *[readBufferSize]byte) { b.pool.Put(buf) }

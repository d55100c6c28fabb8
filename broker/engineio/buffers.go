package engineio

import "sync"

// readBufferSize is the size of a read buffer. What net/http has read ahead before an upgrade fits into
// one.
const readBufferSize = 4 << 10

// buffers is a pool of read buffers that the connections of a server share.
type buffers struct{ pool sync.Pool }

func (b *buffers) get() *[readBufferSize]byte {
	if buf, ok := b.pool.Get().(*[readBufferSize]byte); ok {
		return buf
	}
	return new([readBufferSize]byte)
}

func (b *buffers) put(buf *[readBufferSize]byte) { b.pool.Put(buf) }

package broker

import "time"

// Waiting returns how many answers of its sockets a node waits for.
func Waiting(b *Broker) int64 { return b.waiting.Used() }

// Asked returns how many sockets, of all nodes, the one question of a node is known
// to be put to; 0 if it isn't one.
func Asked(b *Broker) (n int) {
	b.asks.mu.Lock()
	defer b.asks.mu.Unlock()
	for _, q := range b.asks.ours {
		q.mu.Lock()
		n += q.summary.Expected
		for _, p := range q.parts {
			n += p.summary.Expected
		}
		q.mu.Unlock()
	}
	return n
}

// SetAttachmentTime replaces how long attachments may take. Nobody may be connected.
func (b *Broker) SetAttachmentTime(d time.Duration) { b.attachmentTime = d }

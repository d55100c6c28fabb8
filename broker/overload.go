package broker

import (
	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/memwatch"
)

// fairBacklog is how many bytes may wait for one client, once memory has been
// short for a while, before it counts as slow.
const fairBacklog = 64 << 10

// watchMemory begins to look at the memory of the process, if there is a limit.
//
// While it is short, nothing new is begun: new connections and messages are
// refused, and nobody who is connected is sent away. What waits in queues is
// written meanwhile. Where it isn't, as the client takes a little now and then,
// and memory stays short, that client is what has used it up.
func (b *Broker) watchMemory() {
	if b.opts.MemoryLimit == 0 {
		return
	}
	b.memory = memwatch.Start(memwatch.Options{
		Limit:   b.opts.MemoryLimit,
		Changed: b.memoryChanged,
		Lasting: func() {
			if n := b.engine.CutBacklogs(fairBacklog); n > 0 {
				b.log.Warn("memory is still short: clients were cut that are slow to take their messages", "clients", n)
			}
		},
	})
}

func (b *Broker) memoryChanged(short bool, used int64) {
	if short {
		b.log.Warn("memory is short: new clients and messages are refused", "used", used, "limit", b.opts.MemoryLimit)
	} else {
		b.log.Info("memory is enough again", "used", used, "limit", b.opts.MemoryLimit)
	}
}

// Overloaded reports whether memory is short, so that new clients and messages
// are refused.
func (b *Broker) Overloaded() bool { return b.memory != nil && b.memory.Short() }

// checkLoad returns the error for a message that is refused, and counts it.
func (b *Broker) checkLoad() *Error {
	if !b.Overloaded() {
		return nil
	}
	b.metrics.shed.Inc()
	return &Error{
		Code:    CodeResourceExhausted,
		Reason:  ReasonOverloaded,
		Message: "the broker is short of memory; send it again in a moment, and less at once",
	}
}

// notSent is the report of a message of another node that is not sent,
// since memory is short.
func (b *Broker) notSent(matched int) Report {
	b.metrics.FramesDropped(dropOverloaded, matched)
	return Report{Matched: matched, Dropped: matched}
}

// dropOverloaded is how the metrics call the messages of other nodes that were
// dropped since memory is short.
const dropOverloaded engineio.DropReason = "overloaded"

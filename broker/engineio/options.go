package engineio

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/salabroker/sala/broker/ratelimit"
)

// Policy is what happens to a connection whose queue is full.
type Policy uint8

// The policies there are.
const (
	Disconnect Policy = iota // end the connection, with ReasonSlowConsumer
	Drop                     // drop the new message; the connection goes on
)

// Observer is told what happens, for metrics. Its methods are called from many goroutines, in the middle of sending:
// they must be quick and must not call back into the engine.
type Observer interface {
	// ConnOpened is called once for each connection, before Handler.Open.
	ConnOpened()
	// ConnClosed is called once for each connection, right before its Receiver.Closed.
	ConnClosed(Reason)
	// ReadPaused is called when no more is read from a connection for a while, as it has sent more than ReadRate.
	ReadPaused()
	// FramesDropped is called when n messages were not queued, or were queued and not written.
	FramesDropped(reason DropReason, n int)
}

// Admission says who may open a connection. Its methods may be called concurrently.
type Admission interface {
	// Admit is asked before a connection is opened. One that it doesn't admit it answers itself, and returns false.
	Admit(w http.ResponseWriter, r *http.Request) bool
	// Abandon is called when the connection of a request that was admitted could not be opened: there is no call of
	// Handler.Open then.
	Abandon(r *http.Request)
}

// Options configures a Server. The zero value of a field means its default.
type Options struct {
	PingInterval   time.Duration // between a pong and the next ping; 25s
	PingTimeout    time.Duration // for the pong to arrive; 20s
	UpgradeTimeout time.Duration // for an upgrade to complete; 10s

	// MaxPayload is announced to clients as maxPayload, in bytes, and enforced on every incoming message: 1,000,000.
	MaxPayload int64
	// OversizeHandshake is how many bytes above MaxPayload are still let through, so that the layer above can answer
	// an over-long CONNECT packet with an error of its own. It is not announced.
	OversizeHandshake int64

	// MaxHandshake is how many bytes of a message are kept until Conn.Established is called: what is longer, and not
	// longer than a message may be, reaches the receiver without its end. Zero means all of them.
	MaxHandshake int64
	// ReadRate is how many bytes are read from a connection; by default there is no limit. One that sends more is read
	// no faster, so that it has to wait, and nothing that it sends is lost.
	ReadRate ratelimit.Rate
	// Holds counts the bytes of messages that have arrived in part; by default nobody does. A connection that has to
	// make room for others ends with ReasonUnfinished.
	Holds *ratelimit.Holds

	// MaxQueuedBytes is how much may wait to be written to one connection: encoded bytes and a small fixed cost for
	// each message. 1 MiB.
	MaxQueuedBytes int
	// WriteTimeout is how long a connection may stay unwritable with bytes queued, how long a graceful close may take,
	// and how long a client may take over the body of a POST; 10s.
	WriteTimeout time.Duration
	// Policy is what happens when MaxQueuedBytes would be exceeded.
	Policy Policy

	Admission Admission    // everybody may connect by default
	Logger    *slog.Logger // nothing is logged by default
	Observer  Observer     // nobody is told by default
}

func (o Options) withDefaults() Options {
	setDefault(&o.PingInterval, 25*time.Second)
	setDefault(&o.PingTimeout, 20*time.Second)
	setDefault(&o.UpgradeTimeout, 10*time.Second)
	setDefault(&o.MaxPayload, 1_000_000)
	setDefault(&o.MaxQueuedBytes, 1<<20)
	setDefault(&o.WriteTimeout, 10*time.Second)
	if o.Admission == nil {
		o.Admission = everybody{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Observer == nil {
		o.Observer = noObserver{}
	}
	return o
}

// setDefault replaces what makes no sense as a limit (zero, or negative) by a default.
func setDefault[T ~int | ~int64](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

// receiveLimit is the most bytes that one incoming message, or one POST, may have.
func (o *Options) receiveLimit() int64 { return o.MaxPayload + max(o.OversizeHandshake, 0) }

type everybody struct{}

func (everybody) Admit(http.ResponseWriter, *http.Request) bool { return true }
func (everybody) Abandon(*http.Request)                         {}

type noObserver struct{}

func (noObserver) ConnOpened()                   {}
func (noObserver) ConnClosed(Reason)             {}
func (noObserver) ReadPaused()                   {}
func (noObserver) FramesDropped(DropReason, int) {}

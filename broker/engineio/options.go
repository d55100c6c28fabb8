package engineio

import (
	"cmp"
	"log/slog"
	"net/http"
	"time"

	"github.com/salabroker/sala/broker/ratelimit"
)

// Policy is what happens to a connection when its queue is full.
type Policy uint8

// The policies there are.
const (
	Disconnect Policy = iota // end the connection, with ReasonSlowConsumer
	Drop                     // drop the new message; the connection goes on
)

// Observer counts what happens, for metrics. Many goroutines call its methods, in the middle of
// sending. They must be quick and must not call the server or a connection.
type Observer interface {
	// ConnOpened is called once for each connection, before Handler.Open.
	ConnOpened()
	// ConnClosed is called once for each connection, right before its Receiver.Closed.
	ConnClosed(Reason)
	// FramesDropped is called when n messages were not queued, or were queued and not written.
	FramesDropped(reason DropReason, n int)
	// FramesReplaced is called when n queued messages are not written because later ones with the
	// same [ConflationKey] have replaced them.
	FramesReplaced(n int)
}

// Admission decides who may open a connection. Its methods may be called concurrently.
type Admission interface {
	// Admit is asked before a connection opens. If it returns false, it has answered the request.
	Admit(w http.ResponseWriter, r *http.Request) bool
	// Abandon is called when the connection of an admitted request could not be opened.
	// Handler.Open isn't called then.
	Abandon(r *http.Request)
}

// Options configures a Server. The zero value of a field means its default.
type Options struct {
	PingInterval   time.Duration // from a pong to the next ping; 25 s by default
	PingTimeout    time.Duration // for the pong to arrive; 20 s
	UpgradeTimeout time.Duration // for an upgrade to complete; 10 s

	// MaxPayload is the largest incoming message in bytes. The handshake announces it as
	// maxPayload. 1,000,000 by default.
	MaxPayload int64
	// OversizeHandshake is how many bytes more than MaxPayload are let through, so that the layer
	// above can answer an overlong CONNECT packet with its own error. It isn't announced.
	OversizeHandshake int64

	// MaxHandshake is how many bytes of a message are kept until Conn.Established is called. The
	// receiver gets a longer message without its end. Zero means no limit but that of a message.
	MaxHandshake int64
	// ReadRate is how many bytes are read from a connection; unlimited by default. A connection
	// that sends more is read no faster, so that the client has to wait. Nothing that it sends is
	// lost.
	ReadRate ratelimit.Rate
	// Holds counts the bytes of messages that have arrived in part; nil for no limit. A
	// connection that has to make room for others ends with ReasonUnfinished.
	Holds *ratelimit.Holds

	// MaxQueuedBytes is how much may wait to be written to one connection: encoded bytes, and a
	// small fixed cost for each message. 1 MiB by default.
	MaxQueuedBytes int
	// WriteTimeout is how long a connection may stay unwritable with bytes queued, how long a
	// graceful close may take, and how long a client may take over the body of a POST. 10 s by
	// default.
	WriteTimeout time.Duration
	// Policy is what happens when a message would exceed MaxQueuedBytes.
	Policy Policy

	// SessionPrefix begins the id of each session, so that others know whose session it is.
	SessionPrefix string
	// Elsewhere is offered each request for a session that the server doesn't have, and reports
	// whether it has served the request. If it hasn't, the session is unknown. upgrade says that
	// the request asks to switch to WebSocket. By default, no session is anywhere else.
	Elsewhere func(w http.ResponseWriter, r *http.Request, sid string, upgrade bool) bool

	Admission Admission    // everybody may connect by default
	Logger    *slog.Logger // logs nothing by default
	Observer  Observer     // counts nothing by default
	Traffic   *Traffic     // counts messages while somebody looks; nil for nobody ever
}

func (o Options) withDefaults() Options {
	o.PingInterval = cmp.Or(o.PingInterval, 25*time.Second)
	o.PingTimeout = cmp.Or(o.PingTimeout, 20*time.Second)
	o.UpgradeTimeout = cmp.Or(o.UpgradeTimeout, 10*time.Second)
	o.MaxPayload = cmp.Or(o.MaxPayload, 1_000_000)
	o.MaxQueuedBytes = cmp.Or(o.MaxQueuedBytes, 1<<20)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, 10*time.Second)
	if o.Elsewhere == nil {
		o.Elsewhere = nowhere
	}
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

// receiveLimit is how many bytes one incoming message, or one POST, may have.
func (o *Options) receiveLimit() int64 { return o.MaxPayload + max(o.OversizeHandshake, 0) }

func nowhere(http.ResponseWriter, *http.Request, string, bool) bool { return false }

type everybody struct{}

func (everybody) Admit(http.ResponseWriter, *http.Request) bool { return true }
func (everybody) Abandon(*http.Request)                         {}

type noObserver struct{}

func (noObserver) ConnOpened()                   {}
func (noObserver) ConnClosed(Reason)             {}
func (noObserver) FramesDropped(DropReason, int) {}
func (noObserver) FramesReplaced(int)            {}

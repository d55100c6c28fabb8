package engineio

// Reason says why a connection ended. Where the JavaScript server has a word for it, this is that
// word.
type Reason string

// The reasons there are.
const (
	ReasonTransportClose  Reason = "transport close"      // the client left
	ReasonTransportError  Reason = "transport error"      // the connection failed, or the client broke the protocol
	ReasonPingTimeout     Reason = "ping timeout"         // no pong came in time
	ReasonParseError      Reason = "parse error"          // the client sent something that isn't a packet
	ReasonForcedClose     Reason = "forced close"         // the layer above closed it
	ReasonShutdown        Reason = "server shutting down" // Server.Shutdown
	ReasonSlowConsumer    Reason = "slow consumer"        // the client didn't take its messages in time
	ReasonMessageTooLarge Reason = "message too large"    // the client sent more than MaxPayload
	ReasonUnfinished      Reason = "unfinished messages"  // the bytes of an unfinished message were needed for others
	ReasonMessageTimeout  Reason = "message timeout"      // a message didn't arrive as a whole in time
	ReasonRateLimited     Reason = "rate limited"         // the layer above closed it because the client sent too much
	ReasonInternalError   Reason = "internal error"       // the layer above failed
)

// closeCode is the WebSocket status that tells the peer about r (RFC 6455, 7.4.1).
func (r Reason) closeCode() uint16 {
	switch r {
	case ReasonShutdown:
		return closeGoingAway
	case ReasonTransportError:
		return closeProtocolError
	case ReasonParseError:
		return closeInvalidData
	case ReasonMessageTooLarge:
		return closeTooBig
	case ReasonRateLimited, ReasonUnfinished, ReasonMessageTimeout:
		return closePolicy
	default:
		return closeNormal
	}
}

// DropReason says why a message was not queued, or was queued and not written.
type DropReason string

// The reasons there are.
const (
	Queued          DropReason = ""             // not dropped: it is written, unless the connection fails first
	DropClosed      DropReason = "closed"       // the connection is closed, or closing
	DropNotWritable DropReason = "not writable" // volatile, and the client isn't taking messages right now
	DropQueueFull   DropReason = "queue full"   // it would exceed MaxQueuedBytes
	DropTooLarge    DropReason = "too large"    // it alone exceeds MaxQueuedBytes
	DropUndelivered DropReason = "undelivered"  // it was queued when the connection ended
)

package engine

import (
	libpacket "github.com/zishang520/socket.io/parsers/engine/v3/packet"
	"github.com/zishang520/socket.io/parsers/engine/v3/parser"
	"github.com/zishang520/socket.io/servers/engine/v3/transports"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

var _ transports.Transport = (*transport)(nil)

// transport answers the Socket.IO layer's questions about a Conn's transport: Name, Writable, Protocol, ReadyState and
// Sid. What the library's own server does with its transports has no meaning here and does nothing; its events are
// those of the connection.
type transport Conn

// Name returns "polling" or "websocket".
func (t *transport) Name() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ws == nil {
		return transportPolling
	}
	return transportWebSocket
}

// Writable reports whether the client is taking messages right now; the library drops volatile ones if it isn't.
func (t *transport) Writable() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return (*Conn)(t).writable()
}

// Sid returns the session id.
func (t *transport) Sid() string { return t.id }

// Protocol returns the version of the protocol, which is always 4.
func (t *transport) Protocol() int { return engineVersion }

// ReadyState returns that of the connection.
func (t *transport) ReadyState() string { return (*Conn)(t).ReadyState() }

// SupportsBinary is true; long-polling encodes it as base64.
func (t *transport) SupportsBinary() bool { return true }

// HandlesUpgrades is true of WebSocket, as in the library.
func (t *transport) HandlesUpgrades() bool { return t.Name() == transportWebSocket }

// MaxHttpBufferSize returns MaxPayload.
func (t *transport) MaxHttpBufferSize() int64 { return t.server.opts.MaxPayload }

// Parser returns the library's parser, which this package doesn't use.
func (t *transport) Parser() parser.Parser { return parser.Parserv4() }

// Proto returns the transport itself.
func (t *transport) Proto() transports.Transport { return t }

// Discarded is false: a transport that was given up is never shown.
func (t *transport) Discarded() bool { return false }

// HttpCompression returns nil: it's not supported.
func (t *transport) HttpCompression() *types.HttpCompression { return nil }

// PerMessageDeflate returns nil: it's not supported.
func (t *transport) PerMessageDeflate() *types.PerMessageDeflate { return nil }

// Close closes the connection gracefully. The callbacks are not called; the connection's "close" event tells.
func (t *transport) Close(...types.Callable) { (*Conn)(t).CloseAfterFlush(ReasonForcedClose) }

// The rest does nothing.

// Prototype does nothing.
func (t *transport) Prototype(transports.Transport) {}

// SetSid does nothing.
func (t *transport) SetSid(string) {}

// SetWritable does nothing.
func (t *transport) SetWritable(bool) {}

// SetSupportsBinary does nothing.
func (t *transport) SetSupportsBinary(bool) {}

// SetReadyState does nothing.
func (t *transport) SetReadyState(string) {}

// SetHttpCompression does nothing.
func (t *transport) SetHttpCompression(*types.HttpCompression) {}

// SetPerMessageDeflate does nothing.
func (t *transport) SetPerMessageDeflate(*types.PerMessageDeflate) {}

// SetMaxHttpBufferSize does nothing.
func (t *transport) SetMaxHttpBufferSize(int64) {}

// Construct does nothing.
func (t *transport) Construct(*types.HttpContext) {}

// Discard does nothing.
func (t *transport) Discard() {}

// OnRequest does nothing.
func (t *transport) OnRequest(*types.HttpContext) {}

// OnError does nothing.
func (t *transport) OnError(string, error) {}

// OnPacket does nothing.
func (t *transport) OnPacket(*libpacket.Packet) {}

// OnData does nothing.
func (t *transport) OnData(types.BufferInterface) {}

// OnClose does nothing.
func (t *transport) OnClose() {}

// Send does nothing: messages are written to the connection.
func (t *transport) Send([]*libpacket.Packet) {}

// DoClose does nothing.
func (t *transport) DoClose(types.Callable) {}

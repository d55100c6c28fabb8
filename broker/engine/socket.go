package engine

import (
	"io"
	"strings"

	libpacket "github.com/zishang520/socket.io/parsers/engine/v3/packet"
	libengine "github.com/zishang520/socket.io/servers/engine/v3"
	"github.com/zishang520/socket.io/servers/engine/v3/transports"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// engineVersion is the version of the protocol, which its clients call EIO.
const engineVersion = 4

var _ libengine.Socket = (*socket)(nil)

// socket is a Conn as the Socket.IO layer knows it. It's a type of its own because the library's interface has a Send
// with other arguments.
type socket Conn

// FromSocket returns the connection behind a socket that this package's Server has announced, and false for any other
// socket.
func FromSocket(s libengine.Socket) (*Conn, bool) {
	own, ok := s.(*socket)
	return (*Conn)(own), ok
}

// Id returns the session id. It is a secret between the client and the server.
func (s *socket) Id() string { return s.id }

// Protocol returns the version of the protocol, which is always 4.
func (s *socket) Protocol() int { return engineVersion }

// Request returns what is known about the request that opened the connection: its address, query and Authorization
// header. It can't be answered through.
func (s *socket) Request() *types.HttpContext { return s.request.context(s.remote) }

// RemoteAddress returns the client's address with its port, as net/http saw it.
func (s *socket) RemoteAddress() string { return s.remote }

// ReadyState returns "open", "closing" or "closed".
func (s *socket) ReadyState() string { return (*Conn)(s).ReadyState() }

// Transport returns the transport in use. Of what the library's transports do it can only tell things.
func (s *socket) Transport() transports.Transport { return (*transport)(s) }

// Upgraded reports whether the connection has gone over from long-polling to WebSocket.
func (s *socket) Upgraded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.upgraded
}

// Upgrading reports whether an upgrade is under way.
func (s *socket) Upgrading() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.probing
}

// Write appends one encoded part of a message: a text, or one of the attachments that the text before it announced.
// Nothing is sent before the message is complete. The options change nothing: there is no compression
// to choose, and the callback is not called.
func (s *socket) Write(data io.Reader, _ *libpacket.Options, _ libengine.SendCallback) libengine.Socket {
	c := (*Conn)(s)
	content, text, err := contentOf(data)
	if err != nil {
		c.dropped(DropIncomplete)
		c.server.opts.Logger.Error("engine: reading a message to send", "error", err)
		return s
	}
	c.write(content, text)
	return s
}

// Send is Write.
func (s *socket) Send(data io.Reader, opts *libpacket.Options, done libengine.SendCallback) libengine.Socket {
	return s.Write(data, opts, done)
}

// Close closes the connection: gracefully, as [Conn.CloseAfterFlush] does, or, if discard is set, at once and without
// writing what is queued.
func (s *socket) Close(discard bool) {
	if discard {
		(*Conn)(s).terminate(ReasonForcedClose, nil)
	} else {
		(*Conn)(s).CloseAfterFlush(ReasonForcedClose)
	}
}

// SetReadyState does nothing: the state follows from what happens to the connection.
func (s *socket) SetReadyState(string) {}

// Construct does nothing: a connection is complete when it is announced.
func (s *socket) Construct(string, libengine.BaseServer, transports.Transport, *types.HttpContext, int) {
}

// MaybeUpgrade does nothing: upgrades are the server's business.
func (s *socket) MaybeUpgrade(transports.Transport) {}

// contentOf returns what the library wants to have written, and whether it's text.
func contentOf(data io.Reader) (content []byte, text bool, err error) {
	switch data := data.(type) {
	case *types.StringBuffer:
		return data.Bytes(), true, nil
	case *types.BytesBuffer:
		return data.Bytes(), false, nil
	case *strings.Reader:
		text = true
	}
	content, err = io.ReadAll(data)
	return content, text, err
}

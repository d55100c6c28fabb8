package engine

import (
	"errors"

	libengine "github.com/zishang520/socket.io/servers/engine/v3"
	"github.com/zishang520/socket.io/servers/engine/v3/config"
	"github.com/zishang520/socket.io/servers/engine/v3/transports"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

var _ libengine.BaseServer = (*Server)(nil)

// The methods below are what the library's BaseServer asks for beside events. Its Socket.IO layer calls Close only;
// the others answer truthfully where they can, and otherwise do nothing, as said there.

// Close refuses new handshakes and closes every connection gracefully, without waiting. It doesn't end the server's
// goroutines: Shutdown does.
func (s *Server) Close() libengine.BaseServer {
	s.drain()
	return s
}

// Opts returns the options that the library knows of, as a copy.
func (s *Server) Opts() config.ServerOptionsInterface {
	opts := config.DefaultServerOptions()
	opts.SetPingInterval(s.opts.PingInterval)
	opts.SetPingTimeout(s.opts.PingTimeout)
	opts.SetUpgradeTimeout(s.opts.UpgradeTimeout)
	opts.SetMaxHttpBufferSize(s.opts.MaxPayload)
	opts.SetAllowUpgrades(true)
	opts.SetAllowEIO3(false)
	return opts
}

// Clients returns the connections there are now, by session id, as a copy.
func (s *Server) Clients() *types.Map[string, libengine.Socket] {
	clients := &types.Map[string, libengine.Socket]{}
	for _, c := range s.all() {
		clients.Store(c.id, (*socket)(c))
	}
	return clients
}

// ClientsCount returns the number of connections there are now.
func (s *Server) ClientsCount() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return uint64(len(s.sessions))
}

// Transports returns the names of the supported transports.
func (s *Server) Transports() *types.Set[string] {
	return types.NewSet(transportPolling, transportWebSocket)
}

// Upgrades returns the transports that a connection over the named one may upgrade to.
func (s *Server) Upgrades(name string) []string {
	if name == transportPolling {
		return []string{transportWebSocket}
	}
	return nil
}

// GenerateId returns a new session id.
func (s *Server) GenerateId(*types.HttpContext) string { return newSessionID() }

// Proto returns the server itself.
func (s *Server) Proto() libengine.BaseServer { return s }

// Handshake refuses: handshakes come in through ServeHTTP.
func (s *Server) Handshake(string, *types.HttpContext) (*types.CodeMessage, transports.Transport) {
	_, code, message := badRequest.answer()
	return &types.CodeMessage{Code: code, Message: message}, nil
}

// CreateTransport always fails: there are no separate transports.
func (s *Server) CreateTransport(string, *types.HttpContext) (transports.Transport, error) {
	return nil, errors.ErrUnsupported
}

// TransportsByName returns nil: there are no separate transports.
func (s *Server) TransportsByName() map[string]transports.TransportCtor { return nil }

// Verify accepts everything: ServeHTTP does its own checks.
func (s *Server) Verify(*types.HttpContext, bool) (*types.CodeMessage, map[string]any) {
	return nil, nil
}

// Use ignores its argument, and says so in the log: what is to run before a request is wrapped around ServeHTTP.
func (s *Server) Use(libengine.Middleware) {
	s.opts.Logger.Warn("engine: middleware is ignored; wrap the handler")
}

// Middlewares returns nil.
func (s *Server) Middlewares() []libengine.Middleware { return nil }

// ApplyMiddlewares calls next: there are none.
func (s *Server) ApplyMiddlewares(_ *types.HttpContext, next func(error)) { next(nil) }

// ComputePath returns an empty path: it's the caller's who mounts the server.
func (s *Server) ComputePath(config.AttachOptionsInterface) string { return "" }

// Prototype does nothing.
func (s *Server) Prototype(libengine.BaseServer) {}

// Construct does nothing: New did it.
func (s *Server) Construct(any) {}

// Init does nothing.
func (s *Server) Init() {}

// Cleanup does nothing.
func (s *Server) Cleanup() {}

package broker

import (
	"fmt"

	"github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"

	"github.com/salabroker/sala/broker/fanout"
)

// namespace is one of the namespaces that the broker serves.
type namespace struct {
	name  string
	nsp   socket.Namespace
	index *fanout.Index[*session]
}

// serveNamespace opens the namespace to clients.
func (b *Broker) serveNamespace(ns *namespace) {
	nsp := b.io.Of(ns.name, nil)
	ns.nsp = nsp
	nsp.Use(func(s *socket.Socket, next func(*socket.ExtendedError)) {
		next(b.admit(ns, s))
	})
	_ = nsp.On("connection", func(args ...any) {
		if s, ok := sessionOf(args[0].(*socket.Socket)); ok {
			s.open()
		}
	})
}

// refuseOtherNamespaces counts those who ask for a namespace that isn't served,
// and closes "/", which the library always has, if that is one of them.
func (b *Broker) refuseOtherNamespaces() {
	deny := func(_ string, _ map[string]any, next func(error, bool)) {
		b.metrics.refused(ReasonNamespaceNotFound)
		next(nil, false) // the library answers "Invalid namespace"
	}
	b.io.Of(socket.ParentNspNameMatchFn(&deny), nil)
	if _, ok := b.namespaces["/"]; ok {
		return
	}
	b.io.Use(func(_ *socket.Socket, next func(*socket.ExtendedError)) {
		b.metrics.refused(ReasonNamespaceNotFound)
		next(socket.NewExtendedError("Invalid namespace", nil))
	})
}

// namespace returns the namespace that a request names, "/" if it names none.
func (b *Broker) namespace(name string) (*namespace, error) {
	if name == "" {
		name = "/"
	}
	ns, ok := b.namespaces[name]
	if !ok {
		return nil, &Error{
			Code:    CodeNotFound,
			Reason:  ReasonNamespaceNotFound,
			Message: fmt.Sprintf("there is no namespace %q; this broker serves %v", name, b.namespaceNames),
		}
	}
	return ns, nil
}

// adapters makes the library keep its membership in our index.
type adapters struct{ b *Broker }

// New implements [socket.AdapterConstructor].
func (c adapters) New(nsp socket.Namespace) socket.Adapter {
	ns, ok := c.b.namespaces[nsp.Name()]
	if !ok { // "/" where it isn't served: nobody gets in
		return socket.NewAdapter(nsp)
	}
	a := &adapter{Adapter: socket.MakeAdapter(), b: c.b, ns: ns}
	a.Prototype(a)
	a.Construct(nsp)
	return a
}

// adapter hears from the library when a socket comes and goes. The library's
// own rooms are not used: there a room can be deleted while a socket joins it.
type adapter struct {
	socket.Adapter
	b  *Broker
	ns *namespace
}

// AddAll is called when a socket is let in, right before its CONNECT packet.
func (a *adapter) AddAll(id socket.SocketId, _ *types.Set[socket.Room]) {
	if sock, ok := a.ns.nsp.Sockets().Load(id); ok {
		if s, ok := sessionOf(sock); ok {
			// The client must not have the CONNECT packet before the library
			// is ready for what it sends then: open lets it go.
			s.conn.Cork()
			a.b.enter(s)
		}
	}
}

// Del does nothing: sockets leave rooms through the index.
func (a *adapter) Del(socket.SocketId, socket.Room) {}

// DelAll is called when a socket has gone.
func (a *adapter) DelAll(id socket.SocketId) {
	if s, ok := a.ns.index.Get(string(id)); ok {
		a.b.exit(s)
	}
}

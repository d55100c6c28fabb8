// Package broker is everything realtime: who is connected, who is in which
// room, and how an event gets to whom it is for. It knows nothing of gRPC or
// REST; package api puts its methods on the wire.
//
// # The model
//
// A connection is one client's Engine.IO session, whatever transport carries
// it. Over it the client has a socket (a session here) in each namespace that
// it connects to. A namespace has an index of its members: by id, by user, by
// room. A message selects members through the index and is written to each.
//
//	client ──► engine ──► packet.Parser ──► session.receive ──► join, leave, relay
//	                                                                 │
//	api ──► Broker.Emit ──► Target ──► fanout.Index.Select ──► session.deliver ──► engine ──► client
//
// # Who owns what
//
// The library's Socket.IO server (github.com/zishang520/socket.io) owns the
// protocol's session: which namespaces a connection has joined, acks, the
// order of what a socket sends. The index owns membership. The session owns
// the gate that keeps events behind the CONNECT packet.
//
// # Locks
//
// session.mu comes before those of the connection, which package engine
// orders. connections.mu and the index's lock are held alone, and nothing is
// written and nothing of the library is called under them.
package broker

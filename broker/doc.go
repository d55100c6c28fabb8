// Package broker is everything realtime: who is connected, who is in which
// room, and how an event gets to whom it is for. It knows nothing of gRPC or
// REST; package api puts its methods on the wire.
//
// # The model
//
// A client is one connection, whatever transport carries it. Over it the
// client has a socket in each namespace that it connects to. A namespace has
// an index of its sockets: by id, by user, by room. A message selects sockets
// through the index and is queued to the connection of each.
//
//	client ──► engineio ──► socketio.Decoder ──► client.receive ──► Broker.handle ──► join, leave, relay
//	                                                                                        │
//	api ──► Broker.Emit ──► Target ──► room.Index.Select ──► socket.deliver ──► engineio ──► client
//
// What clients do is published to an events.Hub, to which backends subscribe.
// With other nodes there is a cluster.Mesh: what a call does to the sockets of
// this node (order.go) it has the other nodes do to theirs, and what it
// lists (list.go) it asks the others for (remote.go).
//
// # Who owns what
//
// The engine owns the connection: its transport, its queue, its end. The
// goroutine that reads a connection owns what is half received. The client
// owns which sockets there are, the index owns membership.
//
// # Locks
//
// In this order: client.mu, socket.mu, and then either question.mu or the
// index's and those of the connection, which package engineio orders. That of asks
// is held alone, socket.saying with those of the hub and the connection behind
// it. Nothing waits under any of them.
package broker

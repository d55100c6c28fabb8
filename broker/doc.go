// Package broker is the realtime part of Sala: who is connected, who is in which
// room, and how a message reaches the sockets that it is for. It knows nothing of
// gRPC or REST; package api puts its methods on the wire.
//
// # The model
//
// A client is one connection, whatever its transport. Over it the client has a
// socket in each namespace that it connects to. A namespace has an index of its
// sockets: by id, by user and by room. A message selects sockets in the index and is
// queued to the connection of each.
//
//	client ─► engineio ─► client.receive ─► handleEvent ─► join, leave, relay, backends
//	                                                         │
//	api ─► Broker.Emit ─► namespace.index.Select ─► socket.deliver ─► engineio ─► client
//	                 └──► callOthers ─► (another node) apply ─► Select ─► deliver
//
// # Where to find what
//
// The files form layers. A file may use its own layer and those below; layers_test.go
// holds the line. From the top:
//
//	node      broker.go options.go http.go forwarding.go cluster.go drain.go
//	calls     list.go list_rooms.go list_sockets.go list_nodes.go search.go history.go presence.go tokens.go subscribe.go tail.go explain.go overview.go emitters.go cluster_events.go admin_node.go
//	clients   receive.go admin.go handshake.go recovery.go session_search.go takeover.go handover.go event.go join_history.go users.go relay.go
//	messages  emit.go emit_once.go emit_recorded.go ops.go ack.go ack_cluster.go
//	cluster   cluster_call.go
//	sockets   client.go socket.go session.go session_away.go catchup.go tombstones.go moved.go ack_request.go claims.go expiry.go namespace.go tracking.go publish.go outcomes.go admission.go
//	base      message.go results.go spans.go errors.go auth.go limits.go metrics.go
//
// Everything else is a package below this one, where the compiler holds the line.
//
// # Who owns what
//
// The engine owns the connection: its transport, its queue, its end. The goroutine
// that reads a connection owns what has arrived of a message. The client owns its
// list of sockets, and the index owns membership.
//
// # Locks
//
// In this order: client.mu, session.mu, socket.mu, and then either ackRequest.mu,
// expiries.mu, or the locks of the index and of the connection, which package engineio
// orders.
// ackRequests.mu is held alone. socket.publishing comes after session.mu, and before
// the locks of the hub and of the connection. Nothing waits while it holds one of
// them.
package broker

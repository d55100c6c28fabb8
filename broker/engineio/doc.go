// Package engineio is an Engine.IO v4 server. It carries messages between Socket.IO's packet layer
// and browsers, over WebSocket and HTTP long-polling, and upgrades connections from the latter to
// the former.
//
// # Files, in reading order
//
//   - server.go, options.go: the [Server] and its sessions; http.go, refusal.go: its requests.
//   - handshake.go: how a connection opens. receiver.go: the layer above.
//   - conn.go, reason.go: a connection, and why it ends. deadlines.go, timers.go: its heartbeat.
//   - frame.go, queue.go, batch.go, flusher.go: what the server sends. packet.go: what it receives.
//     descriptor.go: the number of a socket, and who may close it.
//   - websocket_*.go: accepting, reading and framing WebSocket. link.go: its socket. parker.go,
//     poller_linux.go, readpool.go: how a quiet connection costs no goroutine; tls.go: behind TLS.
//   - polling.go: long-polling; polling_get.go, polling_post.go, polling_body.go: its requests;
//     polling_repeat.go: requests that browsers repeat. upgrade.go: from polling to WebSocket.
//   - tunnel.go: the WebSockets of clients whose sessions another server has.
//   - intake.go: the rate at which a client sends, and what has arrived of its next message.
//
// # How data flows
//
// Out: every [Conn] has one queue of [Frame]s, whatever its transport. [Conn.Send] appends to it and
// never waits. Over WebSocket, a connection with something to write goes to one of GOMAXPROCS
// flushers; a message to many connections hands them over in batches ([Batch]). A flusher writes all
// that is queued with one non-blocking write. Only a connection whose peer doesn't read gets a
// goroutine, until the socket is writable again. Over long-polling, the HTTP handler of the pending
// GET takes the queue.
//
// In: a WebSocket connection has a reading goroutine while there is something to read. Then it is
// parked until more arrives. Over long-polling, the HTTP handler of the POST reads. Either calls the
// connection's [Receiver], one message at a time and in order, and never before Handler.Open has
// returned it.
//
// # How a connection ends
//
// Gracefully ([Conn.CloseAfterFlush], [Server.Shutdown]): the server writes what was queued, then
// the WebSocket close frame. It closes the socket once the peer has answered or a short deadline has
// passed. A poll is answered as for an unknown session.
//
// At once (terminate): when a transport fails, a heartbeat is missed or a consumer is slow.
//
// Either way [Receiver.Closed] is the last call. There is exactly one, and it never runs at the same
// time as another call.
//
// # Goroutines
//
// Per server: the flushers, one for all deadlines, one that waits for parked connections to become
// readable, and a few spare readers. Per WebSocket connection: its reader, while there is something
// to read. Behind TLS that isn't from [TLSServer], and where the system has no epoll, the reader
// always stays.
//
// Per tunnel: two, which the [Tunnels] end.
//
// Short-lived, at most one per connection: waiting for a stalled socket, writing to a connection
// that isn't a plain socket (TLS), and calling [Receiver.Closed] for a long-polling connection.
// [Server.Shutdown] ends all of them, except those that a receiver holds up.
//
// # Locks
//
// In this order: Conn.mu, then one of flushQueue.mu and timers.mu. Server.mu and parker.mu are never
// held together with another. No lock is held while a [Receiver] or an [Observer] is called.
package engineio

// Package engineio is an Engine.IO v4 server: it carries messages between Socket.IO's packet layer and browsers,
// over WebSocket and HTTP long-polling, with upgrade from the latter to the former.
//
// # How data flows
//
// Out: every [Conn] has one queue of [Frame]s, whatever its transport. [Conn.Send] appends to it and never waits.
// Over WebSocket a connection that has something to write is handed to one of GOMAXPROCS flushers; a flusher writes
// all that it finds with one non-blocking write. Only a connection whose peer doesn't read gets a goroutine, until
// the socket is writable again. Over long-polling the HTTP handler of the pending GET takes the queue.
//
// In: a WebSocket connection that has sent something has a reading goroutine, which leaves it when there is no more to
// read; then the connection is parked until there is. Long-polling is read by the HTTP handler of the POST. Either
// calls the connection's [Receiver], one message at a time and in order, and never before Handler.Open has returned it.
//
// # How a connection ends
//
// Gracefully ([Conn.CloseAfterFlush], [Server.Shutdown]): what was queued is
// written, then the WebSocket close frame, then the socket is closed once the peer has answered or a short deadline has
// passed; a poll is answered as for an unknown session. At once (terminate): on a transport's failure, a missed
// heartbeat, a slow consumer. Either way [Receiver.Closed] is the last call: there is exactly one, and never while
// another runs.
//
// # Goroutines
//
// Per server: the flushers, one for every deadline of every connection, one that waits for parked connections to become
// readable, and a few readers without work. Per WebSocket connection: its reader, while it has something to read (always,
// behind TLS and where the system has no epoll).
// Short-lived, at most one per connection: waiting for a stalled socket, writing to a connection that isn't a plain
// socket (TLS), and calling [Receiver.Closed] for a long-polling connection. [Server.Shutdown] ends all of them but
// those that a receiver holds up.
//
// # Locks
//
// In this order: Conn.mu, then one of flushQueue.mu, timers.mu. Server.mu and idlers.mu are held alone. No lock is held
// while a [Receiver] or an [Observer] is called.
package engineio

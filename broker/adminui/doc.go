// Package adminui speaks the protocol of the official Socket.IO Admin UI,
// @socket.io/admin-ui, whose page connects to the namespace "/admin" like any client. Its
// 0.5.1 is what the protocol here was read from.
//
// People sign in with an API key, whose scopes say what they see and may do; [Keys] and
// [Account] are what the package needs of the control API for that. [Node] is what it needs of
// the broker.
//
// # How it works
//
// [Server.Connect] signs an admin in (session.go, admin.go). [Server.Receive] reads what the
// page asks for (action.go). Three goroutines of [Server.Run] do the rest, and wait while
// nobody is signed in: one carries out the actions; one asks all nodes every two seconds how
// they are doing and sends the answers (stats.go); and one tells the admins about sockets, rooms
// and events (feed.go). The latter knows the sockets as the admins have seen them (mirror.go):
// events of the hub change that at once, and a list of all sockets every few seconds makes up for
// events that were missed.
//
// # What is bounded
//
// The number of admins and of sessions, and what waits for an admin, as for any client. Above
// [MaxSockets] sockets, admins get totals only. More than maxUpdates updates a second are
// left out: the sockets are sent as a whole a little later, clients' events are counted.
//
// # Locks
//
// Server.mu and mirror.mu are each held with no other lock of the package. Nothing waits while it
// holds one.
package adminui

// Package outcome is a node's record of what became of things: of a client's event, of a
// connect that was refused, of a backend's message, of a limit that was hit. People who ask
// why a message didn't arrive watch it, or ask for it afterwards.
//
//	broker ──► Recorder ──► watchers ──► a stream at this node, or Exchange ──► another node
//	                  └───► Problems, Drops, Emits, Limits: the last few, for later
//
// Read event.go first, then recorder.go, watcher.go, recent.go (what is remembered) and, for
// several nodes, exchange.go. Drops are gathered for a moment (drops.go).
//
// What succeeds costs one atomic load while nobody watches: see [Recorder.Active]. Problems
// and the messages of backends are always recorded, in tables of fixed size. Each user,
// address, room or limit has a few places in them, so that whoever causes many records
// pushes out only their own.
//
// # Locks
//
// Recorder.mu guards the tables and Recorder.registering the list of watchers. Watcher.mu,
// Exchange.mu and gathering.mu are taken alone. Nothing waits while it holds one of them.
package outcome

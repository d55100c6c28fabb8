// Package redishistory is the [history.Engine] of a cluster: it keeps the history of rooms in the
// Redis that the nodes share, on one server, with Sentinel, or on a Redis Cluster.
//
// A room has a stream. The id of an entry there is its position: the epoch is a number, and the offset
// is what Redis counts up. So one plain command, XADD with NOMKSTREAM and the id "EPOCH-*", records an
// entry and returns its position, and does nothing if the stream is gone or has another epoch. Only
// then, or for an entry with an idempotency key, a Lua script does it, which is one atomic step, too,
// and several times as expensive. What most readers want is one plain command as well. All keys of a
// room have the same hash tag.
//
// An entry without a value isn't a message. It marks where an epoch begins, at the offset of the
// message before it.
//
// The stream outlives its entries, because it has the position. Redis drops it in the end. The entries
// that have expired are dropped by the node that has recorded last, or by a reader; if that node is
// gone and nobody reads, they go with the stream.
//
// The engine notices what Redis loses. Without its stream, a room begins a new epoch. A server that has
// started again, or a replica that has become the primary, may lack the last entries of any room. So
// all rooms begin a new epoch then, at most about a second later.
//
// Appends go through lanes, one on a single server and one for each sixteenth of the slots of a
// Redis Cluster. A lane sends what has gathered since its last batch in one pipeline, so appends to
// one room stay in order and those of many callers share round trips. A lane is bounded. When the
// server is too slow for it, appends fail at once.
//
// After an append has failed, it isn't known whether it was carried out. The room is broken until it
// has a new epoch, so that readers learn of the hole. The node's next append or read of the room
// begins one, or else the node does so by itself as soon as Redis can be reached.
//
// With cluster keys, entries are signed. Others who can write to the Redis can't add any then, but
// they can remove some or change their order.
//
//	engine.go    the engine
//	read.go      reads
//	lane.go      appends on their way
//	rooms.go     rooms in which a lane has recorded lately
//	scripts.go   the operations in Redis
//	broken.go    rooms that need a new epoch
//	servers.go   servers that may have lost something
//	key.go       names of keys
//	text.go      what scripts take and answer
//	errors.go    errors
package redishistory

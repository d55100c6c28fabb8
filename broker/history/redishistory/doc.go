// Package redishistory is the [history.Engine] of a cluster: it keeps the history of rooms in the
// Redis that the nodes share, on one server, with Sentinel, or on a Redis Cluster.
//
// A room has a stream with its entries, and a hash with its epoch and the offset of its newest
// entry. An entry's id in the stream is its offset and the time at which it was sent. Each operation
// is one Lua script, and so one atomic step. All keys of a room have the same hash tag.
//
// The engine notices what Redis loses. Without its hash, a room begins a new epoch, and its stream is
// dropped. Without its stream, a room knows by its offset that entries are gone. A server that has
// started again, or a replica that has become the primary, may lack the last entries of any room.
// So all rooms begin a new epoch then, at most about a second later.
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
//	lane.go      appends on their way
//	scripts.go   the operations in Redis
//	broken.go    rooms that need a new epoch
//	servers.go   servers that may have lost something
//	key.go       names of keys
//	text.go      what scripts take and answer
//	errors.go    errors
package redishistory

// Package history is what rooms remember: their last messages, for clients and backends that arrive
// later.
//
// A room has history if a rule matches its name. Each message that is recorded in a room has a
// position there: the epoch of the room's history and an offset, which counts from 1 within the
// epoch. A reader that names its position gets everything after it, or learns that something is
// missing.
//
// An epoch is a text that is never used again. A room gets one when its history begins: with the
// first message, or when somebody reads it before that. It gets another one when continuity is
// lost, because the history was cleared, evicted or lost, or because a message couldn't be
// recorded.
//
// A room keeps at most as many messages as its rule says, each for at most the rule's TTL. Its
// position is kept for an hour longer, so that a reader who returns to a quiet room learns that
// nothing is missing.
//
//	engine.go     the interface of the engines, positions and pages
//	query.go      queries
//	rules.go      which rooms have history
//	entry.go      messages, and how they are encoded
//	memory.go     the engine in memory, for a broker of one node
//	log.go        what the engine in memory keeps of one room
//	once.go       which of its entries had an idempotency key
//	expiry.go     when it drops what has expired
//
// Package redishistory has the engine in Redis, for a cluster. Package historytest has the tests of
// both.
package history

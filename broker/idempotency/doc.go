// Package idempotency carries a message out once for each idempotency key, however often its
// publisher repeats it, at whichever node.
//
// A node that is to send a message with a key claims the key first. The claim is one step in a
// [Store] that all nodes share, so exactly one node wins. It gives the message its identity, and
// then sends it and records the result. A repeat finds the claim, and gets the result or waits for
// it.
//
// A node can fail after any step. Then a repeat sends the message again, under the identity that is
// in the claim. That is safe, because what sending consists of is safe to repeat: the history of a
// room records an identity once, and each node delivers an identity once, which [Deliveries]
// remembers. So it doesn't matter which steps the failed node has come to, nor whether it has failed
// or is only slow. In the same way, a repeat completes a message that not all nodes got.
//
//	keys.go        claiming, sending, repeating
//	claim.go       what is known of a key
//	store.go       where claims are kept
//	memory.go      the store of a single node
//	shared.go      the store of a cluster
//	quota.go       how many claims a node may make
//	digest.go      telling messages apart
//	deliveries.go  what a node has delivered
package idempotency

// Package cluster is how the nodes of one broker talk to each other.
//
// A [Bus] carries bytes: it publishes to channels, delivers what others publish
// to the channels that a node has subscribed, and keeps small tables whose
// entries expire. The package redis below this one has the real one, package clustertest one within a process
// for tests. A bus promises little: at most once, in order per
// channel, nothing while it is disconnected.
//
// A [Mesh] makes a cluster of that. It knows which nodes are there
// ([Mesh.Nodes]), carries what is published on a [Topic] to the nodes that are
// interested in it ([Mesh.Subscribe], [Mesh.Publish]), asks nodes and says who
// did not answer ([Mesh.Call]). It knows nothing of sockets: payloads are the
// caller's own.
//
// # The way of a message
//
// Publish seals the payload into an envelope and appends it to the outbox. One
// goroutine takes all that the outbox holds and hands it to the bus in one
// pipeline, so that an idle node adds one hop and a busy one batches by itself.
// At the other nodes the bus puts it into a bounded inbox, from which one
// goroutine opens the envelopes and calls [Handler.Deliver], one at a time.
//
// # Who has heard it
//
// With a publication whose answers are waited for, the bus says how many
// subscribers got it and which of the nodes are absent. Those are missing by name,
// and as many answers as there are subscribers are waited for; see
// [Mesh.PublishAndWait]. Nodes whose clock keeps them apart are missing as well
// ([Mesh.ClockSkewed]). A node that doesn't hear its own heartbeats is disconnected, whatever its
// bus says ([Mesh.State], [Mesh.Health]).
//
// # Order
//
// What one node publishes arrives in the order of its Publish calls, as long as
// it goes over one channel, or over one Redis that is no Redis Cluster. On a Redis
// Cluster two topics may live on two servers, and then there is no order between
// them.
//
// # Trust
//
// With [Options.Keys] every envelope has a code (HMAC-SHA256) over the channel
// that it was sent to, the sender, the sender's counter, the time and the
// contents. What has no good code is dropped and counted. So whoever can write
// to Redis but doesn't have the key can neither speak as a node, nor change what a
// node said, nor send it to another channel. Nor can it be played again: a node
// accepts each envelope once, and none whose time differs from its own clock
// by more than [Options.MaxAge]. A key is replaced without stopping the cluster:
// every node believes the new one before any signs with it. The one gap is a node that has just started: it
// accepts once what was sent up to MaxAge before, as it can't know whether it
// is a recording. A table's entry is bound to its table and key, not to a time:
// who can write to Redis can put back an older entry of the same key, or remove it.
// All of them can see who talks when, and read payloads: the key signs, it doesn't
// encrypt; TLS to Redis does.
//
// Without a key everyone who can write to Redis is trusted.
package cluster

// Package cluster lets the nodes of one broker talk to each other.
//
// A [Bus] carries bytes. It publishes to channels, delivers what others publish to the channels
// that it has subscribed to, and keeps small tables whose entries expire. Package redis has the bus
// of production, package clustertest one within a process for tests. A bus promises little: it
// delivers at most once, in order per channel, and nothing while it is disconnected.
//
// A [Mesh] makes a cluster of that. It knows which nodes there are ([Mesh.Nodes]), carries what is
// published on a [Topic] to the nodes that have subscribed to it ([Mesh.Subscribe],
// [Mesh.Publish]), and calls nodes, saying which did not answer ([Mesh.Call]). It knows nothing
// about sockets: payloads belong to the caller.
//
//	mesh.go           a node's part in the cluster
//	options.go        options and their defaults
//	handler.go        what a mesh calls
//	node.go           a node and what it says about itself
//	topic.go          topics, and the routes of messages to several
//	subscriptions.go  the topics that this node wants
//	publish.go        publishing, and publishing with answers
//	call.go           calling nodes
//	answer.go         answering the calls of other nodes
//	collect.go        the answers to one call or publication
//	outbox.go         messages waiting for the bus
//	inbox.go          messages waiting for the mesh
//	receive.go        what follows from a message
//	sealer.go         envelopes, signed and verified
//	signer.go         signatures with the cluster's keys
//	replay.go         envelopes that have come before
//	request.go        proof that an HTTP request comes from another node
//	heartbeat.go      saying that this node is there, and noticing which others are
//	members.go        the nodes that are there
//	notices.go        membership changes, on their way to the handler
//	health.go         whether the cluster works for this node
//	clocks.go         nodes whose clocks differ too much
//	table.go          shared tables
//	value.go          shared values
//	channels.go       names of channels, and how they are partitioned
//	bus.go            the bus below
//	observer.go       events for metrics
//
// # The path of a message
//
// Publish seals the payload into an envelope and appends it to the outbox. For each lane of the
// bus, one goroutine hands everything in the outbox to the bus in one pipeline. So an idle node
// adds one hop, and a busy one batches without further effort. At the other nodes the bus puts the
// message into a bounded inbox, from which one goroutine opens envelopes and calls
// [Handler.Deliver], one at a time.
//
// # Knowing who got a message
//
// For a publication whose publisher waits for answers, the bus says how many subscribers got it and
// which nodes are absent. Absent nodes are missing by name. The mesh waits for as many answers as
// there were subscribers; see [Mesh.PublishAndWait]. Nodes whose clocks differ too much are also
// missing ([Mesh.ClockSkewed]). A node that doesn't receive its own heartbeats counts as
// disconnected, whatever its bus says ([Mesh.State], [Mesh.Health]).
//
// # Order
//
// Publications of one node arrive in the order of its Publish calls if they go over one channel, or
// over one Redis that isn't a Redis Cluster. On a Redis Cluster, two topics may live on different
// servers. Then there is no order between them.
//
// # Trust
//
// With [Options.Keys], every envelope carries an HMAC-SHA256 over its channel, sender, sequence
// number, time and content. A node drops and counts envelopes without a valid one. So someone who
// can write to Redis but doesn't have a key can neither forge a message, nor change one, nor send
// it to another channel. Nor can they replay one: a node accepts each envelope once, and none whose
// time differs from its own clock by more than [Options.MaxAge]. Keys can be replaced without
// stopping the cluster: first every node accepts the new key, then nodes begin to sign with it.
//
// The same keys prove that an HTTP request comes from another node ([Mesh.SealRequest]). In a cluster
// without keys, each node makes up a key for that and tells it to the others over the bus: strangers
// who can't read from Redis can't send requests in a node's name.
//
// Two gaps remain. A node that has just started accepts recordings of up to MaxAge once, because it
// can't know them. And an entry of a shared table is bound to its table and key but not to a time:
// someone who can write to Redis can restore an older entry of the same key, or remove it.
//
// Keys sign, they don't encrypt: everyone with access to Redis sees who talks when, and the
// payloads. TLS protects the connections to Redis. Without a key, everyone who can write to Redis
// is trusted.
package cluster

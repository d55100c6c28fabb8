// Package redis is the [cluster.Bus] over Redis 7 or Valkey, on one server, with Sentinel, or on a
// Redis Cluster.
//
// A bus has one connection to publish on, which pipelines what several goroutines publish, and a
// link to receive on for each partition of the channels. On one server there is a single partition,
// with PUBLISH and SUBSCRIBE. On a Redis Cluster there are [cluster.Partitions] with a hash tag
// each and sharded pub/sub (SPUBLISH, SSUBSCRIBE), so that a message goes only to the server that
// its channel lives on.
//
// A link is up once it is subscribed to everything that is wanted and what this node publishes
// comes back over it. On one server, the end of its link ends the session. After a pause with
// exponential backoff and jitter, the bus connects again. So the bus either receives everything and
// can publish, or reports that it is disconnected. On a Redis Cluster, each partition has a link
// that fails and comes back on its own, as its server may.
//
// Last of all, a link subscribes to the channel that identifies the bus. A publisher counts the
// subscribers of these channels in the same pipeline, and so knows which nodes got nothing.
//
// With Sentinel, a session belongs to one master. It ends when the sentinels name another one, or
// when the server says that it is no longer the master. So publishing and receiving move together,
// and no subscription stays on a server that nobody publishes to.
//
//	bus.go            connecting again and again
//	options.go        options
//	dialer.go         connecting, with pauses
//	client.go         connections for other commands, such as the history's
//	session.go        the time between connect and disconnect
//	link.go           the connection that receives
//	subscriptions.go  what is wanted, and what the server knows of it
//	publish.go        publishing, and counting subscribers
//	table.go          tables
//	value.go          values
//	listen.go         receiving by pattern, for emitters
//	partition.go      channels on a Redis Cluster
//	sentinel.go       finding and watching the master
//	errors.go         errors, with what to do about them
package redis

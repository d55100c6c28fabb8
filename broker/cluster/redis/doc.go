// Package redis is the [cluster.Bus] over Redis 7 or Valkey, on one server or
// on a Redis Cluster.
//
// A bus has one connection to publish on, which pipelines what several
// goroutines say, and one to hear on for each partition. On one server there is
// one partition, and PUBLISH and SUBSCRIBE. On a Redis Cluster channels are spread
// over [partitions] hash tags with sharded pub/sub (SPUBLISH, SSUBSCRIBE), so that each
// message is only at the server that its channel lives on.
//
// A line is the connection to hear on, and what it takes to trust it: it is up once
// it has subscribed to all that is wanted and what this node publishes comes back
// on it, and down when that stops. On one server there is one line, and its end is the
// end of the session: after a pause, which doubles up to a limit and has jitter,
// the bus connects anew. So the bus is either connected, and hears everything and may
// speak, or it says that it is not. On a Redis Cluster each partition has a line
// that ends and begins again alone, since its server may fail alone.
//
// Last of all a line subscribes to the channel that the bus is known by. Who publishes
// counts the subscribers of those channels in the same pipeline, and so knows
// which nodes could not hear it.
//
// With sentinels a session is with one master. It ends when sentinels name another
// one, or when the server says that it is none any more: so publishing and hearing
// move together, and a subscription doesn't stay behind on a server that nobody
// publishes to.
package redis

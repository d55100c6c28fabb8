// Package redis is the [cluster.Bus] over Redis 7 or Valkey, on one server or
// on a Redis Cluster.
//
// A bus has one connection to publish on, which pipelines what several
// goroutines say, and one to hear on for each partition. On one server there is
// one partition, and PUBLISH and SUBSCRIBE. On a Redis Cluster channels are spread
// over [partitions] hash tags with sharded pub/sub (SPUBLISH, SSUBSCRIBE), so that each
// message is only at the server that its channel lives on; a partition that
// nobody wants a channel of has no connection.
//
// Everything is one session: when one of the connections to hear on breaks, all
// are closed, and after a pause, which doubles up to a limit and has jitter, the
// bus connects anew and subscribes to all that is wanted. So the bus is either
// connected, and hears everything, or it says that it is not.
//
// With sentinels a session is with one master. It ends when sentinels name another
// one, or when the server says that it is none any more: so publishing and hearing
// move together, and a subscription doesn't stay behind on a server that nobody
// publishes to.
package redis

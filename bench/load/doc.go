// Package load is the client side of a load generator: thousands of clients in one process that
// leaves the processors to the server under test. Benchmarks and fault runs both use it.
//
// A client connects in blocking mode over a bare file descriptor ([Conn], [Protocol], [Connector])
// and is then handed to a [Pool], in which one goroutine reads from all clients with epoll, answers
// pings and counts deliveries. Publishers and clients share a process, so that one clock measures
// the time from publishing to reading.
//
//	conn.go       a connection on a file descriptor; how it is dialled
//	frame.go      WebSocket frames
//	protocol.go   the WebSocket handshake, and what a protocol must do
//	socketio.go   Socket.IO over WebSocket
//	polling.go    Socket.IO over HTTP long-polling, and the upgrade
//	clients.go    clients, their rooms and their tokens
//	connector.go  connects many clients at a time
//	pool.go       reads from many clients
//	payload.go    messages with a number and a time stamp
//	publisher.go  publishes over EmitStream, REST, or the line protocol
//	backend.go    a backend that answers events
//	delivery.go   publishes to rooms at a pace and accounts for what arrives
//	nodes.go      the nodes of a cluster
//	histogram.go  latencies
//	wait.go       sleeping and concurrency
package load

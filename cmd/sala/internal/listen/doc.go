// Package listen binds the ports of a node and protects them.
//
// [Clients] binds the port that Socket.IO clients connect to, [Control] one of the ports of the
// control API. A connection that either accepts has passed these, from the kernel inwards:
//
//	backpressure.go  new clients wait in the kernel while the node is busy
//	limit.go         connections are counted; those over a limit are rejected (rejection.go)
//	keyless.go       on control ports, connections without an API key share a bounded pool
//	strict.go        HTTP/1 requests whose end is ambiguous are refused (scanner.go)
//	http.go          the HTTP server, its time-outs and its shutdown
package listen

// Package api serves the control API: gRPC services over the broker, and the
// same calls over REST.
//
// A call arrives at the gRPC server, either over the network ([Server.Serve])
// or, if it is REST, through the gateway and an in-memory connection, so that
// both pass the same interceptor (rpc.go). It finds the caller's API key
// (auth.go), checks that the key has the method's scope (scopes.go), runs the
// service (token.go, room.go, message.go, ack.go, stream.go, event.go, socket.go, …),
// turns the outcome into a status (errors.go), counts it and logs it.
//
// The services hold no realtime state. They translate between the protos and
// the [Broker], whose errors name fields as the protos do.
//
// [Server.HTTPHandler] is everything on the control HTTP listener: the gateway
// (gateway.go), /openapi.json, /metrics, /livez, /readyz and the console.
package api

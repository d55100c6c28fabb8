// Package api serves the control API: gRPC services over a broker, and the same calls
// over REST.
//
// # Services
//
// Each service of the protos has a file: token.go, room.go, emit.go with emit_stream.go
// and emit_ack.go, socket.go, event.go, cluster.go. A service translates a request into a
// call of the [Broker], and what that returns into a response; convert.go and target.go
// have what several services translate. Services hold no realtime state.
//
// To add a field to a call: add it to the message in proto/sala/v1, run "make generate",
// and translate it in the service's file. REST needs nothing else, since the gateway
// knows the generated messages; a new call needs a path in proto/sala/v1/http.yaml and a
// scope in auth.ScopeOf.
//
// # The way of a call
//
// A call arrives over the network ([Server.Serve]) or, for REST, from the gateway, whose calls
// direct.go hands to the same handlers, so that scopes, limits and metrics are in one place:
//
//   - conn.go and frames.go bound what a connection may send and leave unread.
//   - call.go finds the API key, checks the method's scope (package auth) before anything
//     of the request is read, and counts the call. stream.go does the same for streams.
//   - receive.go reads and decodes the request once there is room for it: intake.go has
//     the limits, budget.go divides memory among keys, cost.go estimates what a request
//     takes. codec.go and salvage.go keep a request that can't be decoded from ending a
//     stream.
//   - The service runs. sendqueue.go bounds the messages that wait to be written.
//   - call.go turns the error into a status (package apierror), counts the call
//     (metrics.go), logs it and hands it to the audit log (audit.go).
//
// # REST and HTTP
//
// http.go lists everything on the HTTP listener ([Server.HTTPHandler]). rest.go checks a
// REST request before it becomes a call; rest_gateway.go, rest_body.go,
// rest_routes.go and rest_errors.go do the translation, and direct.go carries out the call. Package explain says which field
// of a request is wrong and what was probably meant.
package api

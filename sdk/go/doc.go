// Package sala is the client library of the Sala broker for backends.
//
// A [Client] calls a broker over one connection. [Dial] makes it:
//
//	client, err := sala.Dial("127.0.0.1:9090", os.Getenv("SALA_API_KEY"))
//
// # Send events
//
// A [Target] says who gets an event: rooms, users or sockets. It reads as in a Socket.IO server.
//
//	client.To("chat:42").Emit(ctx, "news", item)
//	client.ToUsers("ana").IdempotencyKey("order-1001-paid").Emit(ctx, "order", order)
//	client.Namespace("/chat").Except("muted").Broadcast(ctx, "news", item)
//
// # Receive what clients send
//
// A [Subscriber] receives events of clients over one stream. What a handler returns is the client's
// ack. It needs no port of its own, and subscribes again when the stream breaks.
//
//	events := client.NewSubscriber("chat")
//	events.On("say", func(ctx context.Context, e *sala.Event) (any, error) { … })
//	err := events.Run(ctx)
//
// # Errors and retries
//
// Calls return an [Error] with a gRPC code and a stable reason. A context without a deadline gets one
// of [DefaultTimeout]. Until its deadline, a call that is safe to repeat is repeated when the broker
// can't be reached or one attempt takes 4 s, after a random pause of at most 100 ms, which doubles up
// to 5 s. That includes emits, which get a random idempotency key. Any call is repeated if the broker
// refuses it and says when to try again. The documentation of a call says if it is never repeated.
//
// # Everything else
//
// Package salav1 has the generated stubs with every call and field of the API; [Client.Conn] connects
// them. It can't be linked into one program with the package gen/sala/v1 of the broker's own module:
// both register the same protos.
package sala

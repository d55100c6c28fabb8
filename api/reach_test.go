package api

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/salabroker/sala/api/auth"
	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/room"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// access is one call of one method, and the scopes with which it goes through.
type access struct {
	name   string
	method string
	call   func(context.Context, grpc.ClientConnInterface) error
	scopes []string // of scopesToTry
}

// scopesToTry are the scopes of the keys that each call is tried with.
var scopesToTry = []string{
	"tokens:issue", "tokens:issue:/chat", "tokens:issue:/chat:room-*", "tokens:issue:/ops",
	"rooms:read", "rooms:read:/chat", "rooms:read:/chat:room-*", "rooms:read:/ops",
	"rooms:clear", "rooms:clear:/chat", "rooms:clear:/chat:room-*", "rooms:clear:/ops",
	"messages:read", "messages:read:/chat", "messages:read:/chat:room-*", "messages:read:/ops",
	"messages:write", "messages:write:/chat", "messages:write:/chat:room-*", "messages:write:/ops",
	"presence:read", "presence:read:/chat", "presence:read:/chat:room-*", "presence:read:/ops",
	"emit", "emit:/chat", "emit:/chat:room-*", "emit:/ops", "emit:/",
	"broadcast", "broadcast:/chat", "broadcast:/ops", "broadcast:/",
	"sockets:read", "sockets:read:/chat", "sockets:read:/ops",
	"sockets:write", "sockets:write:/chat", "sockets:write:/ops", "sockets:write:/",
	"events", "events:/chat", "events:/ops",
	"cluster:read", "cluster:write",
}

func emitting(method string, req *salav1.EmitRequest) func(context.Context, grpc.ClientConnInterface) error {
	return func(ctx context.Context, conn grpc.ClientConnInterface) error {
		client := salav1.NewMessageServiceClient(conn)
		switch method {
		case salav1.MessageService_EmitBatch_FullMethodName:
			resp, err := client.EmitBatch(ctx, &salav1.EmitBatchRequest{Emits: []*salav1.EmitRequest{req}})
			return resultError(resp.GetResults(), err)
		case salav1.MessageService_EmitStream_FullMethodName:
			stream, err := client.EmitStream(ctx)
			if err != nil {
				return err
			}
			if err := stream.Send(&salav1.EmitStreamRequest{Emit: req}); err != nil && err != io.EOF {
				return err
			}
			resp, err := stream.Recv()
			_ = stream.CloseSend()
			return resultError([]*salav1.EmitResult{resp.GetResult()}, err)
		case salav1.MessageService_EmitWithAck_FullMethodName:
			stream, err := client.EmitWithAck(ctx, &salav1.EmitWithAckRequest{
				Namespace: req.GetNamespace(), Rooms: req.GetRooms(), Users: req.GetUsers(), Sockets: req.GetSockets(),
				ExceptRooms: req.GetExceptRooms(), ExceptUsers: req.GetExceptUsers(), ExceptSockets: req.GetExceptSockets(), Event: "e",
			})
			if err != nil {
				return err
			}
			_, err = stream.Recv()
			return err
		}
		_, err := client.Emit(ctx, req)
		return err
	}
}

func resultError(results []*salav1.EmitResult, err error) error {
	if err != nil {
		return err
	}
	if failed := results[0].GetError(); failed != nil {
		return status.Error(codes.Code(failed.GetCode()), failed.GetReason()+": "+failed.GetMessage())
	}
	return nil
}

func issuing(req *salav1.IssueTokenRequest) func(context.Context, grpc.ClientConnInterface) error {
	return func(ctx context.Context, conn grpc.ClientConnInterface) error {
		_, err := salav1.NewTokenServiceClient(conn).IssueToken(ctx, req)
		return err
	}
}

func subscribing(namespaces ...string) func(context.Context, grpc.ClientConnInterface) error {
	return func(ctx context.Context, conn grpc.ClientConnInterface) error {
		stream, err := salav1.NewEventServiceClient(conn).Subscribe(ctx)
		if err != nil {
			return err
		}
		start := &salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Start{Start: &salav1.SubscribeStart{Namespaces: namespaces}}}
		if err := stream.Send(start); err != nil && err != io.EOF {
			return err
		}
		_, err = stream.Recv()
		if status.Code(err) == codes.Unavailable && strings.Contains(err.Error(), "no hub here") {
			return nil
		}
		return err
	}
}

func tailing(namespaces ...string) func(context.Context, grpc.ClientConnInterface) error {
	return func(ctx context.Context, conn grpc.ClientConnInterface) error {
		stream, err := salav1.NewObserveServiceClient(conn).Tail(ctx, &salav1.TailRequest{Namespaces: namespaces})
		if err != nil {
			return err
		}
		_, err = stream.Recv()
		if status.Code(err) == codes.Unavailable && strings.Contains(err.Error(), "no hub here") {
			return nil
		}
		return err
	}
}

// accesses names for every method what it may be asked, and who may ask it.
func accesses() []access {
	var (
		chat   = &salav1.Selector{Namespace: "/chat", Rooms: []string{"room-1"}}
		list   []access
		add    = func(a access) { list = append(list, a) }
		tokens = salav1.TokenService_IssueToken_FullMethodName
	)
	for _, method := range []string{
		salav1.MessageService_Emit_FullMethodName, salav1.MessageService_EmitBatch_FullMethodName,
		salav1.MessageService_EmitStream_FullMethodName, salav1.MessageService_EmitWithAck_FullMethodName,
	} {
		for _, tt := range []struct {
			name   string
			req    *salav1.EmitRequest
			scopes []string
		}{
			{"room within", &salav1.EmitRequest{Namespace: "/chat", Rooms: []string{"room-1"}}, []string{"emit", "emit:/chat", "emit:/chat:room-*"}},
			{"room without", &salav1.EmitRequest{Namespace: "/chat", Rooms: []string{"secret"}}, []string{"emit", "emit:/chat"}},
			{"one of each", &salav1.EmitRequest{Namespace: "/chat", Rooms: []string{"room-1", "secret"}}, []string{"emit", "emit:/chat"}},
			{"room of /", &salav1.EmitRequest{Rooms: []string{"room-1"}}, []string{"emit", "emit:/"}},
			{"user", &salav1.EmitRequest{Namespace: "/chat", Users: []string{"ana"}}, []string{"emit", "emit:/chat"}},
			{"user beside a room", &salav1.EmitRequest{Namespace: "/chat", Rooms: []string{"room-1"}, Users: []string{"ana"}}, []string{"emit", "emit:/chat"}},
			{"socket", &salav1.EmitRequest{Namespace: "/chat", Sockets: []string{"s"}}, []string{"emit", "emit:/chat"}},
			{"socket beside a room", &salav1.EmitRequest{Namespace: "/chat", Rooms: []string{"room-1"}, Sockets: []string{"s"}}, []string{"emit", "emit:/chat"}},
			{"less a room within", &salav1.EmitRequest{Namespace: "/chat", Rooms: []string{"room-1"}, ExceptRooms: []string{"room-2"}}, []string{"emit", "emit:/chat", "emit:/chat:room-*"}},
			{"less a room without", &salav1.EmitRequest{Namespace: "/chat", Rooms: []string{"room-1"}, ExceptRooms: []string{"secret"}}, []string{"emit", "emit:/chat"}},
			{"less a user", &salav1.EmitRequest{Namespace: "/chat", Rooms: []string{"room-1"}, ExceptUsers: []string{"u"}}, []string{"emit", "emit:/chat"}},
			{"less a socket", &salav1.EmitRequest{Namespace: "/chat", Rooms: []string{"room-1"}, ExceptSockets: []string{"s"}}, []string{"emit", "emit:/chat", "emit:/chat:room-*"}},
		} {
			add(access{tt.name, method, emitting(method, tt.req), tt.scopes})
		}
	}
	add(access{"/chat", salav1.MessageService_Broadcast_FullMethodName, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		_, err := salav1.NewMessageServiceClient(conn).Broadcast(ctx, &salav1.BroadcastRequest{Namespace: "/chat"})
		return err
	}, []string{"broadcast", "broadcast:/chat"}})
	add(access{"/", salav1.MessageService_Broadcast_FullMethodName, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		_, err := salav1.NewMessageServiceClient(conn).Broadcast(ctx, &salav1.BroadcastRequest{})
		return err
	}, []string{"broadcast", "broadcast:/"}})

	for _, tt := range []struct {
		name   string
		req    *salav1.IssueTokenRequest
		scopes []string
	}{
		{"everywhere", &salav1.IssueTokenRequest{User: "ana"}, []string{"tokens:issue"}},
		{"/chat, nothing more", &salav1.IssueTokenRequest{Namespaces: []string{"/chat"}}, []string{"tokens:issue", "tokens:issue:/chat", "tokens:issue:/chat:room-*"}},
		{"/chat and /ops", &salav1.IssueTokenRequest{Namespaces: []string{"/chat", "/ops"}}, []string{"tokens:issue"}},
		{"rooms within", &salav1.IssueTokenRequest{Namespaces: []string{"/chat"}, Rooms: []string{"room-1"}, Join: []string{"room-2"}, Publish: []string{"room-*"}}, []string{"tokens:issue", "tokens:issue:/chat", "tokens:issue:/chat:room-*"}},
		{"a room without", &salav1.IssueTokenRequest{Namespaces: []string{"/chat"}, Rooms: []string{"secret"}}, []string{"tokens:issue", "tokens:issue:/chat"}},
		{"join beyond", &salav1.IssueTokenRequest{Namespaces: []string{"/chat"}, Join: []string{"room-1", "*"}}, []string{"tokens:issue", "tokens:issue:/chat"}},
		{"publish beyond", &salav1.IssueTokenRequest{Namespaces: []string{"/chat"}, Publish: []string{"**"}}, []string{"tokens:issue", "tokens:issue:/chat"}},
		{"history beyond", &salav1.IssueTokenRequest{Namespaces: []string{"/chat"}, History: []string{"**"}}, []string{"tokens:issue", "tokens:issue:/chat"}},
		{"presence beyond", &salav1.IssueTokenRequest{Namespaces: []string{"/chat"}, Presence: []string{"**"}}, []string{"tokens:issue", "tokens:issue:/chat"}},
		{"broadcast", &salav1.IssueTokenRequest{Namespaces: []string{"/chat"}, Broadcast: true}, []string{"tokens:issue", "tokens:issue:/chat"}},
	} {
		add(access{tt.name, tokens, issuing(tt.req), tt.scopes})
	}
	add(access{"", salav1.TokenService_VerifyToken_FullMethodName, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		_, err := salav1.NewTokenServiceClient(conn).VerifyToken(ctx, &salav1.VerifyTokenRequest{Token: "t"})
		return err
	}, []string{"tokens:issue", "tokens:issue:/chat", "tokens:issue:/chat:room-*", "tokens:issue:/ops"}})
	add(access{"", salav1.TokenService_RevokeTokens_FullMethodName, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		_, err := salav1.NewTokenServiceClient(conn).RevokeTokens(ctx, &salav1.RevokeTokensRequest{User: "ana"})
		return err
	}, []string{"tokens:issue"}})

	for namespace, scopes := range map[string][]string{
		"":      {"rooms:read", "rooms:read:/chat", "rooms:read:/chat:room-*", "rooms:read:/ops"},
		"/chat": {"rooms:read", "rooms:read:/chat", "rooms:read:/chat:room-*"},
	} {
		add(access{"of " + namespace, salav1.RoomService_ListRooms_FullMethodName, func(ctx context.Context, conn grpc.ClientConnInterface) error {
			_, err := salav1.NewRoomServiceClient(conn).ListRooms(ctx, &salav1.ListRoomsRequest{Namespace: namespace})
			return err
		}, scopes})
	}
	for room, limited := range map[string]bool{"room-1": true, "secret": false} {
		scopes := func(verb string) []string {
			if limited {
				return []string{verb, verb + ":/chat", verb + ":/chat:room-*"}
			}
			return []string{verb, verb + ":/chat"}
		}
		add(access{room, salav1.RoomService_GetRoom_FullMethodName, func(ctx context.Context, conn grpc.ClientConnInterface) error {
			_, err := salav1.NewRoomServiceClient(conn).GetRoom(ctx, &salav1.GetRoomRequest{Namespace: "/chat", Room: room})
			return err
		}, scopes("rooms:read")})
		add(access{room, salav1.RoomService_ClearRoom_FullMethodName, func(ctx context.Context, conn grpc.ClientConnInterface) error {
			_, err := salav1.NewRoomServiceClient(conn).ClearRoom(ctx, &salav1.ClearRoomRequest{Namespace: "/chat", Room: room})
			return err
		}, scopes("rooms:clear")})
		add(access{room, salav1.RoomService_ListMessages_FullMethodName, func(ctx context.Context, conn grpc.ClientConnInterface) error {
			_, err := salav1.NewRoomServiceClient(conn).ListMessages(ctx, &salav1.ListMessagesRequest{Namespace: "/chat", Room: room})
			return err
		}, scopes("messages:read")})
		add(access{room, salav1.RoomService_ClearMessages_FullMethodName, func(ctx context.Context, conn grpc.ClientConnInterface) error {
			_, err := salav1.NewRoomServiceClient(conn).ClearMessages(ctx, &salav1.ClearMessagesRequest{Namespace: "/chat", Room: room})
			return err
		}, scopes("messages:write")})
		add(access{room, salav1.PresenceService_ListUsers_FullMethodName, func(ctx context.Context, conn grpc.ClientConnInterface) error {
			_, err := salav1.NewPresenceServiceClient(conn).ListUsers(ctx, &salav1.ListUsersRequest{Namespace: "/chat", Room: room})
			return err
		}, scopes("presence:read")})
		add(access{room + " and room-2", salav1.PresenceService_Count_FullMethodName, func(ctx context.Context, conn grpc.ClientConnInterface) error {
			_, err := salav1.NewPresenceServiceClient(conn).Count(ctx, &salav1.CountRequest{Namespace: "/chat", Rooms: []string{"room-2", room}})
			return err
		}, scopes("presence:read")})
	}
	add(access{"", salav1.KeyService_GetKey_FullMethodName, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		_, err := salav1.NewKeyServiceClient(conn).GetKey(ctx, &salav1.GetKeyRequest{})
		return err
	}, scopesToTry})
	// A key that is limited to rooms can't ask about a whole namespace.
	for method, call := range map[string]func(context.Context, salav1.PresenceServiceClient) error{
		salav1.PresenceService_ListUsers_FullMethodName: func(ctx context.Context, c salav1.PresenceServiceClient) error {
			_, err := c.ListUsers(ctx, &salav1.ListUsersRequest{Namespace: "/chat"})
			return err
		},
		salav1.PresenceService_Count_FullMethodName: func(ctx context.Context, c salav1.PresenceServiceClient) error {
			_, err := c.Count(ctx, &salav1.CountRequest{Namespace: "/chat"})
			return err
		},
		salav1.PresenceService_Online_FullMethodName: func(ctx context.Context, c salav1.PresenceServiceClient) error {
			_, err := c.Online(ctx, &salav1.OnlineRequest{Namespace: "/chat", Users: []string{"ana"}})
			return err
		},
	} {
		add(access{"/chat", method, func(ctx context.Context, conn grpc.ClientConnInterface) error {
			return call(ctx, salav1.NewPresenceServiceClient(conn))
		}, []string{"presence:read", "presence:read:/chat"}})
	}

	for namespace, scopes := range map[string][]string{
		"":      {"sockets:read", "sockets:read:/chat", "sockets:read:/ops"},
		"/chat": {"sockets:read", "sockets:read:/chat"},
	} {
		add(access{"of " + namespace, salav1.SocketService_ListSockets_FullMethodName, func(ctx context.Context, conn grpc.ClientConnInterface) error {
			_, err := salav1.NewSocketServiceClient(conn).ListSockets(ctx, &salav1.ListSocketsRequest{Namespace: namespace})
			return err
		}, scopes})
	}
	// The fake's sockets are in /chat. That there is one isn't said.
	add(access{"", salav1.SocketService_GetSocket_FullMethodName, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		_, err := salav1.NewSocketServiceClient(conn).GetSocket(ctx, &salav1.GetSocketRequest{Id: "s"})
		return err
	}, []string{"sockets:read", "sockets:read:/chat"}})
	for method, call := range map[string]func(context.Context, salav1.SocketServiceClient, *salav1.Selector) error{
		salav1.SocketService_Join_FullMethodName: func(ctx context.Context, c salav1.SocketServiceClient, s *salav1.Selector) error {
			_, err := c.Join(ctx, &salav1.JoinRequest{Selector: s})
			return err
		},
		salav1.SocketService_Leave_FullMethodName: func(ctx context.Context, c salav1.SocketServiceClient, s *salav1.Selector) error {
			_, err := c.Leave(ctx, &salav1.LeaveRequest{Selector: s})
			return err
		},
		salav1.SocketService_Update_FullMethodName: func(ctx context.Context, c salav1.SocketServiceClient, s *salav1.Selector) error {
			_, err := c.Update(ctx, &salav1.UpdateRequest{Selector: s})
			return err
		},
		salav1.SocketService_Disconnect_FullMethodName: func(ctx context.Context, c salav1.SocketServiceClient, s *salav1.Selector) error {
			_, err := c.Disconnect(ctx, &salav1.DisconnectRequest{Selector: s})
			return err
		},
	} {
		add(access{"in /chat", method, func(ctx context.Context, conn grpc.ClientConnInterface) error {
			return call(ctx, salav1.NewSocketServiceClient(conn), chat)
		}, []string{"sockets:write", "sockets:write:/chat"}})
		add(access{"in /", method, func(ctx context.Context, conn grpc.ClientConnInterface) error {
			return call(ctx, salav1.NewSocketServiceClient(conn), nil)
		}, []string{"sockets:write", "sockets:write:/"}})
	}

	add(access{"all", salav1.EventService_Subscribe_FullMethodName, subscribing(), []string{"events", "events:/chat", "events:/ops"}})
	add(access{"/chat", salav1.EventService_Subscribe_FullMethodName, subscribing("/chat"), []string{"events", "events:/chat"}})
	add(access{"/chat and /ops", salav1.EventService_Subscribe_FullMethodName, subscribing("/chat", "/ops"), []string{"events"}})
	add(access{"all", salav1.ObserveService_Tail_FullMethodName, tailing(), []string{"events", "events:/chat", "events:/ops"}})
	add(access{"/chat", salav1.ObserveService_Tail_FullMethodName, tailing("/chat"), []string{"events", "events:/chat"}})
	add(access{"/chat and /ops", salav1.ObserveService_Tail_FullMethodName, tailing("/chat", "/ops"), []string{"events"}})
	add(access{"/chat", salav1.ObserveService_Explain_FullMethodName, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		_, err := salav1.NewObserveServiceClient(conn).Explain(ctx, &salav1.ExplainRequest{Namespace: "/chat", User: "ana", Room: "room-1"})
		return err
	}, []string{"sockets:read", "sockets:read:/chat"}})
	for namespace, scopes := range map[string][]string{
		"":      {"sockets:read", "sockets:read:/chat", "sockets:read:/ops"},
		"/chat": {"sockets:read", "sockets:read:/chat"},
	} {
		add(access{"of " + namespace, salav1.ObserveService_ListLimits_FullMethodName, func(ctx context.Context, conn grpc.ClientConnInterface) error {
			_, err := salav1.NewObserveServiceClient(conn).ListLimits(ctx, &salav1.ListLimitsRequest{Namespace: namespace})
			return err
		}, scopes})
	}
	add(access{"", salav1.ObserveService_ListGroups_FullMethodName, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		_, err := salav1.NewObserveServiceClient(conn).ListGroups(ctx, &salav1.ListGroupsRequest{})
		return err
	}, []string{"cluster:read"}})
	add(access{"", salav1.ObserveService_GetStats_FullMethodName, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		_, err := salav1.NewObserveServiceClient(conn).GetStats(ctx, &salav1.GetStatsRequest{})
		return err
	}, []string{"cluster:read"}})
	add(access{"", salav1.ClusterService_ListNodes_FullMethodName, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		_, err := salav1.NewClusterServiceClient(conn).ListNodes(ctx, &salav1.ListNodesRequest{})
		return err
	}, []string{"cluster:read"}})
	add(access{"", salav1.ClusterService_Drain_FullMethodName, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		_, err := salav1.NewClusterServiceClient(conn).Drain(ctx, &salav1.DrainRequest{Id: "n"})
		return err
	}, []string{"cluster:write"}})
	return list
}

// Every method, with every scope, limited and not. A call that isn't allowed
// doesn't reach the broker, except to look up a socket, which only the broker can find.
func TestEveryMethodWithEveryScope(t *testing.T) {
	b := &fakeBroker{
		socketNamespace: "/chat",
		subscribe: func(broker.SubscribeOptions) (*broker.Subscription, error) {
			return nil, &broker.Error{Code: broker.CodeUnavailable, Reason: "X", Message: "no hub here"}
		},
	}
	secret := func(i int) string { return fmt.Sprintf("key-of-the-table-%04d", i) }
	h := start(t, b, func(cfg *Config) {
		for i, scope := range scopesToTry {
			cfg.Keys = append(cfg.Keys, mustKey(t, fmt.Sprintf("k%d=%s:%s", i, secret(i), scope)))
		}
	})
	tried := make(map[string]bool)
	for _, a := range accesses() {
		tried[a.method] = true
		for _, s := range a.scopes {
			if !slices.Contains(scopesToTry, s) {
				t.Fatalf("%s isn't tried", s)
			}
		}
		for i, scope := range scopesToTry {
			ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+secret(i)))
			err := a.call(ctx, h.conn)
			cancel()
			calls := b.take()
			allowed := slices.Contains(a.scopes, scope)
			asked := 1
			if a.method == salav1.KeyService_GetKey_FullMethodName { // the server answers it
				asked = 0
			}
			hidden := a.method == salav1.SocketService_GetSocket_FullMethodName && strings.HasPrefix(scope, "sockets:read:")
			switch {
			case allowed && (err != nil || len(calls) != asked):
				t.Errorf("%s %s with %s: %v, and the broker was asked %d times", a.method, a.name, scope, err, len(calls))
			case !allowed && hidden && status.Code(err) != codes.NotFound:
				t.Errorf("%s %s with %s: %v, want NOT_FOUND", a.method, a.name, scope, err)
			case !allowed && !hidden && (status.Code(err) != codes.PermissionDenied || len(calls) != 0):
				t.Errorf("%s %s with %s: %v, and the broker was asked: %v", a.method, a.name, scope, err, calls)
			}
		}
	}
	for _, method := range methods("sala.v1") {
		if !tried[method] {
			t.Errorf("%s isn't tried", method)
		}
	}
}

// The broker is told what a list may show.
func TestListsAreLimited(t *testing.T) {
	b := &fakeBroker{subscribe: func(broker.SubscribeOptions) (*broker.Subscription, error) {
		return nil, &broker.Error{Code: broker.CodeUnavailable, Message: "no hub here"}
	}}
	const secret = "a-limited-key-of-a-caller"
	h := start(t, b, func(cfg *Config) {
		cfg.Keys = append(cfg.Keys, mustKey(t, "l="+secret+":rooms:read:/chat:a:*,rooms:read:/ops,sockets:read:/chat,sockets:read:/ops,events:/chat,events:/ops"))
	})
	ctx := as(t, secret)
	for namespace, want := range map[string][]room.Area{
		"":      {{Namespace: "/chat", Rooms: "a:*"}, {Namespace: "/ops"}},
		"/chat": {{Namespace: "/chat", Rooms: "a:*"}},
	} {
		if _, err := salav1.NewRoomServiceClient(h.conn).ListRooms(ctx, &salav1.ListRoomsRequest{Namespace: namespace}); err != nil {
			t.Fatal(err)
		}
		if q, ok := b.take()[0].(broker.RoomQuery); !ok || !slices.Equal(q.Within, want) || q.Namespace != namespace {
			t.Errorf("rooms of %q: %+v, want %v", namespace, q, want)
		}
	}
	if _, err := salav1.NewSocketServiceClient(h.conn).ListSockets(ctx, &salav1.ListSocketsRequest{}); err != nil {
		t.Fatal(err)
	}
	if q, ok := b.take()[0].(broker.SocketQuery); !ok || !slices.Equal(q.Within, []string{"/chat", "/ops"}) {
		t.Errorf("sockets: %+v", q)
	}
	if err := subscribing()(ctx, h.conn); err != nil {
		t.Fatal(err)
	}
	if o, ok := b.take()[0].(broker.SubscribeOptions); !ok || !slices.Equal(o.Namespaces, []string{"/chat", "/ops"}) {
		t.Errorf("events: %+v", o)
	}
}

// Only the secret of a hashed key is a credential, not its hash.
func TestHashIsNoSecret(t *testing.T) {
	secret, hashed := auth.NewKey()
	h := start(t, &fakeBroker{}, func(cfg *Config) { cfg.Keys = []auth.Key{mustKey(t, "web="+hashed+":emit:/chat:room-*")} })
	for sent, code := range map[string]codes.Code{secret: codes.OK, hashed: codes.Unauthenticated, strings.TrimPrefix(hashed, "sha256:"): codes.Unauthenticated} {
		_, err := salav1.NewMessageServiceClient(h.conn).Emit(as(t, sent), &salav1.EmitRequest{Namespace: "/chat", Rooms: []string{"room-1"}})
		if status.Code(err) != code {
			t.Errorf("%v, want %s", err, code)
		}
	}
}

package api

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/token"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

func list(t *testing.T, values ...any) *structpb.ListValue {
	t.Helper()
	l, err := structpb.NewList(values)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func wantCalls(t *testing.T, b *fakeBroker, want ...any) {
	t.Helper()
	if got := b.take(); !slices.EqualFunc(got, want, reflect.DeepEqual) {
		t.Errorf("the broker was asked\n%#v\nwant\n%#v", got, want)
	}
}

func wantProto(t *testing.T, got, want proto.Message) {
	t.Helper()
	if !proto.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestIssueToken(t *testing.T) {
	ends := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	b := &fakeBroker{issueToken: func(broker.TokenRequest) (broker.IssuedToken, error) {
		return broker.IssuedToken{Token: "a.b.c", ID: "id", ExpiresAt: ends}, nil
	}}
	client := salav1.NewTokenServiceClient(start(t, b).conn)
	resp, err := client.IssueToken(as(t, adminKey), &salav1.IssueTokenRequest{
		User: "ana", Ttl: durationpb.New(90 * time.Second),
		Namespaces: []string{"/"}, Rooms: []string{"a"}, Join: []string{"b:*"}, Publish: []string{"c:**"}, Broadcast: true,
		Data: structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{"n": structpb.NewStringValue("<é>")}}),
	})
	if err != nil {
		t.Fatal(err)
	}
	wantProto(t, resp, &salav1.IssueTokenResponse{Token: "a.b.c", TokenId: "id", ExpireTime: timestamppb.New(ends)})
	wantCalls(t, b, broker.TokenRequest{
		User: "ana", TTL: 90 * time.Second,
		Permissions: broker.Permissions{Namespaces: []string{"/"}, Rooms: []string{"a"}, Join: []string{"b:*"}, Publish: []string{"c:**"}, Broadcast: true},
		Data:        json.RawMessage(`{"n":"<é>"}`),
	})
}

func TestIssueTokenTTL(t *testing.T) {
	b := &fakeBroker{}
	client := salav1.NewTokenServiceClient(start(t, b).conn)
	for _, tt := range []struct {
		name  string
		ttl   *durationpb.Duration
		asked []any // nil: refused before the broker is
	}{
		{"unset", nil, []any{broker.TokenRequest{User: "ana"}}},
		{"negative", durationpb.New(-time.Second), []any{broker.TokenRequest{User: "ana", TTL: -time.Second}}},
		{"absurd", &durationpb.Duration{Seconds: 315576000000}, []any{broker.TokenRequest{User: "ana", TTL: math.MaxInt64}}},
		{"zero", durationpb.New(0), nil},
		{"impossible", &durationpb.Duration{Seconds: 1, Nanos: -1}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := client.IssueToken(as(t, adminKey), &salav1.IssueTokenRequest{User: "ana", Ttl: tt.ttl})
			wantCalls(t, b, tt.asked...)
			if tt.asked == nil {
				wantStatus(t, err, codes.InvalidArgument, "INVALID_ARGUMENT", "ttl: ")
				if got := violations(err); !slices.Equal(got, []string{"ttl"}) {
					t.Errorf("violations = %v", got)
				}
			}
		})
	}
}

func TestVerifyToken(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	b := &fakeBroker{verifyToken: func(raw string) (token.Claims, error) {
		switch raw {
		case "good":
			return token.Claims{User: "ana", ID: "id", IssuedAt: now, ExpiresAt: now, Grant: token.Grant{
				Namespaces: []string{"/"}, Rooms: []string{"a"}, Join: []string{"b"}, Publish: []string{"c"}, Broadcast: true,
				Data: json.RawMessage(`{"k":[1,null]}`),
			}}, nil
		case "foreign":
			return token.Claims{User: "ana", ExpiresAt: now}, nil
		case "elsewhere":
			return token.Claims{}, &broker.Error{Code: broker.CodePermissionDenied, Reason: broker.ReasonNamespaceDenied, Message: "not here"}
		case "crowded":
			return token.Claims{}, &broker.Error{Code: broker.CodeResourceExhausted, Reason: broker.ReasonTooManyRooms, Message: "too many"}
		case "down":
			return token.Claims{}, &broker.Error{Code: broker.CodeUnavailable, Reason: broker.ReasonDraining, Message: "later"}
		}
		return token.Claims{}, &broker.Error{Code: broker.CodeUnauthenticated, Reason: "TOKEN_EXPIRED", Message: "it ended"}
	}}
	client := salav1.NewTokenServiceClient(start(t, b).conn)
	verify := func(raw string) (*salav1.VerifyTokenResponse, error) {
		return client.VerifyToken(as(t, adminKey), &salav1.VerifyTokenRequest{Token: raw})
	}
	resp, err := verify("good")
	if err != nil {
		t.Fatal(err)
	}
	data, err := structpb.NewValue(map[string]any{"k": []any{1, nil}})
	if err != nil {
		t.Fatal(err)
	}
	wantProto(t, resp, &salav1.VerifyTokenResponse{Valid: true, Claims: &salav1.TokenClaims{
		User: "ana", TokenId: "id", IssueTime: timestamppb.New(now), ExpireTime: timestamppb.New(now),
		Namespaces: []string{"/"}, Rooms: []string{"a"}, Join: []string{"b"}, Publish: []string{"c"}, Broadcast: true, Data: data,
	}})
	if resp, err = verify("foreign"); err != nil || resp.GetClaims().IssueTime != nil || resp.GetClaims().Data != nil {
		t.Errorf("what a token doesn't say is set: %v, %v", resp, err)
	}
	if resp, err = verify("old"); err != nil {
		t.Fatal(err)
	}
	wantProto(t, resp, &salav1.VerifyTokenResponse{Reason: "TOKEN_EXPIRED", Message: "it ended"})
	for raw, reason := range map[string]string{"elsewhere": broker.ReasonNamespaceDenied, "crowded": broker.ReasonTooManyRooms} {
		if resp, err = verify(raw); err != nil || resp.GetValid() || resp.GetReason() != reason || resp.GetMessage() == "" {
			t.Errorf("%s: %v, %v; want the answer %s", raw, resp, err, reason)
		}
	}
	_, err = verify("down")
	wantStatus(t, err, codes.Unavailable, "DRAINING", "later")
}

func TestRooms(t *testing.T) {
	b := &fakeBroker{
		rooms: []broker.RoomInfo{{Name: "a", Namespace: "/", Sockets: 3}}, nextPage: "next", matched: 7,
		getRoom: nil,
	}
	client := salav1.NewRoomServiceClient(start(t, b).conn)
	rooms, err := client.ListRooms(as(t, adminKey), &salav1.ListRoomsRequest{Namespace: "/", Prefix: "a", PageSize: 5, PageToken: "p"})
	if err != nil {
		t.Fatal(err)
	}
	wantProto(t, rooms, &salav1.ListRoomsResponse{Rooms: []*salav1.Room{{Name: "a", Namespace: "/", Sockets: 3}}, NextPageToken: "next"})
	wantCalls(t, b, broker.RoomQuery{Namespace: "/", Prefix: "a", Page: broker.Page{Size: 5, Token: "p"}})

	room, err := client.GetRoom(as(t, readerKey), &salav1.GetRoomRequest{Room: "a", Namespace: "/chat"})
	if err != nil {
		t.Fatal(err)
	}
	wantProto(t, room, &salav1.GetRoomResponse{Name: "a", Namespace: "/chat"})
	wantCalls(t, b, getRoomCall{"/chat", "a"})

	cleared, err := client.ClearRoom(as(t, adminKey), &salav1.ClearRoomRequest{
		Room: "a", Namespace: "/chat", Disconnect: true, Notice: &salav1.Notice{Event: "gone", Args: list(t, "a", 1)},
	})
	if err != nil || cleared.GetRemoved() != 7 {
		t.Fatalf("ClearRoom = %v, %v", cleared, err)
	}
	wantCalls(t, b, broker.ClearRoom{
		Namespace: "/chat", Room: "a", Disconnect: true, Notice: &broker.Message{Event: "gone", Args: json.RawMessage(`["a",1]`)},
	})
	_, err = client.ClearRoom(as(t, adminKey), &salav1.ClearRoomRequest{Room: "a"})
	if err != nil {
		t.Fatal(err)
	}
	wantCalls(t, b, broker.ClearRoom{Room: "a"})
	_, err = client.ClearRoom(as(t, adminKey), &salav1.ClearRoomRequest{Room: "a", Notice: &salav1.Notice{Event: "e", Args: list(t, math.NaN())}})
	if got := violations(err); !slices.Equal(got, []string{"notice.args"}) {
		t.Errorf("violations = %v of %v", got, err)
	}
}

func TestSockets(t *testing.T) {
	when := time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC)
	info := broker.SocketInfo{
		ID: "s1", User: "ana", Namespace: "/", Rooms: []string{"a", "b"}, Address: "127.0.0.1:1", Transport: "websocket",
		ConnectTime: when, Data: json.RawMessage(`"d"`), Node: "n1",
	}
	b := &fakeBroker{sockets: []broker.SocketInfo{info, {ID: "s2", Away: true}}, nextPage: "next", matched: 3, refused: 1}
	client := salav1.NewSocketServiceClient(start(t, b).conn)
	sockets, err := client.ListSockets(as(t, adminKey), &salav1.ListSocketsRequest{Namespace: "/", Room: "a", User: "ana", PageSize: 2, PageToken: "p"})
	if err != nil {
		t.Fatal(err)
	}
	wantProto(t, sockets, &salav1.ListSocketsResponse{NextPageToken: "next", Sockets: []*salav1.Socket{
		{
			Id: "s1", User: "ana", Namespace: "/", Rooms: []string{"a", "b"}, Address: "127.0.0.1:1", Transport: "websocket",
			ConnectTime: timestamppb.New(when), Data: structpb.NewStringValue("d"), Node: "n1",
			State: salav1.SocketState_SOCKET_STATE_CONNECTED,
		},
		{Id: "s2", State: salav1.SocketState_SOCKET_STATE_AWAY},
	}})
	wantCalls(t, b, broker.SocketQuery{Namespace: "/", Room: "a", User: "ana", Page: broker.Page{Size: 2, Token: "p"}})

	socket, err := client.GetSocket(as(t, adminKey), &salav1.GetSocketRequest{Id: "s9"})
	if err != nil || socket.GetSocket().GetId() != "s9" {
		t.Fatalf("GetSocket = %v, %v", socket, err)
	}
	wantCalls(t, b, getSocketCall{"s9"})

	selector := &salav1.Selector{
		Namespace: "/n", Rooms: []string{"a"}, Users: []string{"u"}, Sockets: []string{"s"},
		ExceptRooms: []string{"b"}, ExceptUsers: []string{"eva"}, ExceptSockets: []string{"t"},
	}
	target := broker.Target{
		Namespace: "/n", Rooms: []string{"a"}, Users: []string{"u"}, Sockets: []string{"s"},
		ExceptRooms: []string{"b"}, ExceptUsers: []string{"eva"}, ExceptSockets: []string{"t"},
	}
	joined, err := client.Join(as(t, adminKey), &salav1.JoinRequest{Selector: selector, Rooms: []string{"x"}})
	if err != nil || joined.GetMatched() != 3 || joined.GetRefused() != 1 {
		t.Fatalf("Join = %v, %v", joined, err)
	}
	wantCalls(t, b, joinCall{target, []string{"x"}})
	left, err := client.Leave(as(t, adminKey), &salav1.LeaveRequest{Selector: selector, Rooms: []string{"x"}})
	if err != nil || left.GetMatched() != 3 {
		t.Fatalf("Leave = %v, %v", left, err)
	}
	wantCalls(t, b, leaveCall{target, []string{"x"}})
	gone, err := client.Disconnect(as(t, adminKey), &salav1.DisconnectRequest{Selector: selector, Reason: "bye"})
	if err != nil || gone.GetMatched() != 3 {
		t.Fatalf("Disconnect = %v, %v", gone, err)
	}
	wantCalls(t, b, disconnectCall{target, "bye"})
	if _, err := client.Disconnect(as(t, adminKey), &salav1.DisconnectRequest{}); err != nil {
		t.Fatal(err)
	}
	wantCalls(t, b, disconnectCall{broker.Target{}, ""}) // which a broker refuses: never everyone
}

func TestListNodes(t *testing.T) {
	b := &fakeBroker{nodes: []broker.NodeInfo{
		{ID: "n1", Version: "v1", Sockets: -1, Rooms: math.MaxInt, Uptime: time.Minute},
		{ID: "n2", State: broker.NodeDraining}, {ID: "n3", State: 99},
	}}
	resp, err := salav1.NewClusterServiceClient(start(t, b).conn).ListNodes(as(t, adminKey), &salav1.ListNodesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	none := durationpb.New(0)
	wantProto(t, resp, &salav1.ListNodesResponse{Nodes: []*salav1.Node{
		{Id: "n1", Version: "v1", Rooms: math.MaxUint32, State: salav1.NodeState_NODE_STATE_ACTIVE, Uptime: durationpb.New(time.Minute)},
		{Id: "n2", State: salav1.NodeState_NODE_STATE_DRAINING, Uptime: none},
		{Id: "n3", State: salav1.NodeState_NODE_STATE_UNSPECIFIED, Uptime: none},
	}})
}

// Every error of the broker's reaches the caller of every method.
func TestBrokerErrorsPassThrough(t *testing.T) {
	failed := &broker.Error{
		Code: broker.CodeInvalidArgument, Reason: "WHY", Message: "x: bad",
		Fields: []broker.FieldViolation{{Field: "x", Description: "bad"}},
	}
	h := start(t, &fakeBroker{err: failed})
	for _, method := range methods("sala.v1") {
		if strings.HasSuffix(method, "Stream") || strings.HasSuffix(method, "Batch") || strings.HasSuffix(method, "/Subscribe") {
			continue // they answer event by event, or need a request that isn't empty
		}
		if method == salav1.TokenService_VerifyToken_FullMethodName {
			continue // an error that is the token's is its answer
		}
		if method == salav1.KeyService_GetKey_FullMethodName {
			continue // the broker isn't asked
		}
		// An empty request is one of every type.
		err := h.conn.Invoke(as(t, adminKey), method, &salav1.ListNodesRequest{}, &salav1.ListNodesResponse{})
		wantStatus(t, err, codes.InvalidArgument, "WHY", "x: bad")
		if got := violations(err); !slices.Equal(got, []string{"x"}) {
			t.Errorf("%s: violations = %v", method, got)
		}
	}
}

func TestJSONValue(t *testing.T) {
	for text, want := range map[string]*structpb.Value{
		"":              nil,
		"null":          structpb.NewNullValue(),
		`{"a":1,"a":2}`: structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{"a": structpb.NewNumberValue(2)}}),
		"1e999":         structpb.NewStringValue("1e999"),
		"\"\xff\"":      structpb.NewStringValue("\uFFFD"),
		"{\xff":         structpb.NewStringValue("{\uFFFD"),
	} {
		if got := jsonValue(json.RawMessage(text)); !proto.Equal(got, want) {
			t.Errorf("jsonValue(%q) = %v, want %v", text, got, want)
		}
	}
}

package api

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/history"
	"github.com/salabroker/sala/broker/token"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// startReal serves a broker without clients.
func startReal(t testing.TB, edits ...func(*Config)) *harness {
	t.Helper()
	tokens, err := token.NewKeyring(token.Options{Keys: []token.Key{{Secret: []byte(strings.Repeat("s", 32))}}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.New(broker.Options{
		Tokens: tokens, Namespaces: []string{"/", "/chat"}, Version: "v0",
		History: &broker.HistoryOptions{
			Rules:  history.Rules{{Namespace: "/", Rooms: "remembered:**", Messages: 10, TTL: time.Minute}},
			Engine: history.NewMemory(history.MemoryOptions{}),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	h := start(t, b, edits...)
	t.Cleanup(func() {
		if err := b.Shutdown(timeout(t)); err != nil {
			t.Errorf("broker.Shutdown: %v", err)
		}
	})
	return h
}

func TestIssueAndVerifyWithABroker(t *testing.T) {
	h := startReal(t)
	status, _, text := h.do(t, "POST", "/v1/tokens", `{"user":"ana","ttl":"60s","rooms":["a"],"join":["chat:*"],"data":{"name":"Ana <3"}}`)
	var issued struct{ Token, TokenID, ExpireTime string }
	if err := json.Unmarshal([]byte(text), &issued); err != nil || status != 200 || issued.Token == "" {
		t.Fatalf("%d %s", status, text)
	}
	resp, err := salav1.NewTokenServiceClient(h.conn).VerifyToken(as(t, adminKey), &salav1.VerifyTokenRequest{Token: issued.Token})
	if err != nil || !resp.GetValid() {
		t.Fatalf("VerifyToken = %v, %v", resp, err)
	}
	claims := resp.GetClaims()
	if claims.GetUser() != "ana" || claims.GetTokenId() != issued.TokenID ||
		claims.GetExpireTime().AsTime().Sub(claims.GetIssueTime().AsTime()).Seconds() != 60 ||
		!slices.Equal(claims.GetRooms(), []string{"a"}) || !slices.Equal(claims.GetJoin(), []string{"chat:*"}) ||
		claims.GetData().GetStructValue().GetFields()["name"].GetStringValue() != "Ana <3" {
		t.Errorf("claims = %v", claims)
	}
	for raw, reason := range map[string]string{"": broker.ReasonTokenRequired, issued.Token + "x": ""} {
		resp, err := salav1.NewTokenServiceClient(h.conn).VerifyToken(as(t, adminKey), &salav1.VerifyTokenRequest{Token: raw})
		if err != nil || resp.GetValid() || resp.GetReason() == "" || resp.GetMessage() == "" || resp.GetClaims() != nil {
			t.Errorf("VerifyToken(%q) = %v, %v", raw, resp, err)
		}
		if reason != "" && resp.GetReason() != reason {
			t.Errorf("VerifyToken(%q): %s, want %s", raw, resp.GetReason(), reason)
		}
	}
}

// The fields at fault are named as in the protos, wherever they stand.
func TestViolationsOfABroker(t *testing.T) {
	h := startReal(t)
	ctx := as(t, adminKey)
	messages := salav1.NewMessageServiceClient(h.conn)
	rooms := salav1.NewRoomServiceClient(h.conn)
	sockets := salav1.NewSocketServiceClient(h.conn)
	tokens := salav1.NewTokenServiceClient(h.conn)
	long := strings.Repeat("r", 256)
	for _, tt := range []struct {
		name   string
		call   func() error
		fields []string
	}{
		{"no target", func() error { _, err := messages.Emit(ctx, &salav1.EmitRequest{Event: "e"}); return err }, []string{"rooms"}},
		{"names", func() error {
			_, err := messages.Emit(ctx, &salav1.EmitRequest{Rooms: []string{"a", ""}, ExceptSockets: []string{long}, Event: "disconnect"})
			return err
		}, []string{"rooms[1]", "except_sockets[0]", "event"}},
		{"args_json", func() error {
			_, err := messages.Broadcast(ctx, &salav1.BroadcastRequest{Event: "e", ArgsJson: "{}"})
			return err
		}, []string{"args_json"}},
		{"selector", func() error { _, err := sockets.Join(ctx, &salav1.JoinRequest{Rooms: []string{""}}); return err }, []string{"rooms[0]", "selector.rooms"}},
		{"reason", func() error {
			_, err := sockets.Disconnect(ctx, &salav1.DisconnectRequest{Selector: &salav1.Selector{Users: []string{""}}, Reason: long})
			return err
		}, []string{"reason", "selector.users[0]"}},
		{"notice", func() error {
			_, err := rooms.ClearRoom(ctx, &salav1.ClearRoomRequest{Room: long, Notice: &salav1.Notice{Event: "connect"}})
			return err
		}, []string{"room", "notice.event"}},
		{"page", func() error {
			_, err := rooms.ListRooms(ctx, &salav1.ListRoomsRequest{PageSize: 1001, PageToken: "x"})
			return err
		}, []string{"page_size", "page_token"}},
		{"token", func() error {
			_, err := tokens.IssueToken(ctx, &salav1.IssueTokenRequest{Ttl: durationpb.New(-1)})
			return err
		}, []string{"user", "ttl"}},
		{"socket", func() error { _, err := sockets.GetSocket(ctx, &salav1.GetSocketRequest{}); return err }, []string{"id"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.call()
			wantStatus(t, err, codes.InvalidArgument, "INVALID_ARGUMENT", tt.fields[0]+": ")
			if got := violations(err); !slices.Equal(got, tt.fields) {
				t.Errorf("violations = %v, want %v", got, tt.fields)
			}
		})
	}
}

func TestEmptyBroker(t *testing.T) {
	h := startReal(t)
	for _, tt := range []struct{ method, path, body, answer string }{
		{"GET", "/v1/rooms", "", `{"rooms":[],"nextPageToken":"","partial":false,"missingNodes":[],"truncated":false,"time":null}`},
		{"GET", "/v1/sockets", "", `{"sockets":[],"nextPageToken":"","partial":false,"missingNodes":[]}`},
		{"POST", "/v1/emit", `{"rooms":["a"],"event":"e"}`, `{"matched":0,"queued":0,"kept":0,"dropped":0,"partial":false,"missingNodes":[],"positions":[],"unrecordedRooms":[],"duplicate":false}`},
		{"POST", "/v1/broadcast", `{"namespace":"/chat","event":"e","args":[{}]}`, `{"matched":0,"queued":0,"kept":0,"dropped":0,"partial":false,"missingNodes":[],"duplicate":false}`},
		{"POST", "/v1/rooms/a%2Fb:clear", "", `{"removed":0,"partial":false,"missingNodes":[]}`},
	} {
		if status, _, text := h.do(t, tt.method, tt.path, tt.body); status != 200 || text != tt.answer+"\n" {
			t.Errorf("%s %s: %d %s, want %s", tt.method, tt.path, status, text, tt.answer)
		}
	}
	wantRESTError(t, h, "GET", "/v1/rooms/a%2Fb", "", 404, broker.ReasonRoomNotFound, `"a/b"`)
	wantRESTError(t, h, "GET", "/v1/rooms/", "", 400, broker.ReasonInvalidArgument, "room: ")
	wantRESTError(t, h, "GET", "/v1/sockets/none", "", 404, broker.ReasonSocketNotFound, "none")
	wantRESTError(t, h, "GET", "/v1/rooms?namespace=/nope", "", 404, broker.ReasonNamespaceNotFound, "/nope")
	_, _, text := h.do(t, "GET", "/v1/nodes", "")
	var list struct {
		Nodes []struct{ ID, Version, State, Uptime string }
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil || len(list.Nodes) != 1 ||
		list.Nodes[0].Version != "v0" || list.Nodes[0].State != "NODE_STATE_ACTIVE" || !strings.HasSuffix(list.Nodes[0].Uptime, "s") {
		t.Errorf("/v1/nodes: %s", text)
	}
}

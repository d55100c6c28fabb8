package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/salabroker/sala/broker"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// records is an audit log in memory.
type records struct {
	mu  sync.Mutex
	all []AuditRecord
}

// Record implements AuditLog.
func (l *records) Record(r AuditRecord) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, r)
}

// take returns what has been written since the last time, each as a line
// without what varies.
func (l *records) take(t *testing.T) []string {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []string
	for _, r := range l.all {
		if r.Time.IsZero() || !strings.HasPrefix(r.Peer, "127.0.0.1:") {
			t.Errorf("no time, or no peer: %+v", r)
		}
		target, err := json.Marshal(r.Target)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprint(strings.TrimPrefix(r.Method, "/sala.v1."), " ", r.Key, " ", string(target), " ", r.Code, r.Counts))
	}
	l.all = nil
	return lines
}

func TestAudit(t *testing.T) {
	const secret = "payload-or-token"
	log := &records{}
	b := &fakeBroker{matched: 2, issueToken: func(broker.TokenRequest) (broker.IssuedToken, error) {
		return broker.IssuedToken{Token: secret, ID: "id-1"}, nil
	}}
	h := start(t, b, func(cfg *Config) { cfg.Audit, cfg.AuditEmits = log, true })
	ctx := as(t, adminKey)
	tokens, rooms := salav1.NewTokenServiceClient(h.conn), salav1.NewRoomServiceClient(h.conn)
	messages, sockets := salav1.NewMessageServiceClient(h.conn), salav1.NewSocketServiceClient(h.conn)
	args, err := structpb.NewList([]any{secret})
	if err != nil {
		t.Fatal(err)
	}
	many := make([]string, 12)
	for i := range many {
		many[i] = fmt.Sprintf("r%d", i)
	}
	emit := &salav1.EmitRequest{Rooms: []string{"a"}, Event: "e", Args: args}
	for _, tt := range []struct {
		name string
		call func() error
		want []string
	}{
		{"issue", func() error {
			_, err := tokens.IssueToken(ctx, &salav1.IssueTokenRequest{User: "ana", Namespaces: []string{"/chat"}, Data: structpb.NewStringValue(secret)})
			return err
		}, []string{`TokenService/IssueToken admin {"namespaces":["/chat"],"users":["ana"],"tokenId":"id-1"} OKmap[]`}},
		{"verify", func() error {
			_, err := tokens.VerifyToken(ctx, &salav1.VerifyTokenRequest{Token: secret})
			return err
		}, nil},
		{"revoke", func() error {
			_, err := tokens.RevokeTokens(ctx, &salav1.RevokeTokensRequest{TokenId: "id-1"})
			return err
		}, []string{`TokenService/RevokeTokens admin {"tokenId":"id-1"} OKmap[disconnected:2]`}},
		{"list", func() error {
			_, err := rooms.ListRooms(ctx, &salav1.ListRoomsRequest{})
			return err
		}, nil},
		{"clear", func() error {
			_, err := rooms.ClearRoom(ctx, &salav1.ClearRoomRequest{Room: "a", Notice: &salav1.Notice{Event: "e", Args: args}})
			return err
		}, []string{`RoomService/ClearRoom admin {"namespaces":["/"],"rooms":["a"]} OKmap[removed:2]`}},
		{"clear messages over REST", func() error {
			h.do(t, "DELETE", "/v1/rooms/a/messages?namespace=/chat", "")
			return nil
		}, []string{`RoomService/ClearMessages admin {"namespaces":["/chat"],"rooms":["a"]} OKmap[]`}},
		{"read messages", func() error {
			_, err := rooms.ListMessages(ctx, &salav1.ListMessagesRequest{Room: "a"})
			return err
		}, nil},
		{"emit", func() error {
			_, err := messages.Emit(ctx, &salav1.EmitRequest{Rooms: many, Users: []string{"ana"}, Event: "e", Args: args})
			return err
		}, []string{`MessageService/Emit admin {"namespaces":["/"],"rooms":["r0","r1","r2","r3","r4","r5","r6","r7","r8","r9"],"users":["ana"],"more":2} OKmap[matched:2]`}},
		{"batch", func() error {
			_, err := messages.EmitBatch(ctx, &salav1.EmitBatchRequest{Emits: []*salav1.EmitRequest{emit, {Args: args, ArgsJson: "[]"}, emit}})
			return err
		}, []string{`MessageService/EmitBatch admin {} OKmap[events:3 failed:1]`}},
		{"ack", func() error {
			stream, err := messages.EmitWithAck(ctx, &salav1.EmitWithAckRequest{Rooms: []string{"a"}, Event: "e", Args: args})
			for err == nil {
				_, err = stream.Recv()
			}
			return nil
		}, []string{`MessageService/EmitWithAck admin {"namespaces":["/"],"rooms":["a"]} OKmap[answered:0 expected:2]`}},
		{"broadcast", func() error {
			_, err := messages.Broadcast(ctx, &salav1.BroadcastRequest{Event: "e", Args: args})
			return err
		}, []string{`MessageService/Broadcast admin {"namespaces":["/"]} OKmap[matched:2]`}},
		{"disconnect", func() error {
			_, err := sockets.Disconnect(ctx, &salav1.DisconnectRequest{Selector: &salav1.Selector{Sockets: []string{"s"}}, Reason: secret})
			return err
		}, []string{`SocketService/Disconnect admin {"namespaces":["/"],"sockets":["s"]} OKmap[matched:2]`}},
		{"drain over REST", func() error {
			h.do(t, "POST", "/v1/nodes/n1:drain", "")
			return nil
		}, []string{`ClusterService/Drain admin {"node":"n1"} OKmap[]`}},
		{"without the scope", func() error {
			_, _ = rooms.ClearRoom(as(t, readerKey), &salav1.ClearRoomRequest{Room: "a"})
			return nil
		}, []string{`RoomService/ClearRoom reader {} PERMISSION_DENIEDmap[]`}},
		{"a reading call without the scope", func() error {
			_, _ = sockets.ListSockets(as(t, readerKey), &salav1.ListSocketsRequest{})
			return nil
		}, []string{`SocketService/ListSockets reader {} PERMISSION_DENIEDmap[]`}},
		{"without a key", func() error {
			_, _ = rooms.ListRooms(as(t, secret), &salav1.ListRoomsRequest{})
			return nil
		}, []string{`RoomService/ListRooms  {} UNAUTHENTICATEDmap[]`}},
	} {
		if err := tt.call(); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got := log.take(t); !slices.Equal(got, tt.want) {
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
		} else if strings.Contains(strings.Join(got, ""), secret) {
			t.Errorf("%s: it has what is nobody's business: %s", tt.name, got)
		}
	}
}

// A stream is one record, when it ends.
func TestAuditOfAStream(t *testing.T) {
	log := &records{}
	h := start(t, &fakeBroker{}, func(cfg *Config) { cfg.Audit, cfg.AuditEmits = log, true })
	stream, err := salav1.NewMessageServiceClient(h.conn).EmitStream(as(t, adminKey))
	if err != nil {
		t.Fatal(err)
	}
	for _, argsJSON := range []string{"[1]", "", "[2]"} {
		req := &salav1.EmitStreamRequest{Emit: &salav1.EmitRequest{Rooms: []string{"a"}, Event: "e", ArgsJson: argsJSON}}
		if argsJSON == "" {
			req.Emit.Report = 99
		}
		if err := stream.Send(req); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	if got := log.take(t); got != nil {
		t.Errorf("while it lasts: %s", got)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	_, _ = stream.Recv()
	want := []string{`MessageService/EmitStream admin {} OKmap[events:3 failed:1]`}
	if got := log.take(t); !slices.Equal(got, want) {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestEmitsAreAuditedOnlyIfAskedFor(t *testing.T) {
	log := &records{}
	h := start(t, &fakeBroker{}, func(cfg *Config) { cfg.Audit = log })
	if _, err := salav1.NewMessageServiceClient(h.conn).Emit(as(t, adminKey), &salav1.EmitRequest{Rooms: []string{"a"}, Event: "e"}); err != nil {
		t.Fatal(err)
	}
	if got := log.take(t); got != nil {
		t.Errorf("%s", got)
	}
}

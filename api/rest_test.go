package api

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/history"
	"github.com/salabroker/sala/broker/outcome"
	"github.com/salabroker/sala/broker/stats"
)

// restError is the body of a REST error.
type restError struct {
	Code    int
	Message string
	Details []struct {
		Type            string `json:"@type"`
		Reason, Domain  string
		FieldViolations []struct{ Field, Description string }
	}
}

func (e restError) reason() string {
	for _, detail := range e.Details {
		if strings.HasSuffix(detail.Type, "google.rpc.ErrorInfo") && detail.Domain == "sala" {
			return detail.Reason
		}
	}
	return ""
}

func (e restError) fields() []string {
	var fields []string
	for _, detail := range e.Details {
		for _, v := range detail.FieldViolations {
			fields = append(fields, v.Field)
		}
	}
	return fields
}

// wantRESTError sends a request that must fail.
func wantRESTError(t *testing.T, h *harness, method, path, body string, status int, reason, says string, edits ...func(*http.Request)) restError {
	t.Helper()
	got, header, text := h.do(t, method, path, body, edits...)
	var failed restError
	if err := json.Unmarshal([]byte(text), &failed); err != nil {
		t.Errorf("%s %s: %d with %q, want JSON", method, path, got, text)
		return failed
	}
	if got != status || failed.reason() != reason || !strings.Contains(failed.Message, says) {
		t.Errorf("%s %s: %d %s, want %d %s with %q", method, path, got, text, status, reason, says)
	}
	if failed.Code == 0 || header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %s: code %d as %s", method, path, failed.Code, header.Get("Content-Type"))
	}
	return failed
}

// allScopes are the scopes of a key without limits, in the answer of GetKey.
const allScopes = `{"scope":"tokens:issue","limits":[]},{"scope":"rooms:read","limits":[]},{"scope":"rooms:clear","limits":[]},` +
	`{"scope":"messages:read","limits":[]},{"scope":"messages:write","limits":[]},{"scope":"presence:read","limits":[]},` +
	`{"scope":"emit","limits":[]},{"scope":"broadcast","limits":[]},{"scope":"sockets:read","limits":[]},{"scope":"sockets:write","limits":[]},` +
	`{"scope":"events","limits":[]},{"scope":"cluster:read","limits":[]},{"scope":"cluster:write","limits":[]}`

// restRoutes has one call for each path of http.yaml.
var restRoutes = []struct {
	selector, method, path, body string
	asked                        any
	answer                       string
}{
	{
		"TokenService.IssueToken", "POST", "/v1/tokens", `{"user":"ana","ttl":"60s","data":{"a":1}}`,
		broker.TokenRequest{User: "ana", TTL: 60e9, Data: json.RawMessage(`{"a":1}`)},
		`{"token":"","tokenId":"","expireTime":null}`,
	},
	{
		"TokenService.VerifyToken", "POST", "/v1/tokens:verify", `{"token":"x"}`,
		verifyCall{"x"},
		`{"valid":true,"claims":{"user":"","tokenId":"","issueTime":null,"expireTime":null,"namespaces":[],"rooms":[],"join":[],"publish":[],"broadcast":false,"data":null,"history":[],"presence":[]},"reason":"","message":""}`,
	},
	{
		"TokenService.RevokeTokens", "POST", "/v1/tokens:revoke", `{"user":"u","issuedBefore":"2030-01-02T03:04:05Z"}`,
		broker.RevokeTokens{User: "u", IssuedBefore: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)},
		`{"disconnected":4,"partial":false,"missingNodes":[],"notStored":false}`,
	},
	{
		"KeyService.GetKey", "GET", "/v1/keys:self", "",
		nil,
		`{"name":"admin","scopes":[` + allScopes + `]}`,
	},
	{
		"RoomService.ListRooms", "GET", "/v1/rooms?namespace=/n&prefix=a%20b&pageSize=2&page_token=t&query=B&order=ROOM_ORDER_SOCKETS", "",
		broker.RoomQuery{Namespace: "/n", Prefix: "a b", Query: "B", BySockets: true, Page: broker.Page{Size: 2, Token: "t"}},
		`{"rooms":[{"name":"a","namespace":"/","sockets":2}],"nextPageToken":"","partial":false,"missingNodes":[],"truncated":false,"time":null}`,
	},
	{
		"RoomService.GetRoom", "GET", "/v1/rooms/a?namespace=/n", "",
		getRoomCall{"/n", "a"},
		`{"name":"a","namespace":"/n","sockets":0,"users":0,"partial":false,"missingNodes":[]}`,
	},
	{
		"RoomService.GetRoom", "GET", "/v1/rooms:get?room=a&namespace=/n", "",
		getRoomCall{"/n", "a"},
		`{"name":"a","namespace":"/n","sockets":0,"users":0,"partial":false,"missingNodes":[]}`,
	},
	{
		"RoomService.ClearRoom", "POST", "/v1/rooms/a:clear", `{"namespace":"/n","notice":{"event":"e","args":[1]},"disconnect":true}`,
		broker.ClearRoom{Namespace: "/n", Room: "a", Notice: &broker.Message{Event: "e", Args: json.RawMessage("[1]")}, Disconnect: true},
		`{"removed":4,"partial":false,"missingNodes":[]}`,
	},
	{
		"RoomService.ClearRoom", "DELETE", "/v1/rooms/a?disconnect=true&notice.event=e", "",
		broker.ClearRoom{Room: "a", Notice: &broker.Message{Event: "e"}, Disconnect: true},
		`{"removed":4,"partial":false,"missingNodes":[]}`,
	},
	{
		"RoomService.ListMessages", "GET", "/v1/rooms/a/messages?namespace=/n&since.epoch=x&since.offset=7&direction=DIRECTION_BACKWARD&limit=2", "",
		broker.MessagesQuery{Namespace: "/n", Room: "a", Since: &history.Position{Epoch: "x", Offset: 7}, Backward: true, Limit: 2},
		`{"messages":[{"offset":"6","event":"e","argsJson":"[1.0]","attachments":["AP8="],"time":"2030-01-02T03:04:05Z","idempotencyKey":"k"}],"epoch":"x","offset":"6","complete":true}`,
	},
	{
		"RoomService.ListMessages", "GET", "/v1/messages?room=a&namespace=/n&since.epoch=x&since.offset=7&direction=DIRECTION_BACKWARD&limit=2", "",
		broker.MessagesQuery{Namespace: "/n", Room: "a", Since: &history.Position{Epoch: "x", Offset: 7}, Backward: true, Limit: 2},
		`{"messages":[{"offset":"6","event":"e","argsJson":"[1.0]","attachments":["AP8="],"time":"2030-01-02T03:04:05Z","idempotencyKey":"k"}],"epoch":"x","offset":"6","complete":true}`,
	},
	{
		"RoomService.ClearMessages", "DELETE", "/v1/rooms/a/messages?namespace=/n", "",
		clearMessagesCall{"/n", "a"},
		`{}`,
	},
	{
		"RoomService.ClearMessages", "DELETE", "/v1/messages?room=a&namespace=/n", "",
		clearMessagesCall{"/n", "a"},
		`{}`,
	},
	{
		"PresenceService.ListUsers", "GET", "/v1/rooms/a/users?namespace=/n&pageSize=2&pageToken=t&query=an", "",
		broker.UserQuery{Namespace: "/n", Room: "a", Query: "an", Page: broker.Page{Size: 2, Token: "t"}},
		`{"users":[{"user":"ana","sockets":3,"data":{"a":1}}],"nextPageToken":"","partial":false,"missingNodes":[]}`,
	},
	{
		"PresenceService.ListUsers", "GET", "/v1/users", "",
		broker.UserQuery{},
		`{"users":[{"user":"ana","sockets":3,"data":{"a":1}}],"nextPageToken":"","partial":false,"missingNodes":[]}`,
	},
	{
		"PresenceService.Count", "POST", "/v1/presence:count", `{"namespace":"/n","rooms":["a","b"]}`,
		countUsersCall{"/n", []string{"a", "b"}},
		`{"counts":[{"room":"a","users":1,"sockets":3}],"partial":false,"missingNodes":[]}`,
	},
	{
		"PresenceService.Online", "POST", "/v1/presence:online", `{"users":["ana"]}`,
		onlineCall{"", []string{"ana"}},
		`{"online":["ana"],"partial":false,"missingNodes":[]}`,
	},
	{
		"MessageService.Emit", "POST", "/v1/emit", `{"rooms":["a"],"event":"e","argsJson":"[1.0]","attachments":["AP8="]}`,
		emitCall{
			broker.Target{Rooms: []string{"a"}},
			broker.Message{Event: "e", Args: json.RawMessage("[1.0]"), Attachments: [][]byte{{0, 255}}},
		},
		`{"matched":4,"queued":4,"kept":0,"dropped":0,"partial":false,"missingNodes":[],"positions":[],"unrecordedRooms":[],"duplicate":false}`,
	},
	{
		"MessageService.Broadcast", "POST", "/v1/broadcast", `{"event":"e","args":["<b>",{"z":1}]}`,
		emitCall{broker.Target{Everyone: true}, broker.Message{Event: "e", Args: json.RawMessage(`["<b>",{"z":1}]`)}},
		`{"matched":4,"queued":4,"kept":0,"dropped":0,"partial":false,"missingNodes":[],"duplicate":false}`,
	},
	{
		"MessageService.EmitBatch", "POST", "/v1/emit:batch", `{"emits":[{"event":"e","rooms":["a"]}]}`,
		emitCall{broker.Target{Rooms: []string{"a"}}, broker.Message{Event: "e"}},
		`{"results":[{"matched":4,"queued":4,"kept":0,"dropped":0,"error":null,"partial":false,"missingNodes":[],"positions":[],"unrecordedRooms":[],"duplicate":false}]}`,
	},
	{
		"MessageService.EmitWithAck", "POST", "/v1/emit:ack", `{"rooms":["a"],"event":"e","args":[1],"timeout":"2s","minAcks":3}`,
		ackCall{
			broker.Target{Rooms: []string{"a"}},
			broker.Message{Event: "e", Args: json.RawMessage("[1]")},
			broker.AckOptions{Timeout: 2e9, MinAcks: 3, Owner: "admin"},
		},
		`{"result":{"summary":{"expected":4,"answered":0,"timedOut":4,"disconnected":0,"dropped":0,"partial":false,"missingNodes":[]}}}`,
	},
	{
		"SocketService.ListSockets", "GET", "/v1/sockets?room=a&user=u&query=10.", "",
		broker.SocketQuery{Room: "a", User: "u", Query: "10."},
		`{"sockets":[],"nextPageToken":"","partial":false,"missingNodes":[]}`,
	},
	{
		"SocketService.GetSocket", "GET", "/v1/sockets/s-_1", "",
		getSocketCall{"s-_1"},
		`{"socket":{"id":"s-_1","user":"","namespace":"","rooms":[],"address":"","transport":"","connectTime":null,"data":null,"node":"","state":"SOCKET_STATE_CONNECTED","session":null},"partial":false,"missingNodes":[]}`,
	},
	{
		"SocketService.Join", "POST", "/v1/sockets:join", `{"selector":{"users":["u"]},"rooms":["x"]}`,
		joinCall{broker.Target{Users: []string{"u"}}, []string{"x"}},
		`{"matched":4,"refused":0,"partial":false,"missingNodes":[]}`,
	},
	{
		"SocketService.Leave", "POST", "/v1/sockets:leave", `{"selector":{"users":["u"]},"rooms":["x"]}`,
		leaveCall{broker.Target{Users: []string{"u"}}, []string{"x"}},
		`{"matched":4,"partial":false,"missingNodes":[]}`,
	},
	{
		"SocketService.Update", "POST", "/v1/sockets:update", `{"selector":{"users":["u"]},"data":{"n":null}}`,
		updateCall{broker.Target{Users: []string{"u"}}, json.RawMessage(`{"n":null}`)},
		`{"matched":4,"partial":false,"missingNodes":[]}`,
	},
	{
		"SocketService.Disconnect", "POST", "/v1/sockets:disconnect", `{"selector":{"sockets":["s"]},"reason":"bye"}`,
		disconnectCall{broker.Target{Sockets: []string{"s"}}, "bye"},
		`{"matched":4,"partial":false,"missingNodes":[]}`,
	},
	{
		"ClusterService.ListNodes", "GET", "/v1/nodes", "",
		listNodesCall{},
		`{"nodes":[],"partial":false,"missingNodes":[]}`,
	},
	{
		"ObserveService.Explain", "GET", "/v1/explain?user=ana&namespace=/chat", "",
		broker.ExplainQuery{Namespace: "/chat", User: "ana"},
		`{"checks":[],"sockets":[],"problems":[],"messages":[],"partial":false,"missingNodes":[],"drops":[]}`,
	},
	{
		"ObserveService.ListGroups", "GET", "/v1/groups", "",
		listGroupsCall{},
		`{"groups":[{"name":"g","observes":false,"waiting":3,"unacknowledged":2,"members":[{"id":"n/1","node":"n","key":"shop","kinds":["EVENT_KIND_MESSAGE"],` +
			`"namespaces":["/chat"],"events":["e"],"decides":true,"credits":10,"waiting":3,"unacknowledged":2}]}],"partial":false,"missingNodes":[]}`,
	},
	{
		"ObserveService.GetStats", "GET", "/v1/stats?points=2", "",
		statsCall{2},
		`{"step":"10s","nodes":[{"node":"n","endTime":"2030-01-02T03:04:05Z","series":[{"name":"drops","label":"x","values":[0,1.5]}]}],"partial":false,"missingNodes":[]}`,
	},
	{
		"ObserveService.ListLimits", "GET", "/v1/limits?namespace=/chat", "",
		listLimitsCall{[]string{"/chat"}},
		`{"limits":[{"limit":"events","namespace":"/chat","user":"ana","address":"10.0.0.1","node":"n","count":3,"lastTime":"2030-01-02T03:04:05Z","firstTime":"2030-01-02T03:04:04Z"}],"partial":false,"missingNodes":[]}`,
	},
	{
		"ClusterService.Drain", "POST", "/v1/nodes/n-_1:drain", "",
		drainCall{"n-_1"},
		`{"node":{"id":"n-_1","version":"","sockets":0,"rooms":0,"state":"NODE_STATE_DRAINING","uptime":"0s"}}`,
	},
}

func TestEveryRESTPath(t *testing.T) {
	b := &fakeBroker{
		matched: 4,
		rooms:   []broker.RoomInfo{{Name: "a", Namespace: "/", Sockets: 2}},
		users:   []broker.PresentUser{{User: "ana", Sockets: 3, Data: json.RawMessage(`{"a":1}`)}},
		counts:  []broker.RoomCount{{Room: "a", Users: 1, Sockets: 3}},
		groups: []broker.GroupInfo{{Name: "g", Waiting: 3, Unacknowledged: 2, Members: []broker.GroupMember{{
			ID: "n/1", Node: "n", Waiting: 3, Unacknowledged: 2,
			SubscribeOptions: broker.SubscribeOptions{
				Owner: "shop", Kinds: []eventhub.Kind{eventhub.Message}, Namespaces: []string{"/chat"}, Events: []string{"e"}, Decide: true, Credits: 10,
			},
		}}}},
		stats: []broker.NodeStats{{
			Node: "n", End: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), Series: []stats.Series{{Name: "drops", Label: "x", Values: []float32{0, 1.5}}},
		}},
		limits: []outcome.LimitHit{{
			Limit: "events", Namespace: "/chat", User: "ana", Address: "10.0.0.1", Node: "n", Count: 3, First: time.Date(2030, 1, 2, 3, 4, 4, 0, time.UTC), Last: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
		}},
		messages: broker.MessagesPage{
			Messages: []broker.RoomMessage{{
				Offset: 6, Event: "e", Args: json.RawMessage("[1.0]"), Attachments: [][]byte{{0, 255}},
				Time: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), IdempotencyKey: "k",
			}},
			Position: history.Position{Epoch: "x", Offset: 6},
			Complete: true,
		},
	}
	h := start(t, b)
	for _, tt := range restRoutes {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			status, header, text := h.do(t, tt.method, tt.path, tt.body)
			contentType := "application/json"
			if strings.HasPrefix(tt.answer, `{"result":`) { // a stream, one line for each message
				contentType = "application/x-ndjson"
			}
			if status != 200 || text != tt.answer+"\n" || header.Get("Content-Type") != contentType {
				t.Errorf("%d %s %s\nwant %s", status, header.Get("Content-Type"), text, tt.answer)
			}
			if tt.asked == nil { // the server answers it
				wantCalls(t, b)
			} else {
				wantCalls(t, b, tt.asked)
			}
			for name := range header {
				if strings.HasPrefix(name, "Grpc-") {
					t.Errorf("the header %s leaks through", name)
				}
			}
			wantRESTError(t, h, tt.method, tt.path, tt.body, 401, apierror.ReasonAPIKeyRequired, "Authorization: Bearer <api key>",
				func(r *http.Request) { r.Header.Del("Authorization") })
			if calls := b.take(); calls != nil {
				t.Errorf("the broker was asked without a key: %v", calls)
			}
		})
	}
}

// A rule that is added to http.yaml needs a test above.
func TestRESTRoutesAreComplete(t *testing.T) {
	text, err := os.ReadFile("../proto/sala/v1/http.yaml")
	if err != nil {
		t.Fatal(err)
	}
	type rule struct {
		Selector           string
		Get, Post, Delete  string
		AdditionalBindings []rule `yaml:"additional_bindings"`
	}
	var service struct{ HTTP struct{ Rules []rule } }
	if err := yaml.Unmarshal(text, &service); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, r := range service.HTTP.Rules {
		for _, binding := range append(r.AdditionalBindings, r) {
			for method, path := range map[string]string{"GET": binding.Get, "POST": binding.Post, "DELETE": binding.Delete} {
				if path != "" {
					want = append(want, strings.TrimPrefix(r.Selector, "sala.v1.")+" "+method+" "+path)
				}
			}
		}
	}
	got := []string{"ObserveService.Tail GET /v1/events"} // TestTailOverREST; its answer has no end
	for _, route := range restRoutes {
		path, _, _ := strings.Cut(route.path, "?")
		path = strings.NewReplacer("/rooms/a", "/rooms/{room}", "/s-_1", "/{id}", "/n-_1", "/{id}").Replace(path)
		got = append(got, route.selector+" "+route.method+" "+path)
	}
	slices.Sort(want)
	slices.Sort(got)
	if len(want) < 10 || !slices.Equal(got, want) {
		t.Errorf("tested:\n%s\nin http.yaml:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Any name of a room works in a path, escaped as clients escape a path segment.
func TestRoomNamesInPaths(t *testing.T) {
	b := &fakeBroker{}
	h := start(t, b)
	for _, room := range []string{
		"plain", "chat:42", "a/b", "/", "a//b", "/a/", "a b", "100%", "%2F", "a%2fb", "año", "日本/語", "😀", "a?b#c", "a+b", "a&b=c",
		":clear", "x:clear", "x:y:clear", "a/b:clear", ".", "..", "a/../b", "clear", `"q"`, "a;b,c", "a@b", "~", "'", "\\",
	} {
		t.Run(room, func(t *testing.T) {
			escaped := url.PathEscape(room)
			if room == "." || room == ".." { // clients take these for directories
				escaped = strings.ReplaceAll(room, ".", "%2E")
			}
			for _, tt := range []struct {
				method, path string
				want         any
			}{
				{"GET", "/v1/rooms/" + escaped, getRoomCall{"", room}},
				{"POST", "/v1/rooms/" + escaped + ":clear", broker.ClearRoom{Room: room}},
				{"DELETE", "/v1/rooms/" + escaped, broker.ClearRoom{Room: room}},
				{"GET", "/v1/rooms/" + escaped + "/messages", broker.MessagesQuery{Room: room}},
				{"DELETE", "/v1/rooms/" + escaped + "/messages", clearMessagesCall{"", room}},
				{"GET", "/v1/rooms/" + escaped + "/users", broker.UserQuery{Room: room}},
			} {
				status, _, text := h.do(t, tt.method, tt.path, "")
				if status != 200 {
					t.Errorf("%s %s: %d %s", tt.method, tt.path, status, text)
				}
				if got := b.take(); !reflect.DeepEqual(got, []any{tt.want}) {
					t.Errorf("%s %s asked %+v, want %+v", tt.method, tt.path, got, tt.want)
				}
			}
		})
	}
}

// Characters that a path may hold bare are escaped by some clients and not by
// others.
func TestEscapingVariants(t *testing.T) {
	b := &fakeBroker{}
	h := start(t, b)
	for path, room := range map[string]string{
		"/v1/rooms/chat:42":          "chat:42",
		"/v1/rooms/chat%3A42":        "chat:42",
		"/v1/rooms/chat%3a42":        "chat:42",
		"/v1/rooms/%63hat":           "chat",
		"/v1/rooms/a+b":              "a+b",
		"/v1/rooms/a%2Bb":            "a+b",
		"/v1/rooms/x:clear":          "x:clear",
		"/v1/rooms/a%252Fb":          "a%2Fb",
		"/v1/rooms/a%20b?namespace=": "a b",
	} {
		status, _, text := h.do(t, "GET", path, "")
		if got := b.take(); status != 200 || !reflect.DeepEqual(got, []any{getRoomCall{"", room}}) {
			t.Errorf("GET %s: %d %s, asked %v", path, status, text, got)
		}
	}
}

func TestBadREST(t *testing.T) {
	b := &fakeBroker{}
	h := start(t, b)
	for _, tt := range []struct {
		name, method, path, body string
		status                   int
		reason, says             string
	}{
		{"unknown field", "POST", "/v1/emit", `{"rooms":["a"],"evnt":"e"}`, 400, "INVALID_ARGUMENT", "evnt: there is no such field; did you mean event?"},
		{"unknown field within", "POST", "/v1/sockets:join", `{"selector":{"rom":["a"]}}`, 400, "INVALID_ARGUMENT", "selector.rom: there is no such field; did you mean rooms?"},
		{"wrong type", "POST", "/v1/emit", `{"rooms":"a"}`, 400, "INVALID_ARGUMENT", `rooms: is the text "a"; a list is expected, such as ["a"]`},
		{"fraction of a count", "GET", "/v1/rooms?pageSize=1.5", "", 400, "INVALID_ARGUMENT", "pageSize"},
		{"negative count", "GET", "/v1/rooms?pageSize=-1", "", 400, "INVALID_ARGUMENT", "pageSize"},
		{"no JSON", "POST", "/v1/emit", `event=e`, 400, "INVALID_ARGUMENT", "the body isn't JSON: line 1, column 1: "},
		{"cut off", "POST", "/v1/emit", "{\n\"event\":\"e\"", 400, "INVALID_ARGUMENT", "the body isn't JSON: line 2, column 12: unexpected end"},
		{"two values", "POST", "/v1/emit", `{"event":"e"} {"event":"f"}`, 400, "INVALID_ARGUMENT", "the body isn't JSON: line 1, column 15: "},
		{"a field twice", "POST", "/v1/emit", `{"event":"e","event":"f"}`, 400, "INVALID_ARGUMENT", "event"},
		{"an array", "POST", "/v1/emit", `[]`, 400, "INVALID_ARGUMENT", "the body is a list; an object is expected, with args"},
		{"not UTF-8", "POST", "/v1/emit", "{\"event\":\"\xff\"}", 400, "INVALID_ARGUMENT", "event: isn't UTF-8"},
		{"no text at all", "POST", "/v1/emit", "\xff\xfe{\x00}\x00", 400, "INVALID_ARGUMENT", "the body is UTF-16"},
		{"gzip", "POST", "/v1/emit", "\x1f\x8b\x08\x00", 400, "INVALID_ARGUMENT", "the body is compressed by gzip"},
		{"bytes", "POST", "/v1/emit", "\xc0\x80", 400, "INVALID_ARGUMENT", "the body isn't JSON: line 1, column 1: "},
		{"Latin-1 outside of text", "POST", "/v1/emit", "{\"event\":\xe9}", 400, "INVALID_ARGUMENT", "the body isn't JSON: line 1, column 10: "},
		{"a name that isn't UTF-8", "POST", "/v1/emit", "{\"e\xe9\":1}", 400, "INVALID_ARGUMENT", "e\uFFFD: there is no such field"},
		{"text that isn't UTF-8 for a number", "POST", "/v1/emit:ack", "{\"minAcks\":\"\xff\"}", 400, "INVALID_ARGUMENT", "minAcks: is the text"},
		{"a byte order mark", "POST", "/v1/emit", "\ufeff{}", 400, "INVALID_ARGUMENT", "the body begins with a byte order mark"},
		{"nested too deep", "POST", "/v1/emit", `{"args":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`, 400, "INVALID_ARGUMENT", "args: is nested more than 1000 deep"},
		{"bad duration", "POST", "/v1/tokens", `{"user":"u","ttl":"soon"}`, 400, "INVALID_ARGUMENT", "soon"},
		{"zero ttl", "POST", "/v1/tokens", `{"user":"u","ttl":"0s"}`, 400, "INVALID_ARGUMENT", "ttl: "},
		{"both args", "POST", "/v1/emit", `{"args":[],"argsJson":"[]"}`, 400, "INVALID_ARGUMENT", "argsJson: "},
		{"unknown parameter", "GET", "/v1/rooms?page-size=5", "", 400, "INVALID_ARGUMENT", "page-size: there is no such parameter; did you mean pageSize?"},
		{"unknown nested parameter", "DELETE", "/v1/rooms/a?notice.evnt=e", "", 400, "INVALID_ARGUMENT", "notice.evnt: "},
		{"parameter of a POST", "POST", "/v1/emit?event=e", `{}`, 400, "INVALID_ARGUMENT", "event: is in the URL"},
		{"body of a DELETE", "DELETE", "/v1/rooms/a", `{"notice":{"event":"e"}}`, 400, "INVALID_ARGUMENT", "DELETE takes no body"},
		{"body of a GET", "GET", "/v1/rooms", `{"prefix":"a"}`, 400, "INVALID_ARGUMENT", "GET takes no body"},
		{"bad query", "GET", "/v1/rooms?prefix=%zz", "", 400, "INVALID_ARGUMENT", "URL"},
		{"query not UTF-8", "GET", "/v1/rooms?prefix=%ff", "", 400, "INVALID_ARGUMENT", "URL"},
		{"room not UTF-8", "GET", "/v1/rooms/%ff", "", 400, "INVALID_ARGUMENT", "URL"},
		{"unknown path", "GET", "/v1/room", "", 404, apierror.ReasonPathNotFound, "/openapi.json"},
		{"unknown verb", "POST", "/v1/rooms/a:burn", "", 405, apierror.ReasonMethodNotAllowed, "/openapi.json"},
		{"too many segments", "GET", "/v1/rooms/a/b", "", 404, apierror.ReasonPathNotFound, "/v1/rooms/a/b"},
		{"stream", "POST", "/v1/emit:stream", "", 404, apierror.ReasonPathNotFound, "/openapi.json"},
		{"outside", "GET", "/v2/rooms", "", 404, apierror.ReasonPathNotFound, "/v2/rooms"},
		{"root", "GET", "/", "", 404, apierror.ReasonPathNotFound, "/openapi.json"},
		{"wrong method", "GET", "/v1/emit", "", 405, apierror.ReasonMethodNotAllowed, "GET is not a method of /v1/emit"},
		{"wrong method with a body", "PUT", "/v1/emit", `{"event":"e"}`, 405, apierror.ReasonMethodNotAllowed, "PUT is not a method of /v1/emit"},
		{"wrong method of health", "POST", "/livez", "", 405, apierror.ReasonMethodNotAllowed, "POST"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantRESTError(t, h, tt.method, tt.path, tt.body, tt.status, tt.reason, tt.says)
			if calls := b.take(); calls != nil {
				t.Errorf("the broker was asked: %v", calls)
			}
		})
	}
}

func TestRESTAuthentication(t *testing.T) {
	b := &fakeBroker{}
	h := start(t, b)
	key := func(value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", value) }
	}
	wantRESTError(t, h, "GET", "/v1/rooms", "", 401, apierror.ReasonAPIKeyInvalid, "doesn't know this API key", key("Bearer wrong"))
	wantRESTError(t, h, "GET", "/v1/rooms", "", 401, apierror.ReasonAPIKeyRequired, "Bearer", key("Basic "+adminKey))
	wantRESTError(t, h, "POST", "/v1/emit", `{}`, 403, apierror.ReasonScopeDenied, `"emit"`, key("Bearer "+readerKey))
	wantRESTError(t, h, "GET", "/v1/rooms", "", 401, apierror.ReasonAPIKeyRequired, "Bearer", func(r *http.Request) {
		r.Header.Del("Authorization")
		r.Header.Set("Grpc-Metadata-Authorization", "Bearer "+adminKey)
	})
	if calls := b.take(); calls != nil {
		t.Errorf("the broker was asked: %v", calls)
	}
	_, header, _ := h.do(t, "GET", "/v1/rooms", "", key(""))
	if got := header.Get("WWW-Authenticate"); got != `Bearer realm="sala"` {
		t.Errorf("WWW-Authenticate: %s", got)
	}
	if status, _, _ := h.do(t, "GET", "/v1/rooms", "", key("Bearer "+readerKey)); status != 200 {
		t.Errorf("a key with the scope gets %d", status)
	}
}

func TestRESTFieldViolations(t *testing.T) {
	h := start(t, &fakeBroker{err: &broker.Error{
		Code: broker.CodeInvalidArgument, Reason: "INVALID_ARGUMENT", Message: "selector.rooms[0]: empty",
		Fields: []broker.FieldViolation{{Field: "selector.rooms[0]", Description: "empty"}},
	}})
	failed := wantRESTError(t, h, "POST", "/v1/sockets:leave", `{}`, 400, "INVALID_ARGUMENT", "selector.rooms[0]: empty")
	if got := failed.fields(); !slices.Equal(got, []string{"selector.rooms[0]"}) || failed.Code != 3 {
		t.Errorf("code %d, fields %v", failed.Code, got)
	}
}

func TestOversizedBodies(t *testing.T) {
	b := &fakeBroker{}
	h := start(t, b) // a request may have 100,000 + 1 MiB bytes, a body twice that
	const maxRequest = 100_000 + 1<<20
	fits := `{"rooms":["a"],"event":"e","argsJson":"[\"` + strings.Repeat("x", maxRequest-100) + `\"]"}`
	if status, _, text := h.do(t, "POST", "/v1/emit", fits); status != 200 {
		t.Errorf("a request at the limit: %d %s", status, text)
	}
	b.take()
	tooMuch := `{"rooms":["a"],"event":"e","argsJson":"[\"` + strings.Repeat("x", maxRequest) + `\"]"}`
	wantRESTError(t, h, "POST", "/v1/emit", tooMuch, 413, apierror.ReasonRequestTooLarge, "as a gRPC message")
	wantRESTError(t, h, "POST", "/v1/emit", strings.Repeat(" ", 2*maxRequest+1), 413, apierror.ReasonRequestTooLarge, "more than")
	if calls := b.take(); calls != nil {
		t.Errorf("the broker was asked")
	}
	// A form, which curl -d sends unless told otherwise, is read as JSON.
	status, _, text := h.do(t, "POST", "/v1/emit", `{"event":"e"}`, func(r *http.Request) {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	})
	if status != 200 {
		t.Errorf("curl's default type: %d %s", status, text)
	}
}

// A POST is a POST, whatever its headers say.
func TestMethodIsNotOverridden(t *testing.T) {
	b := &fakeBroker{}
	h := start(t, b)
	form := func(r *http.Request) {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("X-HTTP-Method-Override", "DELETE")
	}
	wantRESTError(t, h, "POST", "/v1/rooms", "", 405, apierror.ReasonMethodNotAllowed, "POST", form)
	wantRESTError(t, h, "POST", "/v1/rooms/a", "", 405, apierror.ReasonMethodNotAllowed, "POST", form)
	if calls := b.take(); calls != nil {
		t.Errorf("the broker was asked: %v", calls)
	}
}

package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// Errors of the gateway name fields as errors of the services do.
func TestFieldsThatCannotBeRead(t *testing.T) {
	b := &fakeBroker{}
	h := start(t, b)
	for _, tt := range []struct{ method, path, body, field, says string }{
		{"POST", "/v1/tokens", `{"ttl":"1h"}`, "ttl", `is the text "1h"; a duration in seconds is expected, such as "3600s"`},
		{"POST", "/v1/tokens", `{"ttl":"1h30m"}`, "ttl", `such as "5400s"`},
		{"POST", "/v1/tokens", `{"ttl":"250ms"}`, "ttl", `such as "0.25s"`},
		{"POST", "/v1/tokens", `{"ttl":90}`, "ttl", `is the number 90; a duration in seconds is expected, such as "90s"`},
		{"POST", "/v1/tokens", `{"ttl":"90"}`, "ttl", `such as "90s"`},
		{"POST", "/v1/tokens", `{"ttl":"999999999999s"}`, "ttl", "a duration in seconds is expected"},
		{"POST", "/v1/tokens", "{\n \"user\": \"añ😀o\", \"ttl\": true}", "ttl", "is true; a duration in seconds is expected"},
		{"POST", "/v1/tokens", `{"user":true}`, "user", "is true; text is expected"},
		{"POST", "/v1/tokens", `{"data":1e400}`, "data", "is 1e400, which is too large for a 64-bit float"},
		{"POST", "/v1/tokens", `{"data":{"a":[0,{"b":"\ud83d"}]}}`, "data", "data.a[1].b has half a character"},
		{"POST", "/v1/tokens:revoke", `{"issuedBefore":1700000000}`, "issuedBefore", `is the number 1700000000; a time is expected, such as "2026-01-31T12:00:00Z"`},
		{"POST", "/v1/tokens:revoke", `{"jti":"x"}`, "jti", "it can be one of issuedBefore, tokenId, user"},
		{"POST", "/v1/tokens:revoke", `{"token":"x"}`, "token", "did you mean tokenId?"},
		{"POST", "/v1/emit", `{"rooms":"lobby"}`, "rooms", `is the text "lobby"; a list is expected, such as ["lobby"]`},
		{"POST", "/v1/emit", `{"rooms":["a",1e400]}`, "rooms[1]", "is the number 1e400; text is expected"},
		{"POST", "/v1/emit", `{"rooms":["a",null]}`, "rooms[1]", "is null; text is expected"},
		{"POST", "/v1/emit", `{"rooms":["a"],"exceptRooms":["b", {}]}`, "exceptRooms[1]", "is an object; text is expected"},
		{"POST", "/v1/emit", `{"rooms":["a"],"except_rooms":[false]}`, "exceptRooms[0]", "is false"},
		{"POST", "/v1/emit", `{"rooms":["a"],"volatile":"yes"}`, "volatile", "true or false is expected"},
		{"POST", "/v1/emit", `{"room":"lobby"}`, "room", "there is no such field; did you mean rooms?"},
		{"POST", "/v1/emit", `{"User":"ana"}`, "User", "did you mean users?"},
		{"POST", "/v1/emit", `{"args-json":"[]"}`, "args-json", "did you mean argsJson?"},
		{"POST", "/v1/emit", `{"rooms":["a"],"evnt":"e"}`, "evnt", "did you mean event?"},
		{"POST", "/v1/emit", `{"rooms":["a"],"evetn":"e"}`, "evetn", "did you mean event?"},
		{"POST", "/v1/emit", `{"payload":1}`, "payload", "there is no such field; it can be one of args, argsJson"},
		{"POST", "/v1/emit", `{"` + strings.Repeat("x", 1000) + `":1}`, strings.Repeat("x", 40) + "…", "there is no such field"},
		{"POST", "/v1/emit", `{"event":"e","event":"f"}`, "event", "is there twice"},
		{"POST", "/v1/emit", `{"argsJson":"[]","args_json":"[]"}`, "argsJson", "is there twice"},
		{"POST", "/v1/emit", `{"event":"\ud83d"}`, "event", "has half a character"},
		{"POST", "/v1/emit", `{"event":"\udc4d\ud83d"}`, "event", "has half a character"},
		{"POST", "/v1/emit", `{"args":{"a":1}}`, "args", `is an object; a list is expected, such as [{"a":1}]`},
		{"POST", "/v1/emit", `{"args":"hello"}`, "args", `such as ["hello"]`},
		{"POST", "/v1/emit", `{"args":["\\ud83d","\ud83d\udc4d",{"x":"\ud83d\ud83d"}]}`, "args", "args[2].x has half a character"},
		{"POST", "/v1/emit", `{"args":[1,-1e999]}`, "args", "args[1] is -1e999"},
		{"POST", "/v1/emit", `{"attachments":["*"]}`, "attachments[0]", `is the text "*"; Base64 is expected`},
		{"POST", "/v1/emit", `{"report":"NONE"}`, "report", "one of REPORT_UNSPECIFIED, REPORT_COUNTS, REPORT_NONE is expected"},
		{"POST", "/v1/emit:ack", `{"minAcks":-1}`, "minAcks", "a whole number from 0 to 4294967295 is expected"},
		{"POST", "/v1/emit:batch", `{"emit":[]}`, "emit", "did you mean emits?"},
		{"POST", "/v1/emit:batch", `{"emits":{"event":"e"}}`, "emits", "is an object; a list is expected"},
		{"POST", "/v1/sockets:join", `{"selector":{"users":["u"],"rom":1}}`, "selector.rom", "did you mean rooms?"},
		{"POST", "/v1/sockets:join", `{"selector":{"users":[{"a":1}]}}`, "selector.users[0]", "is an object"},
		{"POST", "/v1/sockets:join", `{"users":["u"]}`, "users", "did you mean selector.users?"},
		{"POST", "/v1/sockets:join", `{"selector":"u"}`, "selector", "an object is expected, with exceptRooms"},
		{"POST", "/v1/rooms/a:clear", `{"notice":{"event":1}}`, "notice.event", "is the number 1"},
		{"GET", "/v1/rooms?pageSize=-1", "", "pageSize", `is "-1"; a whole number from 0 to 4294967295 is expected`},
		{"GET", "/v1/rooms?page_size=1e3", "", "pageSize", `is "1e3"`},
		{"GET", "/v1/rooms?page_sise=1", "", "page_sise", "there is no such parameter; did you mean pageSize?"},
		{"GET", "/v1/rooms?pageSize=1&pageSize=2", "", "pageSize", "is there 2 times"},
		{"GET", "/v1/rooms?prefix.a=1", "", "prefix.a", "prefix has no fields"},
		{"GET", "/v1/sockets?users=ana", "", "users", "did you mean user?"},
		{"DELETE", "/v1/rooms/a?disconnect=perhaps", "", "disconnect", "true or false"},
	} {
		failed := wantRESTError(t, h, tt.method, tt.path, tt.body, 400, "INVALID_ARGUMENT", "")
		if got := failed.fields(); !slices.Equal(got, []string{tt.field}) {
			t.Errorf("%s %s: fields %q, want %q; %s", tt.path, tt.body, got, tt.field, failed.Message)
			continue
		}
		for _, detail := range failed.Details {
			for _, v := range detail.FieldViolations {
				if !strings.Contains(v.Description, tt.says) || strings.Contains(v.Description, "line 1") {
					t.Errorf("%s %s: %q lacks %q", tt.path, tt.body, v.Description, tt.says)
				}
			}
		}
	}
	for _, body := range []string{"[]", "event=e", "5", "{", strings.Repeat("[", 5000)} {
		failed := wantRESTError(t, h, "POST", "/v1/emit", body, 400, "INVALID_ARGUMENT", "")
		if got := failed.fields(); got != nil {
			t.Errorf("%.10s: fields %q", body, got)
		}
	}
	if calls := b.take(); calls != nil {
		t.Errorf("the broker was asked: %v", calls)
	}
}

// Nothing in a request is silently outvoted by its path.
func TestPathAndRestDisagree(t *testing.T) {
	b := &fakeBroker{}
	h := start(t, b)
	for _, tt := range []struct{ method, path, body, field string }{
		{"POST", "/v1/rooms/a:clear", `{"room":"b"}`, "room"},
		{"DELETE", "/v1/rooms/a?room=b", "", "room"},
		{"GET", "/v1/rooms/a?room=b", "", "room"},
		{"GET", "/v1/sockets/a?id=b", "", "id"},
	} {
		failed := wantRESTError(t, h, tt.method, tt.path, tt.body, http.StatusBadRequest, "INVALID_ARGUMENT", tt.field+": ")
		if got := failed.fields(); !slices.Equal(got, []string{tt.field}) {
			t.Errorf("%s %s: fields %q", tt.method, tt.path, got)
		}
	}
	if calls := b.take(); calls != nil {
		t.Errorf("the broker was asked: %v", calls)
	}
	for _, path := range []string{"/v1/rooms/a:clear", "/v1/rooms/%61:clear"} {
		if status, _, text := h.do(t, "POST", path, `{"room":"a"}`); status != 200 {
			t.Errorf("the same name twice: %d %s", status, text)
		}
	}
}

// One bad event of a batch costs itself alone, and is named.
func TestBatchOverREST(t *testing.T) {
	b := &fakeBroker{matched: 1}
	h := start(t, b)
	for bad, says := range map[string]string{
		`{"event":"e","args":["\ud83d"]}`:        "emits[3].args: args[0] has half a character",
		`{"event":"\ud83d"}`:                     "emits[3].event: has half a character",
		`{"event":"e","args":[1e400]}`:           "emits[3].args: args[0] is 1e400",
		`{"event":"e","room":["a"]}`:             "emits[3].room: there is no such field; did you mean rooms?",
		`{"event":"e","rooms":"a"}`:              `emits[3].rooms: is the text "a"; a list is expected, such as ["a"]`,
		`{"event":5,"volatile":1}`:               `emits[3].event: is the number 5; text is expected, such as "5"; emits[3].volatile: is the number 1`,
		"{\"event\":\"\xff\"}":                   "emits[3].event: isn't UTF-8",
		`{"event":"e","args":[],"argsJson":"1"}`: "emits[3].args: args and argsJson are both set",
		`null`:                                   "emits[3] is null; an object is expected",
		`[]`:                                     "emits[3] is a list; an object is expected",
		`"e"`:                                    `emits[3] is the text "e"; an object is expected`,
	} {
		events := slices.Repeat([]string{`{"rooms":["a"],"event":"e"}`}, 10)
		events[3] = bad
		status, _, text := h.do(t, "POST", "/v1/emit:batch", `{"emits":[`+strings.Join(events, ",")+`]}`)
		var resp struct {
			Results []struct {
				Queued int
				Error  *struct {
					Code            int
					Reason, Message string
				}
			}
		}
		if err := json.Unmarshal([]byte(text), &resp); err != nil || status != 200 || len(resp.Results) != 10 {
			t.Errorf("%s: %d %s", bad, status, text)
			continue
		}
		for i, result := range resp.Results {
			if failed := result.Error != nil; failed != (i == 3) || result.Queued == 1 == failed {
				t.Errorf("%s: result %d is %+v", bad, i, result)
			}
		}
		if failed := resp.Results[3].Error; failed == nil || failed.Code != 3 || failed.Reason != "INVALID_ARGUMENT" || !strings.HasPrefix(failed.Message, says) {
			t.Errorf("%s: %+v, want %q", bad, failed, says)
		}
		if calls := b.take(); len(calls) != 9 {
			t.Errorf("%s: %d were sent", bad, len(calls))
		}
	}
	wantRESTError(t, h, "POST", "/v1/emit:batch", `{"emits":[{"event":"e"},{]}`, 400, "INVALID_ARGUMENT", "the body isn't JSON: line 1, column 26: ")
	many := `{"emits":[{"event":1}` + strings.Repeat(",{}", maxBatch) + `]}`
	wantRESTError(t, h, "POST", "/v1/emit:batch", many, 400, "INVALID_ARGUMENT", "emits[0].event: ")
	if calls := b.take(); calls != nil {
		t.Errorf("the broker was asked: %v", calls)
	}
}

// Names of JSON stand in errors of the services too.
func TestErrorsNameFieldsAsJSONDoes(t *testing.T) {
	h := startReal(t)
	for _, tt := range []struct{ method, path, body, says string }{
		{"GET", "/v1/rooms?pageSize=5000", "", "pageSize: 5000 is not between 1 and 1000"},
		{"POST", "/v1/emit", `{"rooms":["a"],"event":"e","argsJson":"{}"}`, "argsJson: "},
		{"POST", "/v1/emit", `{"rooms":["a"],"exceptSockets":[""],"event":"except_rooms"}`, "exceptSockets[0]: "},
		{"POST", "/v1/emit:ack", `{"rooms":["a"],"event":"e","argsJson":"{}"}`, "argsJson: "},
		{"POST", "/v1/tokens:revoke", `{"user":"a","tokenId":"b"}`, "user: tokenId and user are both set"},
		{"POST", "/v1/sockets:join", `{"selector":{"exceptRooms":[""]},"rooms":["a"]}`, "selector.exceptRooms[0]: "},
	} {
		failed := wantRESTError(t, h, tt.method, tt.path, tt.body, 400, "INVALID_ARGUMENT", tt.says)
		if field, _, _ := strings.Cut(tt.says, ":"); !slices.Contains(failed.fields(), field) {
			t.Errorf("%s %s: fields %q", tt.path, tt.body, failed.fields())
		}
	}
}

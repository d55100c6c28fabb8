package api

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// What the gateway can't read is named as what the services can't take is.
func TestFieldsThatCannotBeRead(t *testing.T) {
	b := &fakeBroker{}
	h := start(t, b)
	for _, tt := range []struct{ method, path, body, field, says string }{
		{"POST", "/v1/tokens", `{"ttl":"999999999999s"}`, "ttl", `a duration is text such as "3600s"`},
		{"POST", "/v1/tokens", `{"ttl":3600}`, "ttl", `a duration is text such as "3600s"`},
		{"POST", "/v1/tokens", "{\n \"user\": \"añ😀o\", \"ttl\": true}", "ttl", `a duration is text such as "3600s"`},
		{"POST", "/v1/emit", `{"rooms":"a"}`, "rooms", ""},
		{"POST", "/v1/emit", `{"rooms":["a",5]}`, "rooms[1]", ""},
		{"POST", "/v1/emit", `{"rooms":["a"],"exceptRooms":["b", {}]}`, "except_rooms[1]", ""},
		{"POST", "/v1/emit", `{"rooms":["a"],"volatile":"yes"}`, "volatile", ""},
		{"POST", "/v1/emit", `{"rooms":["a"],"evnt":"e"}`, "evnt", "unknown field"},
		{"POST", "/v1/emit", `{"event":"e","event":"f"}`, "event", ""},
		{"POST", "/v1/emit", `{"args":{"a":1}}`, "args", ""},
		{"POST", "/v1/emit:batch", `{"emits":[{"event":"e"},{"event":"e","exceptSockets":[1]}]}`, "emits[1].except_sockets[0]", ""},
		{"POST", "/v1/sockets:join", `{"selector":{"users":["u"],"rom":1}}`, "selector.rom", "unknown field"},
		{"POST", "/v1/sockets:join", `{"selector":{"users":[{"a":1}]}}`, "selector.users[0]", ""},
		{"POST", "/v1/rooms/a:clear", `{"notice":{"event":1}}`, "notice.event", ""},
		{"GET", "/v1/rooms?pageSize=-1", "", "page_size", `"-1" can't be read: a count is written in digits`},
		{"GET", "/v1/rooms?page_size=1e3", "", "page_size", `"1e3" can't be read`},
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

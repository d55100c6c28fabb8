package api

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/api/explain"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// FuzzREST: no request makes the broker fail. Whatever it is, the answer is not
// INTERNAL, and the log has no error because of it.
func FuzzREST(f *testing.F) {
	for _, seed := range [][4]string{
		{"POST", "/v1/tokens", "", `{"user":"ana","ttl":"60s","join":["a:**"],"data":{"a":[1e999]}}`},
		{"POST", "/v1/tokens:verify", "", `{"token":"a.b.c"}`},
		{"POST", "/v1/tokens:revoke", "", `{"user":"ana","issuedBefore":"2026-01-01T00:00:00Z"}`},
		{"POST", "/v1/emit", "", `{"rooms":["a"],"event":"e","args":[{"_placeholder":true,"num":0}],"attachments":["AQID"]}`},
		{"POST", "/v1/emit", "", `{"rooms":["a"],"event":"e","argsJson":"[1,{\"a\":[]}]","volatile":true}`},
		{"POST", "/v1/emit:batch", "", `{"emits":[{"users":["u"],"event":"e"},{}]}`},
		{"POST", "/v1/emit:ack", "", `{"rooms":["a"],"event":"e","timeout":"0.5s","minAcks":3}`},
		{"POST", "/v1/broadcast", "", `{"event":"\ud800","args":null}`},
		{"GET", "/v1/rooms", "namespace=/chat&pageSize=1&pageToken=AAAA", ""},
		{"GET", "/v1/rooms/a%2Fb", "", ""},
		{"POST", "/v1/rooms/a:clear", "", `{"notice":{"event":"x"},"room":"b"}`},
		{"DELETE", "/v1/rooms/%ff", "disconnect=perhaps", ""},
		{"GET", "/v1/sockets", "user=ana&room=a;b", ""},
		{"POST", "/v1/sockets:update", "", `{"selector":{"users":["a"]},"data":{"x":{}}}`},
		{"POST", "/v1/sockets:disconnect", "", `{"selector":{},"reason":"` + strings.Repeat("r", 300) + `"}`},
		{"POST", "/v1/emit", "", `{"rooms":["remembered:a"],"event":"e","args":[1],"idempotencyKey":"k","conflateKey":"c","skipHistory":false}`},
		{"GET", "/v1/rooms/remembered:a/messages", "last=3", ""},
		{"GET", "/v1/rooms/remembered:a/messages", "since.epoch=AAAA.1&since.offset=18446744073709551615&direction=DIRECTION_BACKWARD&limit=2", ""},
		{"DELETE", "/v1/rooms/remembered:a/messages", "namespace=/chat", ""},
		{"GET", "/v1/rooms/a/users", "pageSize=2&pageToken=AAAA", ""},
		{"GET", "/v1/users", "", ""},
		{"POST", "/v1/presence:count", "", `{"rooms":["a","a",""]}`},
		{"POST", "/v1/presence:online", "", `{"users":["ana",7]}`},
		{"GET", "/v1/nodes", "x=%zz", ""},
		{"PUT", "/v1/emit", "", strings.Repeat("[", 2000)},
		{"GET", "/readyz", "local=1", "x"},
	} {
		f.Add(seed[0], seed[1], seed[2], "X-Http-Method-Override", "DELETE", []byte(seed[3]))
	}
	log := &syncBuffer{}
	h := startReal(f, func(c *Config) {
		c.Logger = slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelError}))
	})
	f.Fuzz(func(t *testing.T, method, path, query, header, value string, body []byte) {
		target, err := url.Parse(path)
		if err != nil || !strings.HasPrefix(target.Path, "/") {
			return
		}
		target.RawQuery = query
		r := &http.Request{
			Method: method, URL: target, Host: "x", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, RemoteAddr: "192.0.2.1:1",
			Header: http.Header{}, Body: http.NoBody, RequestURI: target.RequestURI(),
		}
		r.Header.Set(header, value)
		r.Header.Set("Authorization", "Bearer "+adminKey)
		if len(body) > 0 {
			r.Body, r.ContentLength = readCloser{bytes.NewReader(body)}, int64(len(body))
		}
		w := httptest.NewRecorder()
		h.server.HTTPHandler().ServeHTTP(w, r.WithContext(timeout(t)))
		var failed struct{ Code codes.Code }
		_ = json.Unmarshal(w.Body.Bytes(), &failed) // not every answer is JSON
		if failed.Code == codes.Internal || failed.Code == codes.Unknown || w.Code == http.StatusInternalServerError {
			t.Errorf("%s %s %q: %d %s", method, target, body, w.Code, w.Body)
		}
		if text := log.take(); text != "" {
			t.Errorf("%s %s %q: the log says %s", method, target, body, text)
		}
	})
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

// FuzzArguments: what arguments look like after they were a protobuf list is what
// they were, and no text makes the conversion fail halfway.
func FuzzArguments(f *testing.F) {
	for _, seed := range []string{`[]`, `[1,"a",null,{"b":[true]}]`, `[1e999]`, `["\ud800"]`, `{}`, `[`, strings.Repeat("[", 300) + strings.Repeat("]", 300)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		list := jsonList(text)
		again, err := listJSON("args", list)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		var was, is any
		if list != nil && (json.Unmarshal(text, &was) != nil || json.Unmarshal(again, &is) != nil) {
			t.Errorf("%q became %q", text, again)
		}
		wasText, _ := json.Marshal(was)
		if isText, _ := json.Marshal(is); list != nil && was != nil && !bytes.Equal(wasText, isText) {
			t.Errorf("%q became %q", wasText, isText)
		}
		_ = jsonValue(text)
	})
}

// FuzzRefusals: whatever can't be decoded, from the wire or from JSON, is refused
// with a reason in UTF-8 that doesn't grow with what was sent.
func FuzzRefusals(f *testing.F) {
	for _, seed := range []string{
		"\x0a\x04\x0a\x02a\xff", "\x12\x05\x0a\x01\xff\x12\x00", "\x2a\x09\x0a\x017\x12\x04\x0a\x02\xc3(", "\x0a\xff", "\xff\x07\x00", "\x8d\x8d\x8d\x8900000",
		`{"emits":[{"event":"a","args":["\ud83d"]},{"room":1e400},5]}`, `{"user":1,"ttl":"1h","data":{"a":[1e999]}}`, "{\"\xff\":[", `[]`, `{"emits":[{}],"emits":[]}`,
	} {
		f.Add([]byte(seed))
	}
	m := &marshaler{JSONPb: runtime.JSONPb{UnmarshalOptions: protojson.UnmarshalOptions{RecursionLimit: explain.MaxJSONDepth}}}
	f.Fuzz(func(t *testing.T, data []byte) {
		check := func(why error) {
			if text := why.Error(); !utf8.ValidString(apierror.Classify(why).Status().Message()) || len(text) > 10_000 {
				t.Errorf("%q is refused with %d bytes: %q", data, len(text), text)
			}
		}
		for _, message := range []proto.Message{
			&salav1.EmitRequest{}, &salav1.EmitBatchRequest{}, &salav1.EmitStreamRequest{}, &salav1.SubscribeRequest{}, &salav1.IssueTokenRequest{},
		} {
			refusals := func() (all []error) {
				if why := refusalOf(message); why != nil {
					all = append(all, why)
				}
				batch, _ := message.(*salav1.EmitBatchRequest)
				for _, emit := range batch.GetEmits() {
					if why := refusalOf(emit); why != nil {
						all = append(all, why)
					}
				}
				return all
			}
			if proto.Unmarshal(data, message) != nil {
				salvage(data, message, nil)
				all := refusals()
				if len(all) == 0 {
					t.Errorf("%q is no %T, and isn't refused", data, message)
				}
				for _, why := range all {
					check(why)
				}
			}
			proto.Reset(message)
			if why := m.unmarshal(data, message); why != nil {
				check(why)
			}
			for _, why := range refusals() {
				check(why)
			}
		}
	})
}

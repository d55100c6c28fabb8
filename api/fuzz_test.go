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

	"google.golang.org/grpc/codes"
)

// FuzzREST: no request makes the broker fail. Whatever it is, the answer is not
// INTERNAL, and nothing of its doing stands in the log as an error.
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

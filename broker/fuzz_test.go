package broker_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/history"
)

// FuzzSession: whatever a client says after its handshake, over long-polling,
// nothing panics, and its token stays out of the log.
func FuzzSession(f *testing.F) {
	for _, seed := range []string{
		`42["join",{"room":"a"}]`, `42["say",{"room":"a"}]`, "421[\"join\",\"a\"]\x1e422[\"leave\",\"a\"]", `42["sala:token",{"token":"x.y.z"}]`, "40/chat,{}", "40", "41",
		"451-[\"say\",{\"_placeholder\":true,\"num\":0}]\x1ebAQID", "431[1]", "3",
		`421["join",{"room":"a","last":3}]`, `421["join",{"room":"a","since":{"epoch":"AAAA.1","offset":9007199254740991}}]`,
		"42[\"say\",{\"room\":\"a\"}]\x1e422[\"join\",{\"room\":\"a\",\"last\":1e3,\"presence\":true}]",
		"451-[\"say\",{\"room\":\"a\"},{\"_placeholder\":true,\"num\":0}]\x1ebAQID\x1e42[\"say\",{\"room\":\"a\",\"_placeholder\":true}]\x1e422[\"join\",{\"room\":\"a\",\"last\":9}]",
		"2probe", "6", "4", `42["$TOKEN"]`, `40/$TOKEN,{"token":"$TOKEN"}`, `42["sala:token","$TOKEN`, `451-["say",{"_placeholder":true,"num":$TOKEN}]`,
	} {
		f.Add(seed)
	}
	var log safeBuffer
	node := brokertest.Start(f, broker.Options{
		Namespaces: []string{"/", "/chat"},
		Relay:      []broker.RelayRule{{Event: "say", Emit: "said", To: broker.RelayToRoom, RoomField: "room"}},
		History: &broker.HistoryOptions{
			Rules:  history.Rules{{Namespace: "/", Rooms: "a", Messages: 10, TTL: time.Minute}},
			Engine: history.NewMemory(history.MemoryOptions{}),
		},
		Rooms:          broker.RoomEvents{JoinEvent: "join", LeaveEvent: "leave", PresenceRooms: []string{"a"}, PresenceEvent: "presence"},
		ConnectTimeout: time.Second,
		Logger:         slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	everything := brokertest.Everything
	everything.History, everything.Presence = []string{"**"}, []string{"**"}
	token := node.Token("ana", everything)
	secret := token[strings.LastIndexByte(token, '.'):]
	handler := node.Handler()
	f.Fuzz(func(t *testing.T, payload string) {
		log.reset()
		call := func(method, query, body string) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequest(method, "/socket.io/?EIO=4&transport=polling"+query, bytes.NewReader([]byte(body))))
			return w
		}
		id := regexp.MustCompile(`"sid":"([^"]+)"`).FindStringSubmatch(call(http.MethodGet, "", "").Body.String())
		if id == nil {
			t.Fatal("there is no session")
		}
		session := "&sid=" + id[1]
		call(http.MethodPost, session, `40{"token":"`+token+`"}`)
		call(http.MethodPost, session, strings.ReplaceAll(payload, "$TOKEN", token))
		call(http.MethodPost, session, "1")
		if text := log.String(); strings.Contains(text, "panic") || strings.Contains(text, secret) {
			t.Errorf("%q: the log says %s", payload, text)
		}
	})
}

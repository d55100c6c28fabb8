package forward

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

func message() *salav1.ClientEvent {
	return &salav1.ClientEvent{
		DeliveryId: "7", Kind: salav1.EventKind_EVENT_KIND_MESSAGE, Namespace: "/", Event: "say", ArgsJson: `[12345678901234567890]`,
		NeedsAck: true, Time: timestamppb.New(time.Unix(1, 0)), TraceContext: "00-a-b-01",
		Socket: &salav1.EventSocket{Id: "S", User: "ana", AuthJson: `{"lang":"es"}`, Data: structpb.NewStringValue("d")},
	}
}

// serve returns a target whose requests the handler answers.
func serve(t *testing.T, signer *Signer, handler http.HandlerFunc) *Target {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	at, err := url.Parse(server.URL + "/hook?key=hidden")
	if err != nil {
		t.Fatal(err)
	}
	target := NewTarget(at, "sala", signer, time.Second, 2, nil)
	t.Cleanup(target.Close)
	return target
}

func TestCloudEvent(t *testing.T) {
	body, err := encode(message(), "sala")
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		SpecVersion, ID, Source, Type, Subject, Time, TraceParent string
		Data                                                      struct {
			Event    string
			Args     json.RawMessage
			NeedsAck bool
			Socket   struct {
				ID, User string
				Auth     map[string]string
				AuthJSON *string
				Data     string
			}
		}
	}
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	if got.SpecVersion != "1.0" || got.ID != "7" || got.Source != "sala" || got.Type != "sala.message" || got.Subject != "S" ||
		got.Time != "1970-01-01T00:00:01Z" || got.TraceParent != "00-a-b-01" {
		t.Errorf("attributes: %s", body)
	}
	if d := got.Data; d.Event != "say" || string(d.Args) != `[12345678901234567890]` || !d.NeedsAck ||
		d.Socket.User != "ana" || d.Socket.Auth["lang"] != "es" || d.Socket.AuthJSON != nil || d.Socket.Data != "d" {
		t.Errorf("data: %s", body)
	}
}

func TestDeliverRetries(t *testing.T) {
	signer, err := NewSigner("whsec_c2VjcmV0IG9mIHR3ZW50eS1mb3VyIGJ5dGVz")
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	target := serve(t, signer, func(w http.ResponseWriter, r *http.Request) {
		calls++
		if r.Header.Get("Webhook-Id") != "7" || !strings.HasPrefix(r.Header.Get("Webhook-Signature"), "v1,") || r.Header.Get("Content-Type") != contentType {
			t.Errorf("headers %v", r.Header)
		}
		switch calls {
		case 1:
			http.Error(w, "later", http.StatusServiceUnavailable)
		case 2:
			w.WriteHeader(http.StatusTooManyRequests)
		default:
			_, _ = w.Write([]byte(`{"args": [1]}`))
		}
	})
	retries := 0
	answer, err := target.deliver(t.Context(), message(), func(error) { retries++ })
	if err != nil || string(answer) != `{"args": [1]}` || retries != 2 {
		t.Errorf("%q (%v) after %d retries", answer, err, retries)
	}
}

func TestDeliverGivesUp(t *testing.T) {
	for code, final := range map[int]bool{http.StatusTemporaryRedirect: true, http.StatusBadRequest: true, http.StatusGone: true, http.StatusBadGateway: false} {
		calls := 0
		ctx, cancel := context.WithCancel(t.Context())
		target := serve(t, nil, func(w http.ResponseWriter, r *http.Request) {
			calls++
			w.Header().Set("Location", r.URL.String())
			w.WriteHeader(code)
		})
		_, err := target.deliver(ctx, message(), func(error) { cancel() })
		if err == nil || calls != 1 || (ctx.Err() == nil) != final || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%d: %v after %d calls", code, err, calls)
		}
		cancel()
	}
}

func TestErrorsDontNameTheURL(t *testing.T) {
	target := serve(t, nil, func(w http.ResponseWriter, _ *http.Request) {
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_ = conn.Close()
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	_, err := target.deliver(ctx, message(), func(error) { cancel() })
	if err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("the error is %v", err)
	}
}

func TestAnswers(t *testing.T) {
	ack, connect, plain := message(), &salav1.ClientEvent{DeliveryId: "8", NeedsDecision: true}, &salav1.ClientEvent{DeliveryId: "9"}
	for _, tt := range []struct {
		event *salav1.ClientEvent
		body  string
		want  string // part of the request, "" for none, "!" for an error
	}{
		{ack, ``, `args_json:"[]"`},
		{ack, `{}`, `args_json:"[]"`},
		{ack, `{"args":[1,{"a":"ñ"}]}`, `args_json:"[1,{\"a\":\"ñ\"}]"`},
		{ack, `{"args":[{"_placeholder":true,"num":0}],"attachments":["aGk="]}`, `attachments:"hi"`},
		{ack, `{"error":{"code":"NO","message":"no"}}`, `code:"NO"`},
		{ack, "{\"args\":[\"\xff\"]}", "\uFFFD"},
		{ack, `{"error":{"message":"no"}}`, "!"},
		{ack, `{"error":{"code":"X"},"args":[]}`, "!"},
		{ack, `{"args":1}`, "!"},
		{ack, `{"arguments":[1]}`, "!"},
		{ack, `{"accept":{}}`, "!"},
		{ack, `<html>`, "!"},
		{ack, `{} {}`, "!"},
		{connect, `{"accept":{}}`, `accept:{}`},
		{connect, `{"accept":{"rooms":["a"],"data":{"plan":"pro"}}}`, `rooms:"a"`},
		{connect, `{"refuse":{"code":"BANNED","message":"out"}}`, `code:"BANNED"`},
		{connect, ``, "!"},
		{connect, `{}`, "!"},
		{connect, `{"accept":{},"refuse":{"code":"X"}}`, "!"},
		{connect, `{"args":[]}`, "!"},
		{plain, `<html>`, ""},
	} {
		request, err := parseAnswer(tt.event, []byte(tt.body))
		switch text := strings.ReplaceAll(request.String(), ": ", ":"); {
		case tt.want == "!":
			if err == nil {
				t.Errorf("%s: %s", tt.body, text)
			}
		case err != nil:
			t.Errorf("%s: %v", tt.body, err)
		case tt.want == "" && request != nil, tt.want != "" && !strings.Contains(text, tt.want):
			t.Errorf("%s became %s, want %s", tt.body, text, tt.want)
		}
	}
}

func TestSigner(t *testing.T) {
	for _, secret := range []string{"", "short", "whsec_no base64", "whsec_c2hvcnQ="} {
		if _, err := NewSigner(secret); err == nil {
			t.Errorf("%q was accepted", secret)
		}
	}
	s, err := NewSigner("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
	if err != nil {
		t.Fatal(err)
	}
	headers := func(id string, at int64, body string) string {
		h := http.Header{}
		s.sign(h, id, time.Unix(at, 0), []byte(body))
		return h.Get("Webhook-Signature")
	}
	first := headers("a", 1, "b")
	for _, other := range []string{headers("a", 1, "c"), headers("a", 2, "b"), headers("b", 1, "b")} {
		if other == first {
			t.Error("the signature doesn't depend on the id, the time and the body")
		}
	}
}

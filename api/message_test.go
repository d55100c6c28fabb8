package api

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/history"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// An error names the field of a request for messages that is at fault.
func TestListMessagesRefuses(t *testing.T) {
	h := startReal(t)
	client := salav1.NewRoomServiceClient(h.conn)
	for _, tt := range []struct {
		name string
		req  *salav1.ListMessagesRequest
		says string
	}{
		{"no room", &salav1.ListMessagesRequest{}, "room: "},
		{"negative last", &salav1.ListMessagesRequest{Room: "a", Last: -1}, "last: -1 is not between 1 and 1000"},
		{"huge last", &salav1.ListMessagesRequest{Room: "a", Last: 1 << 30}, "last: 1073741824 is not between 1 and 1000"},
		{"negative limit", &salav1.ListMessagesRequest{Room: "a", Limit: -1}, "limit: -1 is not between 1 and 1000"},
		{"last and since", &salav1.ListMessagesRequest{Room: "a", Last: 1, Since: &salav1.Position{Epoch: "x"}}, "since: is only allowed without last"},
		{"last and limit", &salav1.ListMessagesRequest{Room: "a", Last: 1, Limit: 1}, "limit: is only allowed without last"},
		{"last and direction", &salav1.ListMessagesRequest{Room: "a", Last: 1, Direction: salav1.Direction_DIRECTION_BACKWARD}, "direction: is only allowed without last"},
		{"no epoch", &salav1.ListMessagesRequest{Room: "a", Since: &salav1.Position{Offset: 1}}, "since.epoch: an epoch can't be empty"},
		{"unknown direction", &salav1.ListMessagesRequest{Room: "a", Direction: 7}, "direction: 7 is none of DIRECTION_UNSPECIFIED"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := client.ListMessages(as(t, adminKey), tt.req)
			wantStatus(t, err, codes.InvalidArgument, broker.ReasonInvalidArgument, tt.says)
		})
	}
	for path, says := range map[string]string{
		"last=1.5":                           "last",
		"last=-1":                            "last: -1 is not between",
		"last=99999999999":                   "a whole number from -2147483648 to 2147483647 is expected",
		"before=3":                           "there is no such parameter; it can be one of direction, last, limit, namespace, room, since",
		"since.epoch=x&since.offset=-1":      "since.offset: is \"-1\"; a whole number from 0 to 18446744073709551615 is expected",
		"since=x":                            "since",
		"since.offset=1":                     "since.epoch: an epoch can't be empty",
		"since.epoch=x&since.ofset=1":        "did you mean",
		"direction=backward":                 "direction",
		"last=1&since.epoch=x":               "since: is only allowed without last",
		"since.epoch=x&since.epoch=y&last=1": "is there 2 times",
	} {
		wantRESTError(t, h, http.MethodGet, "/v1/rooms/a/messages?"+path, "", 400, broker.ReasonInvalidArgument, says)
	}
}

// A room without a history is an error, not an empty list.
func TestRoomWithoutHistory(t *testing.T) {
	h := startReal(t)
	wantRESTError(t, h, http.MethodGet, "/v1/rooms/a%2Fb/messages?last=1", "", 400, broker.ReasonHistoryDisabled, `the room "a/b" of the namespace "/" has no history`)
	wantRESTError(t, h, http.MethodDelete, "/v1/rooms/a/messages", "", 400, broker.ReasonHistoryDisabled, "has no history")
	wantRESTError(t, h, http.MethodGet, "/v1/rooms/a/messages?namespace=/none", "", 404, broker.ReasonNamespaceNotFound, "/none")
}

// Arguments that a message doesn't have are an empty array, and a page without messages
// still has a position.
func TestListMessagesEmpty(t *testing.T) {
	b := &fakeBroker{messages: broker.MessagesPage{Messages: []broker.RoomMessage{{Offset: 1, Event: "e"}}}}
	client := salav1.NewRoomServiceClient(start(t, b).conn)
	resp, err := client.ListMessages(as(t, adminKey), &salav1.ListMessagesRequest{Room: "a"})
	if err != nil || resp.GetMessages()[0].GetArgsJson() != "[]" {
		t.Errorf("%v, %v", resp, err)
	}
	b.messages = broker.MessagesPage{Position: history.Position{Epoch: "x", Offset: 9}, Complete: true}
	resp, err = client.ListMessages(as(t, adminKey), &salav1.ListMessagesRequest{Room: "a"})
	if err != nil {
		t.Fatal(err)
	}
	wantProto(t, resp, &salav1.ListMessagesResponse{Epoch: "x", Offset: 9, Complete: true})
}

// Answers over REST hold room until they are written: a key whose answers nobody reads is refused,
// and another key is not.
func TestAnswersThatNobodyReads(t *testing.T) {
	const bytes = 15 << 20 // more than the kernel takes
	page := broker.MessagesPage{Messages: []broker.RoomMessage{{Event: "e", Args: []byte(`["` + strings.Repeat("x", bytes) + `"]`)}}}
	other := "another-key-of-the-tests"
	h := start(t, &fakeBroker{messages: page}, func(c *Config) { c.Keys = append(c.Keys, mustKey(t, "other="+other)) })
	read := func(key string) (status string) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(h.rest.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_, err = io.WriteString(conn, "GET /v1/rooms/a/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+key+"\r\n\r\n")
		if err == nil {
			status, err = bufio.NewReaderSize(conn, 16).ReadString('\r')
		}
		if err != nil {
			t.Fatal(err)
		}
		return status
	}
	first, second := read(adminKey), read(adminKey)
	third := read(adminKey)
	if !strings.Contains(first, "200") || !strings.Contains(second, "200") || !strings.Contains(third, "429") {
		t.Errorf("one key gets %q, %q, %q", first, second, third)
	}
	if got := read(other); !strings.Contains(got, "200") {
		t.Errorf("another key gets %q", got)
	}
}

package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/salabroker/sala/broker"
)

func TestPresenceRefuses(t *testing.T) {
	h := startReal(t)
	rooms := make([]string, 10_000)
	for i := range rooms {
		rooms[i] = fmt.Sprintf(`"r%d"`, i)
	}
	for _, tt := range []struct {
		path, body string
		status     int
		reason     string
		says       string
	}{
		{"presence:count", `{"rooms":[` + strings.Join(rooms, ",") + `]}`, 400, broker.ReasonInvalidArgument, "rooms: there are 10000; at most 1000 are allowed"},
		{"presence:count", `{"rooms":["a",""]}`, 400, broker.ReasonInvalidArgument, "rooms[1]: a room's name can't be empty"},
		{"presence:count", `{"rooms":["a"],"namespace":"/none"}`, 404, broker.ReasonNamespaceNotFound, "/none"},
		{"presence:online", `{}`, 400, broker.ReasonInvalidArgument, "users: name 1 to 1000 users"},
		{"presence:online", `{"users":[` + strings.Join(rooms[:1001], ",") + `]}`, 400, broker.ReasonInvalidArgument, "users: there are 1001; at most 1000 are allowed"},
		{"presence:online", `{"users":["` + strings.Repeat("u", 256) + `"]}`, 400, broker.ReasonInvalidArgument, "users[0]: a user's name has at most 255 bytes"},
	} {
		wantRESTError(t, h, http.MethodPost, "/v1/"+tt.path, tt.body, tt.status, tt.reason, tt.says)
	}
}

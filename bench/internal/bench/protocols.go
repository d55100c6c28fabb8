package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/salabroker/sala/bench/load"
)

// The names of protocols.
const (
	protocolSocketIO   = "socket.io"
	protocolSessions   = "socket.io with sessions"
	protocolCentrifuge = "centrifuge"
	protocolFloor      = "floor"
)

// newProtocol returns a protocol. Only Socket.IO has long-polling.
func newProtocol(name string, polling bool) (load.Protocol, error) {
	switch {
	case name == protocolFloor && !polling:
		return floor{}, nil
	case name == protocolCentrifuge && !polling:
		return centrifuge{}, nil
	case name == protocolSocketIO:
		return load.SocketIO{Polling: polling}, nil
	case name == protocolSessions:
		return load.SocketIO{Polling: polling, Recover: true}, nil
	default:
		return nil, fmt.Errorf("no client speaks %q (polling: %v)", name, polling)
	}
}

// floor is a bare WebSocket with the client's rooms in the URL.
type floor struct{}

// Open implements [load.Protocol].
func (floor) Open(d *load.Dialer, c load.Client) (*load.Conn, error) {
	return load.OpenWebSocket(d, "/?rooms="+strings.Join(c.Rooms, ","), func(*load.Conn) error { return nil })
}

// Reply implements [load.Protocol]: the floor sends no pings.
func (floor) Reply([]byte) []byte { return nil }

// centrifuge is centrifuge's JSON protocol with the client's rooms in the connect command's data.
type centrifuge struct{}

// Open implements [load.Protocol].
func (centrifuge) Open(d *load.Dialer, c load.Client) (*load.Conn, error) {
	return load.OpenWebSocket(d, "/connection/websocket", func(conn *load.Conn) error {
		rooms, err := json.Marshal(c.Rooms)
		if err != nil {
			return err
		}
		if err := conn.WriteMessage(fmt.Appendf(nil, `{"id":1,"connect":{"data":{"rooms":%s}}}`, rooms)); err != nil {
			return err
		}
		reply, err := conn.ReadMessage()
		if err == nil && !bytes.HasPrefix(reply, []byte(`{"id":1,"connect":`)) {
			err = fmt.Errorf("the server answered connect with %.200s", reply)
		}
		return err
	})
}

// Reply implements [load.Protocol]: it answers a ping, which is an empty object, with the same.
func (centrifuge) Reply(message []byte) []byte {
	if len(message) == 2 && string(message) == "{}" {
		return message
	}
	return nil
}

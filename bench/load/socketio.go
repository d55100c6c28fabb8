package load

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// EnginePath is the path of an Engine.IO request up to the transport's name.
const EnginePath = "/socket.io/?EIO=4&transport="

// SocketIO is Socket.IO 4, as Sala and others speak it.
type SocketIO struct {
	// Polling opens each connection with HTTP long-polling and upgrades it, as stock clients do.
	Polling bool
	// Recover has every client ask for a session.
	Recover bool
}

// Open implements [Protocol].
func (p SocketIO) Open(d *Dialer, c Client) (*Conn, error) {
	c.Recover = p.Recover
	if !p.Polling {
		conn, _, err := OpenSocket(d, c)
		return conn, err
	}
	polling, _, err := OpenPolling(d, c)
	if err != nil {
		return nil, err
	}
	defer polling.Close()
	return polling.Upgrade(d)
}

// Reply implements [Protocol]: it answers a ping with a pong.
func (SocketIO) Reply(message []byte) []byte {
	if len(message) == 1 && message[0] == '2' {
		return []byte("3")
	}
	return nil
}

// OpenSocket connects over WebSocket from the start and returns the socket's id.
func OpenSocket(d *Dialer, c Client) (conn *Conn, id string, err error) {
	auth, err := c.Auth()
	if err != nil {
		return nil, "", err
	}
	conn, err = OpenWebSocket(d, EnginePath+"websocket", func(conn *Conn) error {
		open, err := conn.ReadMessage()
		if err != nil {
			return fmt.Errorf("waiting for the open packet: %w", err)
		}
		if !bytes.HasPrefix(open, []byte(`0{`)) {
			return fmt.Errorf("the first packet is %.200q", open)
		}
		if err := conn.WriteMessage(append([]byte("40"), auth...)); err != nil {
			return err
		}
		connected, err := conn.ReadMessage()
		if err != nil {
			return fmt.Errorf("waiting for the connect packet: %w", err)
		}
		id, err = SocketID(connected)
		return err
	})
	return conn, id, err
}

// Auth returns what the client sends with its connect packet: its token, or its rooms if the server
// checks no tokens.
func (c Client) Auth() ([]byte, error) {
	if c.Token != "" && c.Recover {
		return json.Marshal(map[string]any{"token": c.Token, "recover": true})
	}
	if c.Token != "" {
		return json.Marshal(map[string]string{"token": c.Token})
	}
	return json.Marshal(map[string][]string{"rooms": c.Rooms})
}

// SocketID returns the socket's id from the server's connect packet.
func SocketID(packet []byte) (string, error) {
	var connected struct {
		SID string `json:"sid"`
	}
	body, ok := bytes.CutPrefix(packet, []byte("40"))
	if err := json.Unmarshal(body, &connected); !ok || err != nil || connected.SID == "" {
		return "", fmt.Errorf("the server answered the connect packet with %.200q", packet)
	}
	return connected.SID, nil
}

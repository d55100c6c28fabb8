package load

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// socketIO is Socket.IO 4, for Sala and the others.
type socketIO struct {
	polling bool
}

const enginePath = "/socket.io/?EIO=4&transport="

func (p socketIO) open(d *dialer, c client) (*stream, error) {
	if !p.polling {
		s, _, err := openSocket(d, c)
		return s, err
	}
	polls, _, err := openPolling(d, c)
	if err != nil {
		return nil, err
	}
	defer polls.close()
	return polls.upgrade(d)
}

// openSocket connects over WebSocket from the beginning, and returns the socket's id as well.
func openSocket(d *dialer, c client) (s *stream, id string, err error) {
	auth, err := authOf(c)
	if err != nil {
		return nil, "", err
	}
	s, err = openWebSocket(d, enginePath+"websocket", func(s *stream) error {
		hello, err := s.message()
		if err != nil {
			return fmt.Errorf("waiting for the open packet: %w", err)
		}
		if !bytes.HasPrefix(hello, []byte(`0{`)) {
			return fmt.Errorf("the first packet is %.200q", hello)
		}
		if err := s.send(append([]byte("40"), auth...)); err != nil {
			return err
		}
		connected, err := s.message()
		if err != nil {
			return fmt.Errorf("waiting for connect: %w", err)
		}
		id, err = idOf(connected)
		return err
	})
	return s, id, err
}

// authOf returns what the client sends with its connect packet: a token, or its rooms if nobody checks.
func authOf(c client) ([]byte, error) {
	if c.token != "" {
		return json.Marshal(map[string]string{"token": c.token})
	}
	return json.Marshal(map[string][]string{"rooms": c.rooms})
}

// idOf returns the socket's id from the packet that answers a connect packet.
func idOf(packet []byte) (string, error) {
	var connected struct {
		SID string `json:"sid"`
	}
	body, ok := bytes.CutPrefix(packet, []byte("40"))
	if err := json.Unmarshal(body, &connected); !ok || err != nil || connected.SID == "" {
		return "", fmt.Errorf("connect was answered with %.200q", packet)
	}
	return connected.SID, nil
}

// answer answers a ping with a pong.
func (socketIO) answer(message []byte) []byte {
	if len(message) == 1 && message[0] == '2' {
		return []byte("3")
	}
	return nil
}

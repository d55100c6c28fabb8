package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/salabroker/sala/bench/internal/job"
)

// client is one that is to connect.
type client struct {
	rooms []string
	token string
}

// protocol is how clients speak with one kind of server. It may be used concurrently.
type protocol interface {
	// open connects a client, into its rooms.
	open(d *dialer, c client) (*stream, error)
	// answer returns what a message must be answered with; nil for nothing.
	answer(message []byte) []byte
}

func newProtocol(name job.Protocol, polling bool) (protocol, error) {
	switch {
	case name == job.Floor && !polling:
		return floor{}, nil
	case name == job.Centrifuge && !polling:
		return centrifuge{}, nil
	case name == job.SocketIO || name == job.Sala:
		return socketIO{polling: polling}, nil
	default:
		return nil, fmt.Errorf("no client speaks %q (polling: %v)", name, polling)
	}
}

const (
	handshakeKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	handshakeAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// browserHeaders are about what a browser sends: servers parse it, and may keep it.
const browserHeaders = "Host: %[1]s\r\n" +
	"Origin: http://%[1]s\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Accept-Language: en-GB,en;q=0.9,es;q=0.8\r\n" +
	"Cache-Control: no-cache\r\n" +
	"Pragma: no-cache\r\n"

// upgradeRequest asks for a WebSocket.
func upgradeRequest(host, path string) []byte {
	return fmt.Appendf(nil, "GET %[2]s HTTP/1.1\r\n"+browserHeaders+
		"Connection: Upgrade\r\n"+
		"Upgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: "+handshakeKey+"\r\n"+
		"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n", host, path)
}

// upgrade makes a connection a WebSocket.
func upgrade(s *stream, host, path string) error {
	if _, err := s.Write(upgradeRequest(host, path)); err != nil {
		return err
	}
	response, err := http.ReadResponse(s.r, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode != http.StatusSwitchingProtocols:
		return fmt.Errorf("the upgrade was answered with %s", response.Status)
	case response.Header.Get("Sec-WebSocket-Accept") != handshakeAccept:
		return errors.New("the upgrade was answered with a wrong Sec-WebSocket-Accept")
	case response.Header.Get("Sec-WebSocket-Extensions") != "":
		return errors.New("the server wants extensions")
	}
	return nil
}

// openWebSocket opens a connection, makes it a WebSocket and does the rest of the handshake.
func openWebSocket(d *dialer, path string, rest func(*stream) error) (*stream, error) {
	s, err := d.dial()
	if err != nil {
		return nil, err
	}
	if err := upgrade(s, d.host, path); err != nil {
		s.close()
		return nil, err
	}
	if err := rest(s); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// floor is a bare WebSocket.
type floor struct{}

func (floor) open(d *dialer, c client) (*stream, error) {
	return openWebSocket(d, "/?rooms="+strings.Join(c.rooms, ","), func(*stream) error { return nil })
}

func (floor) answer([]byte) []byte { return nil }

// centrifuge is centrifuge's JSON protocol.
type centrifuge struct{}

func (centrifuge) open(d *dialer, c client) (*stream, error) {
	return openWebSocket(d, "/connection/websocket", func(s *stream) error {
		rooms, err := json.Marshal(c.rooms)
		if err != nil {
			return err
		}
		if err := s.send(fmt.Appendf(nil, `{"id":1,"connect":{"data":{"rooms":%s}}}`, rooms)); err != nil {
			return err
		}
		reply, err := s.message()
		if err == nil && !bytes.HasPrefix(reply, []byte(`{"id":1,"connect":`)) {
			err = fmt.Errorf("connect was answered with %.200s", reply)
		}
		return err
	})
}

// answer answers a ping, which is an empty message.
func (centrifuge) answer(message []byte) []byte {
	if len(message) == 2 && string(message) == "{}" {
		return message
	}
	return nil
}

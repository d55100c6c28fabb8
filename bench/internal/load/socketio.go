package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// socketIO is Socket.IO 4, for Sala and the others.
type socketIO struct {
	polling bool
}

const enginePath = "/socket.io/?EIO=4&transport="

func (p socketIO) open(d *dialer, c client) (*stream, error) {
	auth, err := authOf(c)
	if err != nil {
		return nil, err
	}
	if p.polling {
		return openPolling(d, auth)
	}
	return openWebSocket(d, enginePath+"websocket", func(s *stream) error {
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
		return checkConnected(connected)
	})
}

// authOf returns what the client sends with its connect packet: a token, or its rooms if nobody checks.
func authOf(c client) ([]byte, error) {
	if c.token != "" {
		return json.Marshal(map[string]string{"token": c.token})
	}
	return json.Marshal(map[string][]string{"rooms": c.rooms})
}

func checkConnected(packet []byte) error {
	if !bytes.HasPrefix(packet, []byte(`40{"sid":`)) {
		return fmt.Errorf("connect was answered with %.200q", packet)
	}
	return nil
}

// answer answers a ping with a pong.
func (socketIO) answer(message []byte) []byte {
	if len(message) == 1 && message[0] == '2' {
		return []byte("3")
	}
	return nil
}

// openPolling connects as a stock client does: HTTP long-polling first, then the upgrade with its probe.
func openPolling(d *dialer, auth []byte) (*stream, error) {
	polls, err := d.dial()
	if err != nil {
		return nil, err
	}
	defer polls.close()
	hello, err := exchange(polls, d.host, http.MethodGet, enginePath+"polling", nil)
	if err != nil {
		return nil, fmt.Errorf("opening: %w", err)
	}
	var opened struct {
		SID string `json:"sid"`
	}
	if err := json.Unmarshal(bytes.TrimPrefix(hello, []byte("0")), &opened); err != nil || opened.SID == "" {
		return nil, fmt.Errorf("the first packet is %.200q", hello)
	}
	session := "&sid=" + opened.SID
	if _, err := exchange(polls, d.host, http.MethodPost, enginePath+"polling"+session, append([]byte("40"), auth...)); err != nil {
		return nil, fmt.Errorf("posting connect: %w", err)
	}
	connected, err := exchange(polls, d.host, http.MethodGet, enginePath+"polling"+session, nil)
	if err != nil {
		return nil, fmt.Errorf("polling for connect: %w", err)
	}
	if err := checkConnected(connected); err != nil {
		return nil, err
	}
	return openWebSocket(d, enginePath+"websocket"+session, func(s *stream) error {
		return probe(s, polls, d.host, enginePath+"polling"+session)
	})
}

// probe tries out the WebSocket while a poll is pending, and switches to it once that is answered.
func probe(s, polls *stream, host, path string) error {
	if err := request(polls, host, http.MethodGet, path, nil); err != nil {
		return err
	}
	if err := s.send([]byte("2probe")); err != nil {
		return err
	}
	answer, err := s.message()
	if err != nil {
		return fmt.Errorf("waiting for the probe's answer: %w", err)
	}
	if string(answer) != "3probe" {
		return fmt.Errorf("the probe was answered with %.200q", answer)
	}
	last, err := response(polls)
	if err != nil {
		return fmt.Errorf("waiting for the last poll: %w", err)
	}
	if string(last) != "6" {
		return fmt.Errorf("the last poll was answered with %.200q", last)
	}
	return s.send([]byte("5"))
}

// exchange sends one HTTP request and reads the answer's body.
func exchange(s *stream, host, method, path string, body []byte) ([]byte, error) {
	if err := request(s, host, method, path, body); err != nil {
		return nil, err
	}
	return response(s)
}

func request(s *stream, host, method, path string, body []byte) error {
	head := fmt.Appendf(nil, "%[2]s %[3]s HTTP/1.1\r\n"+browserHeaders+"Accept: */*\r\nConnection: keep-alive\r\n", host, method, path)
	if method == http.MethodPost {
		head = fmt.Appendf(head, "Content-Type: text/plain;charset=UTF-8\r\nContent-Length: %d\r\n", len(body))
	}
	_, err := s.Write(append(append(head, "\r\n"...), body...))
	return err
}

func response(s *stream) ([]byte, error) {
	answer, err := http.ReadResponse(s.r, nil)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.200s", answer.Status, body)
	}
	return body, err
}

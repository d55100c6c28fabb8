package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// polling is a Socket.IO client over HTTP long-polling, on one connection at a time.
type polling struct {
	d    *dialer
	s    *stream
	host string
	sid  string
	rest []string // packets that came together with the answer to the connect packet
}

// separator is between the packets of a poll's answer.
const separator = "\x1e"

// openPolling connects as a stock client does: over HTTP long-polling. It returns the socket's id as well.
func openPolling(d *dialer, c client) (p *polling, id string, err error) {
	auth, err := authOf(c)
	if err != nil {
		return nil, "", err
	}
	s, err := d.dial()
	if err != nil {
		return nil, "", err
	}
	p = &polling{d: d, s: s, host: d.host}
	id, err = p.connect(auth)
	if err != nil {
		p.close()
		return nil, "", err
	}
	return p, id, nil
}

func (p *polling) connect(auth []byte) (id string, err error) {
	hello, err := exchange(p.s, p.host, http.MethodGet, enginePath+"polling", nil)
	if err != nil {
		return "", fmt.Errorf("opening: %w", err)
	}
	var opened struct {
		SID string `json:"sid"`
	}
	if err := json.Unmarshal(bytes.TrimPrefix(hello, []byte("0")), &opened); err != nil || opened.SID == "" {
		return "", fmt.Errorf("the first packet is %.200q", hello)
	}
	p.sid = opened.SID
	if err := p.post(p.s, append([]byte("40"), auth...)); err != nil {
		return "", fmt.Errorf("posting connect: %w", err)
	}
	connected, err := p.poll()
	if err != nil {
		return "", fmt.Errorf("polling for connect: %w", err)
	}
	packets := strings.Split(string(connected), separator)
	p.rest = packets[1:]
	return idOf([]byte(packets[0]))
}

func (p *polling) path() string { return enginePath + "polling&sid=" + p.sid }

// ask sends a poll, over a new connection if the server wants no more on the last; answer reads what it is answered
// with.
func (p *polling) ask() error {
	if p.s.last {
		s, err := p.d.dial()
		if err != nil {
			return err
		}
		p.s.close()
		p.s = s
	}
	return request(p.s, p.host, http.MethodGet, p.path(), nil)
}

func (p *polling) answer() ([]byte, error) { return response(p.s) }

// poll sends a poll and returns what it is answered with: packets with separator between them.
func (p *polling) poll() ([]byte, error) {
	if err := p.ask(); err != nil {
		return nil, err
	}
	return p.answer()
}

// post sends packets, over a connection on which no poll is pending.
func (p *polling) post(over *stream, packets []byte) error {
	_, err := exchange(over, p.host, http.MethodPost, p.path(), packets)
	return err
}

func (p *polling) close() { p.s.close() }

// probe opens a WebSocket beside the long-polling and tries it out. The upgrade is complete once "5" is sent over it.
func (p *polling) probe(d *dialer) (*stream, error) {
	return openWebSocket(d, enginePath+"websocket&sid="+p.sid, func(s *stream) error {
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
		return nil
	})
}

// upgrade changes to WebSocket as a stock client does: it probes while a poll is pending, and switches once that is
// answered.
func (p *polling) upgrade(d *dialer) (*stream, error) {
	if err := p.ask(); err != nil {
		return nil, err
	}
	s, err := p.probe(d)
	if err != nil {
		return nil, err
	}
	last, err := p.answer()
	if err != nil {
		err = fmt.Errorf("waiting for the last poll: %w", err)
	} else if string(last) != "6" {
		err = fmt.Errorf("the last poll was answered with %.200q", last)
	}
	if err == nil {
		err = s.send([]byte("5"))
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
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
	s.last = answer.Close
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.200s", answer.Status, body)
	}
	return body, err
}

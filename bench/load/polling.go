package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Polling is a Socket.IO client over HTTP long-polling, on one connection at a time. It belongs to
// one goroutine.
type Polling struct {
	// Conn is the connection of the last request.
	Conn *Conn
	// Early are packets that came with the answer to the connect packet.
	Early []string

	dialer *Dialer
	sid    string
}

// PacketSeparator separates the packets of a poll's answer.
const PacketSeparator = "\x1e"

// OpenPolling connects over HTTP long-polling, as stock clients do, and returns the socket's id.
func OpenPolling(d *Dialer, c Client) (p *Polling, id string, err error) {
	auth, err := c.Auth()
	if err != nil {
		return nil, "", err
	}
	conn, err := d.Dial()
	if err != nil {
		return nil, "", err
	}
	p = &Polling{dialer: d, Conn: conn}
	id, err = p.connect(auth)
	if err != nil {
		p.Close()
		return nil, "", err
	}
	return p, id, nil
}

func (p *Polling) connect(auth []byte) (id string, err error) {
	open, err := Exchange(p.Conn, p.dialer.Host, http.MethodGet, EnginePath+"polling", nil)
	if err != nil {
		return "", fmt.Errorf("opening: %w", err)
	}
	var opened struct {
		SID string `json:"sid"`
	}
	if err := json.Unmarshal(bytes.TrimPrefix(open, []byte("0")), &opened); err != nil || opened.SID == "" {
		return "", fmt.Errorf("the first packet is %.200q", open)
	}
	p.sid = opened.SID
	if err := p.Post(p.Conn, append([]byte("40"), auth...)); err != nil {
		return "", fmt.Errorf("posting the connect packet: %w", err)
	}
	if err := p.StartPoll(); err != nil {
		return "", err
	}
	connected, err := p.FinishPoll()
	if err != nil {
		return "", fmt.Errorf("polling for the connect packet: %w", err)
	}
	packets := strings.Split(string(connected), PacketSeparator)
	p.Early = packets[1:]
	return SocketID([]byte(packets[0]))
}

// Path returns the path of the session's requests.
func (p *Polling) Path() string { return EnginePath + "polling&sid=" + p.sid }

// StartPoll sends a poll. It opens a new connection if the server announced that it closes the last
// one.
func (p *Polling) StartPoll() error {
	if p.Conn.closing {
		conn, err := p.dialer.Dial()
		if err != nil {
			return err
		}
		p.Conn.Close()
		p.Conn = conn
	}
	return request(p.Conn, p.dialer.Host, http.MethodGet, p.Path(), nil)
}

// FinishPoll returns the answer to the last poll: packets with [PacketSeparator] between them.
func (p *Polling) FinishPoll() ([]byte, error) { return response(p.Conn) }

// Post sends packets over a connection on which no poll is pending.
func (p *Polling) Post(over *Conn, packets []byte) error {
	_, err := Exchange(over, p.dialer.Host, http.MethodPost, p.Path(), packets)
	return err
}

// Close closes the connection.
func (p *Polling) Close() { p.Conn.Close() }

// Probe opens a WebSocket for the session and probes it. Sending "5" over it completes the upgrade.
func (p *Polling) Probe(d *Dialer) (*Conn, error) {
	return OpenWebSocket(d, EnginePath+"websocket&sid="+p.sid, func(c *Conn) error {
		if err := c.WriteMessage([]byte("2probe")); err != nil {
			return err
		}
		answer, err := c.ReadMessage()
		if err != nil {
			return fmt.Errorf("waiting for the probe's answer: %w", err)
		}
		if string(answer) != "3probe" {
			return fmt.Errorf("the server answered the probe with %.200q", answer)
		}
		return nil
	})
}

// Upgrade upgrades to WebSocket as stock clients do: it probes while a poll is pending and
// completes the upgrade once the server has answered that poll.
func (p *Polling) Upgrade(d *Dialer) (*Conn, error) {
	if err := p.StartPoll(); err != nil {
		return nil, err
	}
	c, err := p.Probe(d)
	if err != nil {
		return nil, err
	}
	last, err := p.FinishPoll()
	if err != nil {
		err = fmt.Errorf("waiting for the last poll: %w", err)
	} else if string(last) != "6" {
		err = fmt.Errorf("the server answered the last poll with %.200q", last)
	}
	if err == nil {
		err = c.WriteMessage([]byte("5"))
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Exchange sends one HTTP request and returns the body of the answer.
func Exchange(c *Conn, host, method, path string, body []byte) ([]byte, error) {
	if err := request(c, host, method, path, body); err != nil {
		return nil, err
	}
	return response(c)
}

func request(c *Conn, host, method, path string, body []byte) error {
	head := fmt.Appendf(nil, "%[2]s %[3]s HTTP/1.1\r\n"+BrowserHeaders+"Accept: */*\r\nConnection: keep-alive\r\n", host, method, path)
	if method == http.MethodPost {
		head = fmt.Appendf(head, "Content-Type: text/plain;charset=UTF-8\r\nContent-Length: %d\r\n", len(body))
	}
	_, err := c.Write(append(append(head, "\r\n"...), body...))
	return err
}

func response(c *Conn) ([]byte, error) {
	answer, err := http.ReadResponse(c.Reader, nil)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	c.closing = answer.Close
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.200s", answer.Status, body)
	}
	return body, err
}

package attacks

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/chaos/internal/connections"
)

// attack is one thing that no client should do: it sends something over a number of connections in
// turn.
type attack struct {
	name        string
	connections int           // at a time
	every       time.Duration // between two payloads, of all connections together
	// open opens a connection up to where the payloads begin. A client that was disconnected does
	// it again.
	open func(d *load.Dialer, c load.Client) (*load.Conn, error)
	// payload returns what is sent next over a connection that has sent n payloads; nil if the
	// attack is to connect.
	payload func(n int) []byte
}

// attacks returns all attacks. Each is bounded, since the test is not about the machine.
func attacks() []attack {
	return []attack{
		{"headers, a byte at a time", 50, time.Millisecond, openTCP, dripHeader},
		{"headers without end", 10, 20 * time.Millisecond, openTCP, endlessHeader},
		{"empty lines", 10, 10 * time.Millisecond, openTCP, always16KiB("\r\n")},
		{"bodies, a byte at a time", 50, time.Millisecond, openSlowBody, func(int) []byte { return []byte("4") }},
		{"bodies of empty packets", 10, 50 * time.Millisecond, openBody, separatorsOnly},
		{"polls of unknown sessions", 10, 4 * time.Millisecond, openTCP, strayPoll},
		{"a frame, a byte at a time", 50, time.Millisecond, openSocket, dripFrame()},
		{"frames of one byte", 20, time.Millisecond, openSocket, alwaysFrame(load.OpText, "3")},
		{"empty fragments", 5, 4 * time.Millisecond, openSocket, fragments("")},
		{"fragments of a byte", 5, 4 * time.Millisecond, openSocket, fragments("x")},
		{"reserved bits", 10, 20 * time.Millisecond, openSocket, alwaysFrame(0x40|load.OpText, `42["x"]`)},
		{"frames without a mask", 10, 20 * time.Millisecond, openSocket, func(int) []byte { return []byte("\x81\x0742[\"x\"]") }},
		{"lengths of 64 bits", 10, 20 * time.Millisecond, openSocket, hugeFrame},
		{"text that is not UTF-8", 10, 20 * time.Millisecond, openSocket, alwaysFrame(load.OpText, "42[\"x\",\"\xc3\x28\"]")},
		{"arrays in arrays", 10, 50 * time.Millisecond, openSocket, alwaysFrame(load.OpText, `42["x",`+strings.Repeat("[", 64<<10))},
		{"missing attachments", 20, 10 * time.Millisecond, openSocket, attachments},
		{"a billion attachments", 10, 20 * time.Millisecond, openSocket, alwaysFrame(load.OpText, `451000000000-["x"]`)},
		{"forged placeholders", 10, 20 * time.Millisecond, openSocket, alwaysFrame(load.OpText, `451-["x",{"_placeholder":true,"num":7}]`)},
		{"pings", 20, time.Millisecond, openSocket, alwaysFrame(load.OpPing, strings.Repeat("x", 125))},
		{"events", 20, 2 * time.Millisecond, openSocket, alwaysFrame(load.OpText, `42["x",{"text":"nobody wants to know"}]`)},
		{"events that want an ack", 20, 2 * time.Millisecond, openSocket, alwaysFrame(load.OpText, `421["x",{"text":"nobody answers"}]`)},
		{"joins", 20, 2 * time.Millisecond, openSocket, join},
		{"connects", 10, 5 * time.Millisecond, openSocket, alwaysFrame(load.OpText, `40/nowhere,`)},
		{"forged tokens", 10, 5 * time.Millisecond, openSilent, forgedToken},
		{"handshakes over WebSocket", 10, 10 * time.Millisecond, openSilent, nil},
		{"handshakes over long-polling", 10, 10 * time.Millisecond, openSession, nil},
	}
}

func openTCP(d *load.Dialer, _ load.Client) (*load.Conn, error) { return d.Dial() }

// openSocket connects a socket over WebSocket.
func openSocket(d *load.Dialer, c load.Client) (*load.Conn, error) {
	conn, _, err := load.OpenSocket(d, c)
	return conn, err
}

// openSilent opens a WebSocket and sends no connect packet.
func openSilent(d *load.Dialer, _ load.Client) (*load.Conn, error) { return connections.OpenSilent(d) }

// openSession opens a session over long-polling.
func openSession(d *load.Dialer, _ load.Client) (*load.Conn, error) {
	return connections.OpenSession(d)
}

// openSlowBody connects over long-polling and announces a large body.
func openSlowBody(d *load.Dialer, c load.Client) (*load.Conn, error) { return openPost(d, c, 100_000) }

// openBody connects over long-polling and announces a body of one payload.
func openBody(d *load.Dialer, c load.Client) (*load.Conn, error) { return openPost(d, c, largePayload) }

func openPost(d *load.Dialer, c load.Client, length int) (*load.Conn, error) {
	p, _, err := load.OpenPolling(d, c)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(p.Conn, "POST %[2]s HTTP/1.1\r\n"+load.BrowserHeaders+"Content-Type: text/plain;charset=UTF-8\r\nContent-Length: %[3]d\r\n\r\n",
		d.Host, p.Path(), length)
	if err != nil {
		p.Close()
		return nil, err
	}
	return p.Conn, nil
}

const (
	// largePayload is the size of large payloads.
	largePayload = 16 << 10
	// fragmentsAtOnce is how many fragments make a payload.
	fragmentsAtOnce = 1000
)

// always16KiB repeats a text.
func always16KiB(text string) func(int) []byte {
	payload := bytes.Repeat([]byte(text), largePayload/len(text))
	return func(int) []byte { return payload }
}

// alwaysFrame repeats a frame.
func alwaysFrame(opcode byte, payload string) func(int) []byte {
	frame := load.AppendFrame(nil, opcode, []byte(payload))
	return func(int) []byte { return frame }
}

// dripHeader sends a request whose headers never end, a byte at a time.
func dripHeader(n int) []byte {
	const request, more = "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: sala\r\n", "X-More: and more\r\n"
	if n < len(request) {
		return []byte{request[n]}
	}
	return []byte{more[(n-len(request))%len(more)]}
}

// endlessHeader sends such a request in larger pieces.
func endlessHeader(n int) []byte {
	if n == 0 {
		return []byte("GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: sala\r\n")
	}
	return fmt.Appendf(nil, "X-More-%d: %s\r\n", n, bytes.Repeat([]byte("x"), largePayload))
}

func separatorsOnly(n int) []byte {
	if n > 0 {
		return nil
	}
	return bytes.Repeat([]byte(load.PacketSeparator), largePayload)
}

func strayPoll(n int) []byte {
	return fmt.Appendf(nil, "GET %spolling&sid=%020d HTTP/1.1\r\nHost: sala\r\n\r\n", load.EnginePath, n)
}

// dripFrame sends ordinary events, a byte at a time.
func dripFrame() func(n int) []byte {
	frame := load.AppendFrame(nil, load.OpText, []byte(`42["x","`+strings.Repeat("x", 60_000)+`"]`))
	return func(n int) []byte { return frame[n%len(frame):][:1] }
}

// fragments sends a message that never ends, in fragments with the same piece.
func fragments(piece string) func(int) []byte {
	fragment := func(opcode byte, payload string) []byte {
		frame := load.AppendFrame(nil, opcode, []byte(payload))
		frame[0] &^= 0x80 // not the last one
		return frame
	}
	first := fragment(load.OpText, `42["x","`)
	more := bytes.Repeat(fragment(0, piece), fragmentsAtOnce)
	return func(n int) []byte {
		if n == 0 {
			return first
		}
		return more
	}
}

// hugeFrame announces a frame of 2^62 bytes.
func hugeFrame(int) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{0x81, 0xFF}, 1<<62), "maskxxxx"...)
}

// attachments sends all attachments of an event but the last. An event may have 64.
func attachments(n int) []byte {
	const most = 64
	if n%most > 0 {
		return load.AppendFrame(nil, load.OpBinary, make([]byte, largePayload))
	}
	var arguments []string
	for i := range most {
		arguments = append(arguments, fmt.Sprintf(`{"_placeholder":true,"num":%d}`, i))
	}
	return load.AppendFrame(nil, load.OpText, fmt.Appendf(nil, `45%d-["x",%s]`, most, strings.Join(arguments, ",")))
}

// join joins another room each time.
func join(n int) []byte {
	return load.AppendFrame(nil, load.OpText, fmt.Appendf(nil, `42["join",{"room":"hostile:%d"}]`, n))
}

// forgedToken sends a well-formed token without a valid signature.
func forgedToken(n int) []byte {
	encode := base64.RawURLEncoding.EncodeToString
	claims := fmt.Appendf(nil, `{"sub":"admin","exp":%d,"n":%d}`, time.Now().Unix()+3600, n)
	token := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode(claims) + "." + encode(make([]byte, 32))
	return load.AppendFrame(nil, load.OpText, fmt.Appendf(nil, `40{"token":%q}`, token))
}

package load

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// attack is one way to be hostile: connections over which, in turn, something is sent that nobody should send.
type attack struct {
	name  string
	lines int           // how many connections at a time
	every time.Duration // between two blows, of all lines together
	// open opens a connection as far as the blows begin; a client that has been disconnected does it again.
	open func(d *dialer, c client) (*stream, error)
	// blow returns what is sent next over a line on which so many blows have been sent; nil if opening is all there is to it.
	blow func(n int) []byte
}

// attacks are all of them. Each is bounded, so that it is not the machine that is tried out.
var attacks = []attack{
	{"headers, a byte at a time", 50, time.Millisecond, openTCP, dripHeader},
	{"headers without end", 10, 20 * time.Millisecond, openTCP, endlessHeader},
	{"lines without anything", 10, 10 * time.Millisecond, openTCP, always16KiB("\r\n")},
	{"bodies, a byte at a time", 50, time.Millisecond, openBody, func(int) []byte { return []byte("4") }},
	{"bodies of empty packets", 10, 50 * time.Millisecond, openPolls, separatorsOnly},
	{"polls of nobody's session", 10, 4 * time.Millisecond, openTCP, strayPoll},
	{"a frame, a byte at a time", 50, time.Millisecond, openEvents, dripFrame},
	{"frames of one byte", 20, time.Millisecond, openEvents, alwaysFrame(opText, "3")},
	{"fragments of nothing", 5, 4 * time.Millisecond, openEvents, fragments("")},
	{"fragments of a byte", 5, 4 * time.Millisecond, openEvents, fragments("x")},
	{"reserved bits", 10, 20 * time.Millisecond, openEvents, alwaysFrame(0x40|opText, `42["x"]`)},
	{"frames without a mask", 10, 20 * time.Millisecond, openEvents, func(int) []byte { return []byte("\x81\x0742[\"x\"]") }},
	{"lengths of 64 bits", 10, 20 * time.Millisecond, openEvents, hugeFrame},
	{"text that isn't UTF-8", 10, 20 * time.Millisecond, openEvents, alwaysFrame(opText, "42[\"x\",\"\xc3\x28\"]")},
	{"arrays in arrays", 10, 50 * time.Millisecond, openEvents, alwaysFrame(opText, `42["x",`+strings.Repeat("[", 64<<10))},
	{"attachments that never come", 20, 10 * time.Millisecond, openEvents, attachments},
	{"a billion attachments", 10, 20 * time.Millisecond, openEvents, alwaysFrame(opText, `451000000000-["x"]`)},
	{"forged placeholders", 10, 20 * time.Millisecond, openEvents, alwaysFrame(opText, `451-["x",{"_placeholder":true,"num":7}]`)},
	{"pings", 20, time.Millisecond, openEvents, alwaysFrame(opPing, strings.Repeat("x", 125))},
	{"events", 20, 2 * time.Millisecond, openEvents, alwaysFrame(opText, `42["x",{"text":"nobody wants to know"}]`)},
	{"events that want an answer", 20, 2 * time.Millisecond, openEvents, alwaysFrame(opText, `421["x",{"text":"nobody answers"}]`)},
	{"joins", 20, 2 * time.Millisecond, openEvents, join},
	{"connects", 10, 5 * time.Millisecond, openEvents, alwaysFrame(opText, `40/nowhere,`)},
	{"forged tokens", 10, 5 * time.Millisecond, openUnnamed, forgedToken},
	{"handshakes over WebSocket", 10, 10 * time.Millisecond, openUnnamed, nil},
	{"handshakes over long-polling", 10, 10 * time.Millisecond, openSession, nil},
}

func openTCP(d *dialer, _ client) (*stream, error) { return d.dial() }

// openEvents connects a socket, over WebSocket.
func openEvents(d *dialer, c client) (*stream, error) {
	s, _, err := openSocket(d, c)
	return s, err
}

// openUnnamed gets as far as the server's first packet.
func openUnnamed(d *dialer, c client) (*stream, error) {
	streams, err := openSilent(d, c)
	if err != nil {
		return nil, err
	}
	return streams[0], nil
}

// openSession begins a session of long-polling and says nothing more.
func openSession(d *dialer, _ client) (*stream, error) {
	s, err := d.dial()
	if err != nil {
		return nil, err
	}
	if _, err := exchange(s, d.host, http.MethodGet, enginePath+"polling", nil); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// openBody connects over long-polling and announces a body.
func openBody(d *dialer, c client) (*stream, error) { return openPost(d, c, 100_000) }

// openPolls does the same for a body that comes at once.
func openPolls(d *dialer, c client) (*stream, error) { return openPost(d, c, blowSize) }

func openPost(d *dialer, c client, length int) (*stream, error) {
	p, _, err := openPolling(d, c)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(p.s, "POST %[2]s HTTP/1.1\r\n"+browserHeaders+"Content-Type: text/plain;charset=UTF-8\r\nContent-Length: %[3]d\r\n\r\n",
		d.host, p.path(), length)
	if err != nil {
		p.close()
		return nil, err
	}
	return p.s, nil
}

const (
	// blowSize is the size of blows that are to be large.
	blowSize = 16 << 10
	// fragmentsAtOnce is how many fragments are one blow.
	fragmentsAtOnce = 1000
)

// always16KiB is the same text over and over again.
func always16KiB(text string) func(int) []byte {
	blow := bytes.Repeat([]byte(text), blowSize/len(text))
	return func(int) []byte { return blow }
}

func alwaysFrame(opcode byte, payload string) func(int) []byte {
	blow := appendMasked(nil, opcode, []byte(payload))
	return func(int) []byte { return blow }
}

// dripHeader is a request whose headers never end, a byte of it.
func dripHeader(n int) []byte {
	const request, more = "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: sala\r\n", "X-More: and more\r\n"
	if n < len(request) {
		return []byte{request[n]}
	}
	return []byte{more[(n-len(request))%len(more)]}
}

// endlessHeader is the same in larger pieces.
func endlessHeader(n int) []byte {
	if n == 0 {
		return []byte("GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: sala\r\n")
	}
	return fmt.Appendf(nil, "X-More-%d: %s\r\n", n, bytes.Repeat([]byte("x"), blowSize))
}

func separatorsOnly(n int) []byte {
	if n > 0 {
		return nil
	}
	return bytes.Repeat([]byte(separator), blowSize)
}

func strayPoll(n int) []byte {
	return fmt.Appendf(nil, "GET %spolling&sid=%020d HTTP/1.1\r\nHost: sala\r\n\r\n", enginePath, n)
}

var largeFrame = appendMasked(nil, opText, []byte(`42["x","`+strings.Repeat("x", 60_000)+`"]`))

// dripFrame is an ordinary event, a byte of it.
func dripFrame(n int) []byte { return largeFrame[n%len(largeFrame):][:1] }

// fragments are a message that never ends, in pieces of so much.
func fragments(piece string) func(int) []byte {
	fragment := func(opcode byte, payload string) []byte {
		frame := appendMasked(nil, opcode, []byte(payload))
		frame[0] &^= 0x80 // it isn't the last
		return frame
	}
	first := fragment(opText, `42["x","`)
	more := bytes.Repeat(fragment(0, piece), fragmentsAtOnce)
	return func(n int) []byte {
		if n == 0 {
			return first
		}
		return more
	}
}

// hugeFrame announces half of all that can be counted.
func hugeFrame(int) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{0x81, 0xFF}, 1<<62), "maskxxxx"...)
}

// attachments are all but the last of as many as an event may have.
func attachments(n int) []byte {
	const most = 64
	if n%most > 0 {
		return appendMasked(nil, 0x2, make([]byte, blowSize))
	}
	var arguments []string
	for i := range most {
		arguments = append(arguments, fmt.Sprintf(`{"_placeholder":true,"num":%d}`, i))
	}
	return appendMasked(nil, opText, fmt.Appendf(nil, `45%d-["x",%s]`, most, strings.Join(arguments, ",")))
}

// join enters another room each time, as far as that is allowed.
func join(n int) []byte {
	return appendMasked(nil, opText, fmt.Appendf(nil, `42["join",{"room":"hostile:%d"}]`, n))
}

// forgedToken is a token that looks well, and is signed by nobody.
func forgedToken(n int) []byte {
	encode := base64.RawURLEncoding.EncodeToString
	claims := fmt.Appendf(nil, `{"sub":"admin","exp":%d,"n":%d}`, time.Now().Unix()+3600, n)
	token := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode(claims) + "." + encode(make([]byte, 32))
	return appendMasked(nil, opText, fmt.Appendf(nil, `40{"token":%q}`, token))
}

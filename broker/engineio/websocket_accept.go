package engineio

import (
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
)

// websocketGUID is part of every handshake (RFC 6455, 1.3).
const websocketGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

var errNoHijack = errors.New("engineio: the server's connection can't be taken over for WebSocket")

// isWebSocket reports whether r asks to switch to WebSocket.
func isWebSocket(r *http.Request) bool {
	return hasToken(r.Header, "Connection", "upgrade") && hasToken(r.Header, "Upgrade", "websocket")
}

func hasToken(h http.Header, name, token string) bool {
	for _, value := range h.Values(name) {
		for field := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(field), token) {
				return true
			}
		}
	}
	return false
}

// acceptKey returns the answer to the client's key; empty if r isn't a handshake that can be
// accepted.
func acceptKey(r *http.Request) string {
	key := r.Header.Get("Sec-WebSocket-Key")
	nonce, err := base64.StdEncoding.DecodeString(key)
	if err != nil || len(nonce) != 16 {
		return ""
	}
	if r.Method != http.MethodGet || !r.ProtoAtLeast(1, 1) || r.Header.Get("Sec-WebSocket-Version") != "13" {
		return ""
	}
	sum := sha1.Sum([]byte(key + websocketGUID))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// accept takes over the connection of a request for c from net/http and completes the WebSocket
// handshake. It writes frames along with the answer. It returns a reader of what the client
// sends, some of which may have arrived already. If the error is errNoHijack, the caller can
// still answer the request.
func (s *Server) accept(w http.ResponseWriter, c *Conn, key string, frames []byte) (*link, *reader, error) {
	nc, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, errors.Join(errNoHijack, err)
	}
	early, err := buffered.Reader.Peek(buffered.Reader.Buffered())
	if err == nil && len(early) > readBufferSize {
		err = violation("too much before the handshake was answered")
	}
	l := newLink(nc)
	if err == nil {
		response := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
			"Sec-WebSocket-Accept: " + key + "\r\n\r\n"
		err = l.write(append([]byte(response), frames...), s.opts.WriteTimeout)
	}
	if err != nil {
		l.close(true)
		return nil, nil, err
	}
	r := c.reader(l)
	r.give(early)
	return l, r, nil
}

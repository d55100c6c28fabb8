package load

import (
	"errors"
	"fmt"
	"net/http"
)

// Protocol is how clients talk to one kind of server. It is safe for concurrent use.
type Protocol interface {
	// Open connects a client and joins its rooms.
	Open(d *Dialer, c Client) (*Conn, error)
	// Reply returns what the client must answer to a message, such as a ping; nil for nothing.
	Reply(message []byte) []byte
}

// HandshakeKey is the Sec-WebSocket-Key of all clients.
const HandshakeKey = "dGhlIHNhbXBsZSBub25jZQ=="

const handshakeAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

// BrowserHeaders is a format for the headers that a browser sends, with the host as its first
// argument: servers parse such headers and may keep them.
const BrowserHeaders = "Host: %[1]s\r\n" +
	"Origin: http://%[1]s\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Accept-Language: en-GB,en;q=0.9,es;q=0.8\r\n" +
	"Cache-Control: no-cache\r\n" +
	"Pragma: no-cache\r\n"

// UpgradeRequest returns a request for a WebSocket.
func UpgradeRequest(host, path string) []byte {
	return fmt.Appendf(nil, "GET %[2]s HTTP/1.1\r\n"+BrowserHeaders+
		"Connection: Upgrade\r\n"+
		"Upgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: "+HandshakeKey+"\r\n"+
		"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n", host, path)
}

// OpenWebSocket opens a connection, upgrades it to a WebSocket and calls handshake for the rest. It
// closes the connection if one of these fails.
func OpenWebSocket(d *Dialer, path string, handshake func(*Conn) error) (*Conn, error) {
	c, err := d.Dial()
	if err != nil {
		return nil, err
	}
	if err = upgrade(c, d.Host, path); err == nil {
		err = handshake(c)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func upgrade(c *Conn, host, path string) error {
	if _, err := c.Write(UpgradeRequest(host, path)); err != nil {
		return err
	}
	response, err := http.ReadResponse(c.Reader, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode != http.StatusSwitchingProtocols:
		return fmt.Errorf("the server answered the upgrade with %s", response.Status)
	case response.Header.Get("Sec-WebSocket-Accept") != handshakeAccept:
		return errors.New("the server answered the upgrade with a wrong Sec-WebSocket-Accept")
	case response.Header.Get("Sec-WebSocket-Extensions") != "":
		return errors.New("the server wants extensions")
	}
	return nil
}

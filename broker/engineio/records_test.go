package engineio

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// The types of TLS records (RFC 8446, appendix B.1).
const (
	recordAlert     = 21
	recordHandshake = 22
	recordData      = 23
)

// records encrypts what a client sends over TLS 1.3 itself, so that a test decides what stands in
// which record.
type records struct {
	t      *testing.T
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	number uint64
}

// recordClient opens a WebSocket over TLS 1.3. The test writes records to the socket, and reads what
// the server sends from the connection.
func (s *server) recordClient(t *testing.T) (*records, *net.TCPConn, *tls.Conn, *session) {
	t.Helper()
	socket, err := net.Dial("tcp", s.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	var keys bytes.Buffer
	config := clientTLS(s.http)
	config.KeyLogWriter = &keys
	nc := tls.Client(socket, config)
	_ = nc.SetDeadline(time.Now().Add(patience))
	if err := nc.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if suite := nc.ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
		t.Skipf("the test knows only AES-128, which processors without AES don't choose: %s", tls.CipherSuiteName(suite))
	}
	_, secret, _ := strings.Cut(keys.String(), "CLIENT_TRAFFIC_SECRET_0 ")
	_, secret, _ = strings.Cut(secret, " ")
	secret, _, _ = strings.Cut(secret, "\n")
	r := &records{t: t}
	raw, err := hex.DecodeString(secret)
	if err != nil {
		t.Fatal(err)
	}
	r.use(raw)
	_, _ = socket.Write(r.seal(recordData, fmt.Appendf(nil, upgradeRequest, ""), 0))
	answer := make([]byte, 1)
	for !strings.HasSuffix(string(answer), "\r\n\r\n") { // one byte at a time, as frames follow
		b := make([]byte, 1)
		if _, err := nc.Read(b); err != nil {
			t.Fatal(err)
		}
		answer = append(answer, b...)
	}
	if _, err := ws.ReadFrame(nc); err != nil { // the open packet
		t.Fatal(err)
	}
	return r, socket.(*net.TCPConn), nc, s.session(t)
}

// use has further records encrypted with the keys of a secret (RFC 8446, 7.3).
func (r *records) use(secret []byte) {
	block, err := aes.NewCipher(r.expand(secret, "key", 16))
	if err != nil {
		r.t.Fatal(err)
	}
	if r.aead, err = cipher.NewGCM(block); err != nil {
		r.t.Fatal(err)
	}
	r.secret, r.iv, r.number = secret, r.expand(secret, "iv", 12), 0
}

// expand is HKDF-Expand-Label without a context (RFC 8446, 7.1).
func (r *records) expand(secret []byte, label string, n int) []byte {
	label = "tls13 " + label
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(append(append(info, byte(len(label))), label...), 0)
	key, err := hkdf.Expand(sha256.New, secret, string(info), n)
	if err != nil {
		r.t.Fatal(err)
	}
	return key
}

// seal returns a record (RFC 8446, 5.2).
func (r *records) seal(kind byte, content []byte, padding int) []byte {
	inner := append(append(bytes.Clone(content), kind), make([]byte, padding)...)
	header := binary.BigEndian.AppendUint16([]byte{recordData, 3, 3}, uint16(len(inner)+r.aead.Overhead()))
	nonce := bytes.Clone(r.iv)
	for i, b := range binary.BigEndian.AppendUint64(nil, r.number) {
		nonce[4+i] ^= b
	}
	r.number++
	return r.aead.Seal(bytes.Clone(header), nonce, inner, header)
}

// updateKeys returns the records of a KeyUpdate (RFC 8446, 4.6.3), which the server answers with its
// own if asked to. From then on, records have new keys.
func (r *records) updateKeys(ask, inTwo bool) []byte {
	message := []byte{24, 0, 0, 1, 0}
	if ask {
		message[4] = 1
	}
	var sealed []byte
	if inTwo {
		sealed = r.seal(recordHandshake, message[:3], 0)
		message = message[3:]
	}
	sealed = append(sealed, r.seal(recordHandshake, message, 0)...)
	r.use(r.expand(r.secret, "traffic upd", 32))
	return sealed
}

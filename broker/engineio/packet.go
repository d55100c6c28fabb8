package engineio

import (
	"bytes"
	"encoding/base64"
	"errors"
	"unicode/utf8"
)

// The types of an Engine.IO packet: the first character of its text form.
const (
	packetOpen    = '0'
	packetClose   = '1'
	packetPing    = '2'
	packetPong    = '3'
	packetMessage = '4'
	packetUpgrade = '5'
	packetNoop    = '6'
	packetBinary  = 'b' // a message in base64
)

// recordSeparator separates the packets of a long-polling payload.
const recordSeparator = '\x1e'

// maxPayloadPackets bounds the work that one POST can ask for. The stock client puts everything
// that it has buffered into one payload, so this is generous. MaxPayload bounds the bytes.
const maxPayloadPackets = 10_000

// probe is the data of the ping and the pong of an upgrade.
const probe = "probe"

var (
	errEmptyPacket   = errors.New("engineio: empty packet")
	errPacketType    = errors.New("engineio: unknown packet type")
	errPayloadCount  = errors.New("engineio: too many packets in a payload")
	errPayloadUTF8   = errors.New("engineio: payload is not valid UTF-8")
	errPacketBase64  = errors.New("engineio: binary packet is not valid base64")
	errHeartbeatSide = errors.New("engineio: ping from the client; in this version the server pings")
)

// packet is one received Engine.IO packet. A binary message has kind packetMessage.
type packet struct {
	kind   byte
	binary bool
	data   []byte // without the kind
}

// parsePacket reads a packet in its text form, as WebSocket text frames and long-polling carry
// it. It may change s.
func parsePacket(s []byte) (packet, error) {
	if len(s) == 0 {
		return packet{}, errEmptyPacket
	}
	switch kind := s[0]; {
	case kind == packetBinary:
		data, err := decodeBase64(s[1:])
		return packet{kind: packetMessage, binary: true, data: data}, err
	case kind >= packetOpen && kind <= packetNoop:
		return packet{kind: kind, data: s[1:]}, nil
	default:
		return packet{}, errPacketType
	}
}

// decodeBase64 reads what clients send: with or without padding, in the alphabet for URLs too
// (RFC 4648, 5), and with line breaks, as Android's encoder makes them. It changes s.
func decodeBase64(s []byte) ([]byte, error) {
	s = bytes.TrimRight(s, "=\r\n")
	for i, b := range s {
		switch b {
		case '-':
			s[i] = '+'
		case '_':
			s[i] = '/'
		}
	}
	data, err := base64.RawStdEncoding.AppendDecode(nil, s) // which ignores line breaks
	if err != nil {
		return nil, errPacketBase64
	}
	return data, nil
}

// parsePayload calls yield for each packet of a long-polling payload, in order, until yield
// returns false. It yields the packets before an error, and then returns the error.
func parsePayload(s []byte, yield func(packet) bool) error {
	if !utf8.Valid(s) {
		return errPayloadUTF8
	}
	for n := 0; ; n++ {
		if n == maxPayloadPackets {
			return errPayloadCount
		}
		record, rest, more := bytes.Cut(s, []byte{recordSeparator})
		p, err := parsePacket(record)
		if err != nil {
			return err
		}
		if !yield(p) || !more {
			return nil
		}
		s = rest
	}
}

// trimRune removes an incomplete rune from the end of text.
func trimRune(text []byte) []byte {
	for i := 1; i <= min(utf8.UTFMax, len(text)); i++ {
		if last := text[len(text)-i:]; utf8.RuneStart(last[0]) {
			if !utf8.FullRune(last) {
				return text[:len(text)-i]
			}
			break
		}
	}
	return text
}

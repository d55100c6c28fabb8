package socketio

import (
	"bytes"
	"encoding/binary"
)

// MsgpackConnect reports whether a binary message is a CONNECT packet of
// socket.io-msgpack-parser, and for which namespace. The stock client can use that parser, which
// encodes each packet as one binary message: a MessagePack map with the keys type, data and nsp.
// The broker doesn't speak it, and says so in it.
func MsgpackConnect(message []byte) (namespace string, ok bool) {
	const isMap, sizeBits = 0x80, 0x0f
	if len(message) == 0 || message[0]&^sizeBits != isMap || !bytes.HasPrefix(message[1:], []byte("\xa4type\x00")) {
		return "", false
	}
	// The last one counts: the data before it may hold anything.
	key := []byte("\xa3nsp")
	at := bytes.LastIndex(message, key)
	if at < 0 {
		return "", false
	}
	return msgpackString(message[at+len(key):])
}

// msgpackString reads a string of at most 255 bytes.
func msgpackString(b []byte) (string, bool) {
	const fixed, fixedBits, str8 = 0xa0, 0x1f, 0xd9
	size := 0
	switch {
	case len(b) > 0 && b[0]&^fixedBits == fixed:
		size, b = int(b[0]&fixedBits), b[1:]
	case len(b) > 1 && b[0] == str8:
		size, b = int(b[1]), b[2:]
	default:
		return "", false
	}
	if len(b) < size {
		return "", false
	}
	return string(b[:size]), true
}

// AppendMsgpackConnectError appends a CONNECT_ERROR packet of socket.io-msgpack-parser and
// returns the longer slice.
func AppendMsgpackConnectError(dst []byte, namespace, code, message string) []byte {
	dst = append(dst, "\x83\xa4type\x04\xa4data\x82\xa7message"...)
	dst = appendMsgpackString(dst, message)
	dst = append(dst, "\xa4data\x82\xa4code"...)
	dst = appendMsgpackString(dst, code)
	dst = append(dst, "\xa7message"...)
	dst = appendMsgpackString(dst, message)
	return appendMsgpackString(append(dst, "\xa3nsp"...), namespace)
}

func appendMsgpackString(dst []byte, s string) []byte {
	const str16 = 0xda
	s = s[:min(len(s), 1<<16-1)]
	return append(binary.BigEndian.AppendUint16(append(dst, str16), uint16(len(s))), s...) //nolint:gosec // it is as short as that
}

package redisemitter

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// maxText bounds the JSON of a message. It may be longer than the message, where strings have
// characters that must be escaped.
const maxText = 2 * maxBytes

// jsonWriter is JSON that is being written, and the binary data that its placeholders stand for.
type jsonWriter struct {
	out         []byte
	attachments [][]byte
}

// float writes the shortest text that parses as f. A value that JSON can't represent becomes null,
// as in JavaScript.
func (j *jsonWriter) float(f float64) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		j.out = append(j.out, "null"...)
		return
	}
	j.out = strconv.AppendFloat(j.out, f, 'g', -1, 64)
}

// attach adds an attachment and writes its placeholder.
func (j *jsonWriter) attach(data []byte) error {
	if len(j.attachments) == maxAttachments {
		return errAttachments
	}
	j.out = fmt.Appendf(j.out, `{"_placeholder":true,"num":%d}`, len(j.attachments))
	j.attachments = append(j.attachments, data)
	return nil
}

// valid returns text with every byte that isn't UTF-8 replaced.
func valid(text []byte) []byte {
	if utf8.Valid(text) {
		return text
	}
	return bytes.ToValidUTF8(text, []byte("\ufffd"))
}

// appendString appends a JSON string. It escapes only what it must.
func appendString(out, text []byte) []byte {
	const hex = "0123456789abcdef"
	out = append(out, '"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c < 0x20:
			out = append(out, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			out = append(out, c)
		}
	}
	return append(out, '"')
}

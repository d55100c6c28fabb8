package socketio

import (
	"strings"
	"testing"
)

func TestMsgpackConnect(t *testing.T) {
	long := strings.Repeat("x", 200)
	for message, want := range map[string]string{
		"\x83\xa4type\x00\xa4data\xd4\x00\x00\xa3nsp\xa1/":            "/",
		"\x83\xa4type\x00\xa4data\x81\xa5token\xa1x\xa3nsp\xa5/chat":  "/chat",
		"\x83\xa4type\x00\xa4data\x81\xa3nsp\xa4/lie\xa3nsp\xa5/chat": "/chat",
		"\x82\xa4type\x00\xa3nsp\xd9\xc9/" + long:                     "/" + long,
		"":     "",
		"\x83": "",
		"\x83\xa4type\x02\xa4data\x90\xa3nsp\xa1/": "", // an event
		"\x83\xa4type\x00":                         "",
		"\x83\xa4type\x00\xa3nsp":                  "",
		"\x83\xa4type\x00\xa3nsp\xa5/ch":           "",
		"\x83\xa4type\x00\xa3nsp\xd9":              "",
		"\x83\xa4type\x00\xa3nsp\x05":              "",
		"\x04\x01\x02":                             "",
	} {
		if got, ok := MsgpackConnect([]byte(message)); got != want || ok != (want != "") {
			t.Errorf("%q: %q %v, want %q", message, got, ok, want)
		}
	}
}

package engineio

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// masked returns a client's frame.
func masked(fin bool, op ws.OpCode, payload string) []byte {
	f := ws.MaskFrame(ws.NewFrame(op, fin, []byte(payload)))
	var b bytes.Buffer
	_ = ws.WriteFrame(&b, f)
	return b.Bytes()
}

func TestFragments(t *testing.T) {
	s := start(t)
	nc, ses := s.rawClient(t)
	var stream []byte
	stream = append(stream, masked(false, ws.OpText, "4he")...)
	stream = append(stream, masked(true, ws.OpPing, "in between")...)
	stream = append(stream, masked(false, ws.OpContinuation, "")...)
	stream = append(stream, masked(false, ws.OpContinuation, "ll\xc3")...) // a character in two fragments
	stream = append(stream, masked(true, ws.OpContinuation, "\xb6")...)
	stream = append(stream, masked(true, ws.OpBinary, "")...)
	stream = append(stream, masked(true, ws.OpText, "4"+strings.Repeat("y", 100_000))...)
	for _, step := range []int{1, 7, 4096, len(stream)} {
		for rest := stream; len(rest) > 0; {
			n := min(step, len(rest))
			if step == 1 && len(rest) < 90_000 {
				n = len(rest) // enough has come byte by byte
			}
			if _, err := nc.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		ses.wantData(t, "hellö")
		ses.wantData(t, "")
		ses.wantData(t, strings.Repeat("y", 100_000))
		if f, err := ws.ReadFrame(nc); err != nil || f.Header.OpCode != ws.OpPong || string(f.Payload) != "in between" {
			t.Fatalf("%v %v", f, err)
		}
	}
}

func TestViolations(t *testing.T) {
	unmasked := func(payload string) []byte {
		var b bytes.Buffer
		_ = ws.WriteFrame(&b, ws.NewTextFrame([]byte(payload)))
		return b.Bytes()
	}
	reserved := masked(true, ws.OpText, "4x")
	reserved[0] |= 0x40
	tests := map[string]struct {
		bytes  []byte
		reason Reason
		code   ws.StatusCode
	}{
		"unmasked":              {unmasked("4x"), ReasonTransportError, 1002},
		"reserved bit":          {reserved, ReasonTransportError, 1002},
		"unknown opcode":        {masked(true, 3, "4x"), ReasonTransportError, 1002},
		"unknown control":       {masked(true, 0xB, ""), ReasonTransportError, 1002},
		"stray continuation":    {masked(true, ws.OpContinuation, "x"), ReasonTransportError, 1002},
		"unfinished message":    {append(masked(false, ws.OpText, "4"), masked(true, ws.OpText, "4")...), ReasonTransportError, 1002},
		"fragmented control":    {masked(false, ws.OpPing, "x"), ReasonTransportError, 1002},
		"long control":          {masked(true, ws.OpPing, strings.Repeat("x", 126)), ReasonTransportError, 1002},
		"huge length":           {[]byte{0x81, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4}, ReasonTransportError, 1002},
		"bad UTF-8":             {masked(true, ws.OpText, "4\xff"), ReasonParseError, 1007},
		"bad UTF-8 in the rest": {append(masked(false, ws.OpText, "4\xc3"), masked(true, ws.OpContinuation, "x")...), ReasonParseError, 1007},
		"no packet":             {masked(true, ws.OpText, "abc"), ReasonParseError, 1007},
		"empty packet":          {masked(true, ws.OpText, ""), ReasonParseError, 1007},
		"ping packet":           {masked(true, ws.OpText, "2"), ReasonTransportError, 1002},
		"too large":             {masked(true, ws.OpText, "4"+strings.Repeat("x", 1000)), ReasonMessageTooLarge, 1009},
		"too large, announced":  {[]byte{0x81, 0xFF, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4}, ReasonMessageTooLarge, 1009},
		"too large in sum":      {append(masked(false, ws.OpText, "4"+strings.Repeat("x", 998)), masked(true, ws.OpContinuation, "xx")...), ReasonMessageTooLarge, 1009},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := start(t, func(o *Options) { o.MaxPayload, o.OversizeHandshake = 900, 100 })
			nc, ses := s.rawClient(t)
			ses.Send(text("2before"), false)
			if _, err := nc.Write(test.bytes); err != nil {
				t.Fatal(err)
			}
			if got := frames(t, nc); !strings.HasPrefix(got, "42before|") {
				t.Errorf("read %q", got)
			} else if code, _ := ws.ParseCloseFrameData([]byte(strings.TrimPrefix(got, "42before|"))); code != test.code {
				t.Errorf("close code %d, want %d", code, test.code)
			}
			_ = nc.Close()
			ses.wantClose(t, test.reason)
		})
	}
	t.Run("at the limit", func(t *testing.T) {
		s := start(t, func(o *Options) { o.MaxPayload, o.OversizeHandshake = 900, 100 })
		nc, ses := s.rawClient(t)
		if _, err := nc.Write(masked(true, ws.OpText, "4"+strings.Repeat("x", 999))); err != nil {
			t.Fatal(err)
		}
		ses.wantData(t, strings.Repeat("x", 999))
	})
}

// frames reads to the end of the stream and returns the payloads.
func frames(t *testing.T, nc net.Conn) string {
	t.Helper()
	var payloads []string
	for {
		f, err := ws.ReadFrame(nc)
		if err == io.EOF {
			return strings.Join(payloads, "|")
		}
		if err != nil {
			t.Fatalf("after %q: %v", payloads, err)
		}
		payloads = append(payloads, string(f.Payload))
	}
}

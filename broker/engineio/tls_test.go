package engineio

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// overTLS also serves s over TLS, where sockets only take blocking writes.
func (s *server) overTLS(t *testing.T) (*client, *session) {
	t.Helper()
	secure := httptest.NewTLSServer(s.Server)
	t.Cleanup(secure.Close)
	dialer := websocket.Dialer{TLSClientConfig: secure.Client().Transport.(*http.Transport).TLSClientConfig}
	ws, _, err := dialer.DialContext(t.Context(), "wss"+strings.TrimPrefix(secure.URL, "https")+"/?EIO=4&transport=websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.Close() })
	_ = ws.SetReadDeadline(time.Now().Add(patience))
	c := &client{t: t, s: s, ws: ws}
	c.sid = c.open(c.read()).SID
	return c, s.session(t)
}

func TestTLS(t *testing.T) {
	t.Run("messages", func(t *testing.T) {
		s := start(t, func(o *Options) { o.MaxQueuedBytes = 4 << 20 })
		c, ses := s.overTLS(t)
		c.write("4hello")
		ses.wantData(t, "hello")
		big := strings.Repeat("x", 200_000)
		c.write("4" + big)
		ses.wantData(t, big)
		for i := range 1000 {
			ses.Send(text(fmt.Sprint("2", i)), false)
		}
		ses.sendAndClose(text(big), ReasonForcedClose)
		for i := range 1000 {
			c.want(fmt.Sprint("42", i))
		}
		c.want("4" + big)
		c.wantClosed(websocket.CloseNormalClosure)
		ses.wantClose(t, ReasonForcedClose)
	})
	t.Run("stalled", func(t *testing.T) {
		s := start(t, func(o *Options) { o.MaxQueuedBytes, o.WriteTimeout = 64<<20, 200*time.Millisecond })
		_, ses := s.overTLS(t)
		for range 16 {
			ses.Send(text(strings.Repeat("x", 1<<20)), false)
		}
		ses.wantClose(t, ReasonSlowConsumer)
	})
}

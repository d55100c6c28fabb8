package adminui

import (
	"crypto/rand"
	"encoding/json"
	"time"

	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/socketio"
)

// admin is a page of the Admin UI whose user has signed in.
type admin struct {
	// Static.
	conn    *engineio.Conn
	id      string // of its socket
	account Account
	expires time.Time     // of the session
	gone    chan struct{} // closed when the admin is signed out

	// Guarded by Server.mu.
	welcome bool        // the page knows that it is connected
	expiry  *time.Timer // of the session; nil before

	// Owned by the goroutine of the feed.
	told    bool // which features there are
	verbose bool // sees sockets
	empty   bool // has been sent a list without sockets
	known   map[string]sight
}

// sight is what an admin sees of a namespace.
type sight struct{ sockets, events bool }

func newAdmin(conn *engineio.Conn, account Account, expires time.Time) *admin {
	return &admin{conn: conn, id: rand.Text(), account: account, expires: expires, gone: make(chan struct{}), known: make(map[string]sight)}
}

// sees returns what the admin sees of a namespace.
func (a *admin) sees(namespace string) sight {
	known, ok := a.known[namespace]
	if !ok {
		known = sight{sockets: a.account.Sees(namespace)}
		known.events = known.sockets && a.account.SeesEvents(namespace)
		a.known[namespace] = known
	}
	return known
}

// send queues a frame. An admin who reads too slowly is disconnected: what is missing would make
// the page wrong for good.
func (a *admin) send(f *engineio.Frame) {
	if reason := a.conn.Send(f, false); reason != engineio.Queued && reason != engineio.DropClosed {
		a.conn.CloseAfterFlush(engineio.ReasonSlowConsumer)
	}
}

// frame encodes an event for admins. Its arguments always encode.
func frame(event string, args ...any) *engineio.Frame {
	text, _ := json.Marshal(args)
	return engineio.NewFrame(socketio.AppendEvent(nil, Namespace, nil, event, socketio.Payload{Args: text}))
}

// The features that the page knows. The first four also have a form for many sockets.
const (
	featureAggregated = "AGGREGATED_EVENTS"
	featureAll        = "ALL_EVENTS"
)

// config is what the page gets to know about what it may show.
type config struct {
	SupportedFeatures []string `json:"supportedFeatures"`
}

// features returns what the page may show. Without featureAll it shows totals only.
func (a *admin) features(all bool) config {
	var names []string
	if a.account.Emits() {
		names = append(names, "EMIT")
	}
	if a.account.Acts() {
		names = append(names, "JOIN", "LEAVE", "DISCONNECT", "MJOIN", "MLEAVE", "MDISCONNECT")
	}
	names = append(names, featureAggregated)
	if all {
		names = append(names, featureAll)
	}
	return config{names}
}

package broker

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/adminui"
	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/eventhub"
)

// AdminUIOptions lets the official Socket.IO Admin UI connect.
type AdminUIOptions struct {
	// Keys knows who may sign in. It is used once clients are served. Required.
	Keys adminui.Keys
}

// countingTime is how long a node counts traffic after it was asked for it last.
const countingTime = 10 * time.Second

// adminNode is what a node tells the Admin UI, be it here or at another node. It implements
// [adminui.Node].
type adminNode struct {
	b        *Broker
	hostname string
	traffic  *engineio.Traffic // nil if this node doesn't serve the Admin UI

	mu   sync.Mutex
	stop *time.Timer // stops counting; nil until the first question
}

// newAdmin sets up what the Admin UI needs. Without it, only what other nodes may ask remains.
func (b *Broker) newAdmin() {
	b.adminNode = &adminNode{b: b}
	o := b.opts.AdminUI
	if o == nil {
		return
	}
	b.adminNode.hostname, _ = os.Hostname() // the id of the node says enough
	b.adminNode.traffic = &engineio.Traffic{}
	b.admin = adminui.New(adminui.Options{Keys: o.Keys, Node: b.adminNode, Logger: b.log})
}

// runAdmin serves the Admin UI until ctx ends, if it is on.
func (b *Broker) runAdmin(ctx context.Context) {
	if b.admin != nil {
		b.admin.Run(ctx)
		b.adminNode.stopCounting()
	}
}

// ID implements [adminui.Node].
func (n *adminNode) ID() string { return n.b.id }

// Namespaces implements [adminui.Node].
func (n *adminNode) Namespaces() []string { return n.b.namespaceNames }

// Stats implements [adminui.Node].
func (n *adminNode) Stats(ctx context.Context) []*wire.AdminStats {
	others, _ := callAll[wire.AdminStats](ctx, n.b, &wire.Op{Op: &wire.Op_GetAdminStats{GetAdminStats: &wire.GetAdminStats{}}})
	return append(others, n.local())
}

// local says how this node is doing. It counts traffic from now on, until nobody has asked for a
// while.
func (n *adminNode) local() *wire.AdminStats {
	b := n.b
	s := &wire.AdminStats{
		Node: b.id, Hostname: n.hostname, Pid: int64(os.Getpid()), UptimeMs: b.uptime().Milliseconds(),
		Clients: int64(b.engine.Connections()), Closed: b.metrics.closedByReason(),
	}
	if b.admin != nil {
		s.Clients -= int64(b.admin.Count())
	}
	s.Opened = uint64(b.engine.Connections()) //nolint:gosec // a count
	for _, n := range s.GetClosed() {
		s.Opened += n
	}
	for _, name := range b.namespaceNames {
		sockets, _ := b.namespaces[name].index.Len()
		s.Namespaces = append(s.Namespaces, &wire.AdminNamespace{Name: name, Sockets: int64(sockets)})
	}
	if n.traffic == nil {
		return s
	}
	n.count()
	t := n.traffic.Counts()
	s.PacketsIn, s.PacketsOut, s.BytesIn, s.BytesOut = t.PacketsIn, t.PacketsOut, t.BytesIn, t.BytesOut
	s.PollingClients = min(int64(n.traffic.Polling()), s.GetClients()) // an admin's isn't a client
	return s
}

// count has the node count traffic for a while.
func (n *adminNode) count() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.traffic.Count(true)
	if n.stop == nil {
		n.stop = time.AfterFunc(countingTime, func() { n.traffic.Count(false) })
		return
	}
	n.stop.Reset(countingTime)
}

func (n *adminNode) stopCounting() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stop != nil {
		n.stop.Stop()
	}
}

// Sockets implements [adminui.Node].
func (n *adminNode) Sockets(ctx context.Context, limit int) (sockets []eventhub.Socket, more, partial bool) {
	list, err := n.b.ListSockets(ctx, SocketQuery{Page: Page{Size: limit}})
	if err != nil { // can't be: the query is valid
		return nil, false, true
	}
	return list.Sockets, list.Next != "", list.Partial
}

// adminKinds are the events that admins see. Messages are among them.
func adminKinds() []eventhub.Kind {
	return []eventhub.Kind{
		eventhub.Connect, eventhub.Disconnect, eventhub.Away, eventhub.Resumed, eventhub.Join, eventhub.Leave, eventhub.Message,
	}
}

// adminCredits is how many events may be on their way to admins.
const adminCredits = 1000

// Observe implements [adminui.Node].
func (n *adminNode) Observe() (adminui.Observation, error) {
	sub, err := n.b.Subscribe(SubscribeOptions{Kinds: adminKinds(), Observe: true, Credits: adminCredits})
	if err != nil {
		return nil, err
	}
	return sub, nil
}

// FindSession implements [adminui.Node].
func (n *adminNode) FindSession(ctx context.Context, id string, digest []byte) *wire.AdminSession {
	owner := cluster.OwnerOf(id)
	if n.b.mesh == nil || owner == "" || string(owner) == n.b.id {
		return nil
	}
	var found wire.AdminSession
	op := &wire.Op{Op: &wire.Op_FindAdminSession{FindAdminSession: &wire.FindAdminSession{Digest: digest}}}
	notFound := &Error{Code: CodeNotFound, Reason: ReasonNodeNotFound, Message: "there is no such node"}
	if err := n.b.callNode(ctx, owner, op, &found, notFound); err != nil {
		return nil
	}
	return &found
}

// session answers another node that asks for a session.
func (n *adminNode) session(o *wire.FindAdminSession) *wire.AdminSession {
	if n.b.admin == nil {
		return &wire.AdminSession{}
	}
	return n.b.admin.Session(o.GetDigest())
}

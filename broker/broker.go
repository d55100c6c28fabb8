package broker

import (
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/eventhub/forward"
	"github.com/salabroker/sala/broker/eventhub/lastwill"
	"github.com/salabroker/sala/broker/memwatch"
	"github.com/salabroker/sala/broker/ratelimit"
	"github.com/salabroker/sala/broker/revocation"
	"github.com/salabroker/sala/broker/room"
)

// Broker is one node. Its methods may be called concurrently.
type Broker struct {
	// Static after New.
	opts           Options
	log            *slog.Logger
	id             string
	started        time.Time
	namespaces     map[string]*namespace
	namespaceNames []string // sorted
	relay          map[string]RelayRule
	rates          rates
	holds          *ratelimit.Holds // messages that have arrived in part
	messageLimits  MessageLimits
	admission      *admission
	engine         *engineio.Server
	handler        http.Handler
	metrics        *metrics
	events         *eventhub.Hub
	mesh           *cluster.Mesh // nil for a broker of one node, as the next two
	forwarder      *forward.Forwarder
	lastWill       *lastwill.Registry
	doubt          *doubt

	lastAckID      atomic.Uint64
	attachmentTime time.Duration // static: the constant of that name, but in tests

	pendingAcks *ratelimit.Shares // acks that the node waits for
	unreadAcks  *ratelimit.Shares // bytes of acks that callers haven't taken
	ackRequests *ackRequests
	memory      *memwatch.Watch   // nil without a limit
	revoked     *revocation.Table // nil for a broker of one node

	deciding sync.WaitGroup // connections that backends are asked about

	draining    atomic.Bool
	drainBegins chan struct{} // closed when draining is set
	drained     chan struct{} // closed when the last client has been sent away
	rush        chan struct{} // closed when the rest has to go at once
	rushing     sync.Once
}

// New returns a broker that is ready to serve, and that has goroutines until
// Shutdown. Its error is a *[Error] whose fields are named as in the
// configuration file.
func New(o Options) (*Broker, error) {
	o.setDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	b := &Broker{
		opts:          o,
		log:           o.Logger,
		id:            string(cluster.NewNodeID()),
		started:       time.Now(),
		namespaces:    make(map[string]*namespace, len(o.Namespaces)),
		relay:         o.relayByEvent(),
		rates:         o.rates(),
		drainBegins:   make(chan struct{}),
		drained:       make(chan struct{}),
		rush:          make(chan struct{}),
		ackRequests:   newAckRequests(),
		pendingAcks:   ratelimit.NewShares(maxPendingAcks),
		unreadAcks:    ratelimit.NewShares(unreadAcksLimit(o.MemoryLimit)),
		messageLimits: MessageLimits{Bytes: o.MaxMessageBytes, Attachments: o.MaxAttachments},

		attachmentTime: attachmentTime,
	}
	b.namespaceNames = slices.Compact(slices.Sorted(slices.Values(o.Namespaces)))
	for _, name := range b.namespaceNames {
		ns := &namespace{b: b, name: name}
		ns.index = room.NewIndex[*socket](room.Limits{Rooms: o.MaxRoomsPerSocket, PerUser: int(o.Limits.ConnectionsPerUser)}, ns)
		b.namespaces[name] = ns
	}
	b.admission = newAdmission(b)
	b.holds = newHolds(b)
	b.metrics = newMetrics(b)
	if o.Metrics != nil {
		if err := o.Metrics.Register(b.metrics); err != nil {
			return nil, &Error{Code: CodeInternal, Reason: ReasonMetrics, Message: err.Error()}
		}
	}
	if o.Cluster != nil {
		if err := b.joinCluster(o.Cluster); err != nil {
			return nil, err
		}
	}
	b.events = eventhub.New(eventhub.Options{
		AckTimeout:      o.AckTimeout,
		DecisionTimeout: o.Decisions.Timeout,
		Observer:        b.metrics.stream,
	})
	b.doubt = newDoubt(b)
	b.joinEvents()
	b.engine = b.newEngine()
	b.watchMemory()
	b.handler = b.publicHandler(b.engine)
	return b, nil
}

// newEngine returns the server of the clients' connections.
func (b *Broker) newEngine() *engineio.Server {
	policy := engineio.Disconnect
	if b.opts.SlowConsumers == DropSlow {
		policy = engineio.Drop
	}
	return engineio.New(b, engineio.Options{
		PingInterval:      b.opts.PingInterval,
		PingTimeout:       b.opts.PingTimeout,
		MaxPayload:        b.opts.MaxMessageBytes,
		OversizeHandshake: oversizeHandshake,
		MaxHandshake:      int64(b.opts.maxAuthBytes() + connectOverhead),
		ReadRate:          b.rates.bytes,
		Holds:             b.holds,
		MaxQueuedBytes:    int(max(b.opts.MaxQueueBytes, b.opts.MaxMessageBytes+messageOverhead)),
		Policy:            policy,
		Admission:         b.admission,
		Logger:            b.log,
		Observer:          b.metrics,
	})
}

// messageOverhead is more than the names and frame headers of a message take,
// so that one of the largest size fits into any queue.
const messageOverhead = 4 << 10

// Handler serves the public listener: Socket.IO below /socket.io/.
func (b *Broker) Handler() http.Handler { return b.handler }

package broker

import (
	"cmp"
	"hash/maphash"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/broker/adminui"
	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/eventhub/forward"
	"github.com/salabroker/sala/broker/eventhub/lastwill"
	"github.com/salabroker/sala/broker/eventhub/losscheck"
	"github.com/salabroker/sala/broker/idempotency"
	"github.com/salabroker/sala/broker/inflight"
	"github.com/salabroker/sala/broker/memwatch"
	"github.com/salabroker/sala/broker/nodeproxy"
	"github.com/salabroker/sala/broker/outcome"
	"github.com/salabroker/sala/broker/presence"
	"github.com/salabroker/sala/broker/ratelimit"
	"github.com/salabroker/sala/broker/recording"
	"github.com/salabroker/sala/broker/revocation"
	"github.com/salabroker/sala/broker/room"
	"github.com/salabroker/sala/broker/stats"
	"github.com/salabroker/sala/broker/turns"
	"github.com/salabroker/sala/broker/workers"
)

// Broker is one node. Its methods may be called concurrently.
type Broker struct {
	// Static after New.
	opts           Options
	id             string
	started        time.Time
	log            *slog.Logger
	metrics        *metrics
	outcomes       *outcome.Recorder
	namespaces     map[string]*namespace
	namespaceNames []string // sorted
	handler        http.Handler

	// What clients use. Static after New; each guards itself.
	engine         *engineio.Server
	admission      *admission
	relay          map[string]RelayRule // by the event that clients send
	rates          rates
	holds          *ratelimit.Holds // messages that have arrived in part
	turns          *turns.Turns     // of large messages
	attachmentTime time.Duration    // the constant of that name, except in tests
	deciding       sync.WaitGroup   // connections that backends are deciding about
	expiries       expiries         // of sockets
	grants         grants
	recovery       *recovery // nil if no client can take part in it

	// Messages and acks. Static after New; each guards itself.
	messageLimits MessageLimits
	lastMessage   atomic.Uint64       // number of the last message that has an identity
	recorder      *recording.Recorder // nil if no room has history
	lastAckID     atomic.Uint64
	pendingAcks   *ratelimit.Shares // acks that the node waits for
	unreadAcks    *ratelimit.Shares // bytes of acks that callers haven't taken
	ackRequests   *ackRequests
	keys          *idempotency.Keys // nil if the broker takes no idempotency keys
	deliveries    *idempotency.Deliveries[delivered]

	// Events for backends. Static after New; each guards itself.
	events       *eventhub.Hub
	presence     *presence.Tracker
	roomLists    presence.Lists[roomUsers]
	presenceFull sync.Once // for the log

	// What people look at. Static after New; each guards itself.
	searches searches
	stats    stats.Recorder

	// The cluster; nil for a single node. Static after New; each guards itself.
	mesh      *cluster.Mesh
	proxy     *nodeproxy.Proxy
	forwarder *forward.Forwarder
	lastWill  *lastwill.Registry
	lossCheck *losscheck.Check
	revoked   *revocation.Table
	watching  *outcome.Exchange

	// Sessions that move between nodes; static after New; each guards itself.
	sending      inflight.Operations // that have gone to other nodes, and look for sockets of this one
	movedSockets *movedSockets
	departures   departures
	takingOver   *takeOvers
	workers      *workers.Pool // run the returns of clients
	handedOver   handOvers
	offering     sync.WaitGroup // the goroutine that offers sessions while the node drains
	clientsGone  chan struct{}  // closed when no client is connected any more, while the node drains
	stopOffers   chan struct{}  // closed when sessions are offered no longer

	memory *memwatch.Watch // nil without a limit; static after New

	// The Admin UI. Static after New; each guards itself.
	admin     *adminui.Server // nil if it is off
	adminNode *adminNode

	// The end.
	draining    atomic.Bool
	drainBegins chan struct{} // closed when draining is set
	drained     chan struct{} // closed when the last client has been sent away
	rush        chan struct{} // closed when the remaining clients have to go at once
	rushing     sync.Once     // closes rush
	ending      sync.Once     // closes clientsGone
	stopping    sync.Once     // closes stopOffers
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
		opts:        o,
		id:          string(cluster.NewNodeID()),
		started:     time.Now(),
		log:         o.Logger,
		namespaces:  make(map[string]*namespace, len(o.Namespaces)),
		relay:       o.relayByEvent(),
		rates:       o.rates(),
		drainBegins: make(chan struct{}),
		drained:     make(chan struct{}),
		rush:        make(chan struct{}),
		clientsGone: make(chan struct{}),
		stopOffers:  make(chan struct{}),

		attachmentTime: attachmentTime,
		messageLimits:  o.messageLimits(),
		pendingAcks:    ratelimit.NewShares(maxPendingAcks),
		unreadAcks:     ratelimit.NewShares(unreadAcksLimit(o.MemoryLimit)),
		ackRequests:    newAckRequests(),
		recovery:       newRecovery(o.Recovery, o.sharedKeys()),
		deliveries:     idempotency.NewDeliveries[delivered](cmp.Or(o.IdempotencyWindow, time.Minute)),
		recorder:       newRecorder(o.History),
		searches:       newSearches(),
		grants:         grants{seed: maphash.MakeSeed()},
	}
	b.outcomes = outcome.NewRecorder(b.id, b.log, o.Debug)
	b.namespaceNames = slices.Compact(slices.Sorted(slices.Values(o.Namespaces)))
	for _, name := range b.namespaceNames {
		ns := &namespace{b: b, name: name}
		ns.index = room.NewIndex[*socket](room.Limits{Rooms: o.MaxRoomsPerSocket, PerUser: int(o.Limits.ConnectionsPerUser)}, ns)
		b.namespaces[name] = ns
	}
	b.movedSockets, b.takingOver, b.workers = newMovedSockets(cluster.NodeID(b.id)), newTakeOvers(), workers.New()
	b.admission = newAdmission(b)
	b.holds = newHolds(b)
	b.turns = turns.New(runtime.GOMAXPROCS(0))
	b.metrics = newMetrics(b)
	if err := b.registerMetrics(); err != nil {
		return nil, err
	}
	if o.Cluster != nil {
		if err := b.joinCluster(o.Cluster); err != nil {
			return nil, err
		}
	}
	b.keys = b.newKeys()
	b.events = eventhub.New(eventhub.Options{
		AckTimeout:      o.AckTimeout,
		DecisionTimeout: o.Decisions.Timeout,
		MaxOwnerBytes:   o.maxOwnerBytes(),
		Observer:        b.metrics.stream,
	})
	b.shareEvents()
	b.presence = newPresence(b)
	b.newAdmin()
	b.engine = b.newEngine()
	b.watchMemory()
	b.handler = b.publicHandler(b.engine)
	return b, nil
}

// registerMetrics registers the node's collectors, if somebody wants them.
func (b *Broker) registerMetrics() error {
	if b.opts.Metrics == nil {
		return nil
	}
	collectors := []prometheus.Collector{b.metrics}
	if h := b.opts.History; h != nil {
		collectors = append(collectors, newHistoryMetrics(h.Engine))
	}
	for _, c := range collectors {
		if err := b.opts.Metrics.Register(c); err != nil {
			return &Error{Code: CodeInternal, Reason: ReasonMetrics, Message: err.Error()}
		}
	}
	return nil
}

// newRecorder returns nil if no room has history.
func newRecorder(o *HistoryOptions) *recording.Recorder {
	if o == nil || len(o.Rules) == 0 {
		return nil
	}
	return recording.New(o.Engine, o.Rules)
}

// newEngine returns the server for the clients' connections.
func (b *Broker) newEngine() *engineio.Server {
	policy := engineio.Disconnect
	if b.opts.SlowConsumers == DropSlow {
		policy = engineio.Drop
	}
	prefix := "" // of session ids: a node alone needs none
	if b.mesh != nil {
		prefix = b.id
	}
	return engineio.New(b, engineio.Options{
		SessionPrefix:     prefix,
		Elsewhere:         b.forward,
		PingInterval:      b.opts.PingInterval,
		PingTimeout:       b.opts.PingTimeout,
		MaxPayload:        b.opts.MaxMessageBytes,
		OversizeHandshake: maxConnectBytes,
		MaxHandshake:      int64(b.opts.maxAuthBytes() + connectOverhead),
		ReadRate:          b.rates.bytes,
		Holds:             b.holds,
		MaxQueuedBytes:    int(max(b.opts.MaxQueueBytes, b.opts.MaxMessageBytes+messageOverhead)),
		Policy:            policy,
		Admission:         b.admission,
		Logger:            b.log,
		Observer:          b.metrics,
		Traffic:           b.adminNode.traffic,
	})
}

// messageOverhead is more than a message takes for its names and frame headers, so
// that a message of the largest size fits into any queue.
const messageOverhead = 4 << 10

// Turns returns the turns in which the node does work that takes long, for others in the process
// that do such work.
func (b *Broker) Turns() *turns.Turns { return b.turns }

// Handler returns the handler of the public listener: Socket.IO below
// [Options.Path].
func (b *Broker) Handler() http.Handler { return b.handler }

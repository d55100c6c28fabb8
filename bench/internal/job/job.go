// Package job is what the benchmark's parts tell each other: the orchestrator gives the load generator one [Job] on
// its standard input, and gets [Note]s back, one JSON object a line. What was measured is a set of [Figures].
package job

import "time"

// Kind is what the load generator does.
type Kind string

// The kinds of jobs.
const (
	// Deliver connects clients, publishes to their rooms and watches what arrives.
	Deliver Kind = "deliver"
	// Hold connects clients and leaves them alone, to see what memory they take.
	Hold Kind = "hold"
	// Connect counts what connecting costs, and how many connections are lost.
	Connect Kind = "connect"
	// Control calls the control API as fast as it answers.
	Control Kind = "control"
	// Events has clients send events and waits for their acks.
	Events Kind = "events"
	// Stall makes some of the clients stop to read while messages are published to all.
	Stall Kind = "stall"
	// Cut connects clients and cuts them off without a word.
	Cut Kind = "cut"
	// Hostile has others do everything that no client should, while messages are published to ordinary ones.
	Hostile Kind = "hostile"
	// Shares has one key, or one address, take all that it can get, while another key and ordinary clients go on.
	Shares Kind = "shares"
	// Grab carries out the parts of Shares that are named in Attacks, until it is told to end.
	Grab Kind = "grab"
	// Attack is these others.
	Attack Kind = "attack"
	// Burn takes Think of a processor every Every, and nothing of the server: what an attacker costs the machine.
	Burn Kind = "burn"
	// Storm cuts off most of the clients at once, which come back as stock clients do.
	Storm Kind = "storm"
	// Comeback is those who are cut off.
	Comeback Kind = "comeback"
	// Terminate tells a server to end under load.
	Terminate Kind = "terminate"
	// Resets resets connections at any moment.
	Resets Kind = "resets"
	// Files has more clients come than a server has files for.
	Files Kind = "files"
	// Soak has clients of all kinds come and go for long, while everything else happens as well.
	Soak Kind = "soak"
	// Farewell emits to each client and disconnects it, and looks at what it gets.
	Farewell Kind = "farewell"
	// Upgrade lets clients change from long-polling to WebSocket while messages come and go.
	Upgrade Kind = "upgrade"
	// KillBackends kills backends while clients wait for their answers.
	KillBackends Kind = "kill-backends"
	// Backend is one of these backends.
	Backend Kind = "backend"
	// Cluster measures several servers that are one by way of Redis.
	Cluster Kind = "cluster"
	// KillNodes kills one server of a cluster after the other.
	KillNodes Kind = "kill-nodes"
	// KillRedis kills the Redis of a cluster again and again.
	KillRedis Kind = "kill-redis"
	// Freeze stops a server of a cluster for a while.
	Freeze Kind = "freeze"
	// Network has the network between the servers of a cluster and their Redis fail.
	Network Kind = "network"
	// Refusals has the Redis of a cluster refuse commands.
	Refusals Kind = "refusals"
	// Sentinel replaces the Redis of a cluster, as sentinels do.
	Sentinel Kind = "sentinel"
	// RedisCluster replaces servers of the Redis Cluster that servers meet on.
	RedisCluster Kind = "redis-cluster"
	// Skew has the clock of a server of a cluster be wrong.
	Skew Kind = "skew"
	// KillPairs kills all servers of a cluster but one within two seconds.
	KillPairs Kind = "kill-pairs"
	// Rolling restarts all servers of a cluster in good order, one after the other.
	Rolling Kind = "rolling"
	// Membership changes who is in which room of a cluster, and compares that with a model.
	Membership Kind = "membership"
)

// OfCluster reports whether a job is about several servers, which it starts itself.
func (k Kind) OfCluster() bool {
	switch k {
	case Cluster, KillNodes, KillRedis, Freeze, Network, Refusals, Sentinel, RedisCluster, Skew, KillPairs, Rolling, Membership:
		return true
	default:
		return false
	}
}

// Alone reports whether a job is about one server, which it starts itself.
func (k Kind) Alone() bool { return k == Terminate || k == Files || k == Resets }

// Protocol is how clients speak with a peer.
type Protocol string

// The protocols of the peers.
const (
	// SocketIO is Socket.IO 4 with the client's rooms in auth.rooms.
	SocketIO Protocol = "socket.io"
	// Sala is Socket.IO 4 with a token in auth.token that names the client's rooms.
	Sala Protocol = "sala"
	// Centrifuge is centrifuge's JSON protocol with the client's rooms in the connect command's data.
	Centrifuge Protocol = "centrifuge"
	// Floor is a bare WebSocket with the client's rooms in the URL.
	Floor Protocol = "floor"
	// GRPC has no clients, only the control API.
	GRPC Protocol = "grpc"
)

// Target is the server under test.
type Target struct {
	Protocol Protocol `json:"protocol"`
	// PID is the server's process, whose CPU and memory are read.
	PID int `json:"pid"`
	// Listen is where clients connect.
	Listen string `json:"listen"`
	// Control is where messages are published: gRPC of Sala and of the empty handler, lines of text of the others.
	Control string `json:"control"`
	// HTTP is the REST API, if there is one.
	HTTP string `json:"http,omitempty"`
	// APIKey opens Sala's control API.
	APIKey string `json:"apiKey,omitempty"`
	// GreedyKey opens it too, for those who take more than their share.
	GreedyKey string `json:"greedyKey,omitempty"`
	// Log is the file with the server's output.
	Log string `json:"log,omitempty"`
}

// Command is how a server is started.
type Command struct {
	Name string   `json:"name"` // for people
	Path string   `json:"path"`
	Args []string `json:"args"`
	Env  []string `json:"env,omitempty"` // beside the environment
	Wait []string `json:"wait"`          // where it listens once it is ready
	// Ready is a URL that answers with 200 when the server is to get clients; empty if it is as soon as it listens.
	Ready string `json:"ready,omitempty"`
	Log   string `json:"log"` // the file for its output
	// Target says where it can be reached; its PID isn't known before.
	Target Target `json:"target"`
}

// Job is one measurement of one server, or of several that are one.
type Job struct {
	Kind   Kind   `json:"kind"`
	Target Target `json:"target"`
	// Servers are to be started: one alone, or Redis and then those that are one by way of it. Target is not set then.
	Servers []Command `json:"servers,omitempty"`
	// Clients is how many are connected, or how many times one connects.
	Clients int `json:"clients"`
	// Polling opens each connection with HTTP long-polling and upgrades it, as stock clients do.
	Polling bool `json:"polling,omitempty"`
	// Pause is how long the server is left alone before a measurement.
	Pause time.Duration `json:"pause"`
	// Warmup is how many clients connect, or calls are made, before anything is measured.
	Warmup int `json:"warmup,omitempty"`

	// Of Deliver: clients are spread over Rooms of Members each; each client is in one room if Rooms is 1. Messages
	// are published in batches, every Every or, if that is zero, as soon as the batch before has arrived.
	Rooms         int           `json:"rooms,omitempty"`
	Members       int           `json:"members,omitempty"`
	Batch         int           `json:"batch,omitempty"`
	Batches       int           `json:"batches,omitempty"`
	WarmupBatches int           `json:"warmupBatches,omitempty"`
	Every         time.Duration `json:"every,omitempty"`

	// Patience is how long messages may take to arrive behind the last one; what comes later is missing.
	Patience time.Duration `json:"patience,omitempty"`
	// Settle is how long Hold leaves the clients alone.
	Settle time.Duration `json:"settle,omitempty"`
	// Drop makes Connect close each connection at once, rather than keep all.
	Drop bool `json:"drop,omitempty"`

	// Of Control: how many calls are made.
	Unary  int `json:"unary,omitempty"`
	Stream int `json:"stream,omitempty"`
	REST   int `json:"rest,omitempty"`

	// Of Events: first batches as in Deliver; then how many events are sent, and how many at a time.
	Events   int `json:"events,omitempty"`
	InFlight int `json:"inFlight,omitempty"`

	// Of KillBackends: how many backends there are, and how long each takes for an answer. Batches of events are sent, each
	// by one client, every Every; Rounds times meanwhile backends are killed; Settle is how long answers may come behind the last event.
	Backends int           `json:"backends,omitempty"`
	Think    time.Duration `json:"think,omitempty"`

	// Of Cluster: Clients is for each server. Calls messages go to Members clients of one server, Batch of them in the time
	// Every; Rounds times Batches to all of one, one each Every; BurstOf at once to all.
	Calls   int `json:"calls,omitempty"`
	BurstOf int `json:"burstOf,omitempty"`

	// Window is how many connections are opened at a time, if not the usual number.
	Window int `json:"window,omitempty"`
	// Stalled is how many more clients stop to read in each round; Windows is how many times Batches are measured, before
	// and after.
	Stalled int `json:"stalled,omitempty"`
	Windows int `json:"windows,omitempty"`
	// Dropped is how many more clients there are in Storm, which are cut off.
	Dropped int `json:"dropped,omitempty"`
	// Duration is how long Soak goes on.
	Duration time.Duration `json:"duration,omitempty"`
	// Files is how many files the server of Files may open. Dropped connections come there, and Calls are made meanwhile.
	Files int `json:"files,omitempty"`
	// Attacks are what Attack does, by their names.
	Attacks []string `json:"attacks,omitempty"`
	// Rounds is how many times Cut connects all clients and cuts them off, and Stall has clients stop to read. Hostile measures
	// each attack so often, or up to Windows times if it seems to slow others down.
	Rounds int `json:"rounds,omitempty"`
}

// Figures are what was measured, by name.
type Figures map[string]float64

// The names of figures. Times of the CPU are the server's: user and system, of all its threads.
const (
	CPU        = "cpu_us"      // CPU per delivery, µs
	P50        = "p50_ms"      // latency from publishing to the client's read, ms
	P99        = "p99_ms"      //
	Max        = "max_ms"      //
	Deliveries = "deliveries"  // that arrived
	Missing    = "missing"     // that should have arrived and did not
	Disorder   = "disorder"    // that arrived behind a later one
	Rejected   = "rejected"    // which the server says it did not queue
	Lost       = "lost"        // connections that failed or were not answered in time
	Gone       = "gone"        // connections that ended by themselves
	Connects   = "connects"    // connections made, the lost ones included
	ConnectCPU = "connect_us"  // CPU per connect, µs
	ConnectP99 = "connect_ms"  // time to connect, 99th percentile, ms
	RSS        = "rss_kb"      // resident memory per connection after settling, KiB
	RSSFresh   = "rss_new_kb"  // the same right after connecting
	UnaryCPU   = "unary_us"    // CPU per unary call, µs
	StreamCPU  = "stream_us"   // CPU per message of a stream, µs
	RESTCPU    = "rest_us"     // CPU per REST call, µs
	LoadCPU    = "load_cpu_us" // the load generator's own CPU per delivery, µs
	Rate       = "rate"        // deliveries per second
)

// The names of the figures about clusters. Far is from one server to the clients of another, near to its own.
const (
	P50Near      = "p50_near_ms"          // latency, ms
	P99Near      = "p99_near_ms"          //
	P50Far       = "p50_far_ms"           //
	P99Far       = "p99_far_ms"           //
	P50More      = "p50_more_ms"          // far above near, ms
	P99More      = "p99_more_ms"          //
	Busy         = "busy"                 // share of the machine that was in use meanwhile
	CPUNear      = "cpu_near_us"          // CPU per delivery of the server that delivers, µs
	CPUFar       = "cpu_far_us"           //
	PublishCPU   = "publish_us"           // CPU per message of the server that publishes it to another's clients, µs
	RedisCPU     = "redis_us"             // CPU of Redis per such message, µs
	Publishes    = "publishes"            // messages published over Redis for each one that was emitted
	Commands     = "commands"             // other commands to Redis for each one, pings and heartbeats aside
	AllPaced     = "cpu_all_paced_us"     // CPU of all servers and Redis per delivery to everyone, paced, µs
	AllBurst     = "cpu_all_burst_us"     // the same at once
	AllScattered = "cpu_all_scattered_us" // the same to rooms of one on each server
)

// KeptReaders is how many goroutines a server of Sala may keep for each processor to read connections with.
const KeptReaders = 16

// The names of the figures about faults.
const (
	P99Stalled = "p99_stalled_ms"   // p99 of those who read, while others don't, ms
	P99Ratio   = "p99_ratio"        // the same as a ratio to the p99 before
	Held       = "held_kb"          // largest growth of the resident memory per stalled client, KiB
	Stayed     = "stayed"           // clients that should have been disconnected, and were not
	Uncounted  = "uncounted"        // disconnected clients that the server's metrics don't show with the right reason
	Seconds    = "seconds"          // until the last of them was gone
	Clients    = "clients"          // how many the fault was tried with
	Goroutines = "goroutines"       // at the most
	OpenFiles  = "files"            // open at the most
	Heap       = "heap_kb"          // live at the most, KiB
	MoreGos    = "goroutines_above" // above what they were before the clients came
	MoreFiles  = "files_above"      //
	HeapOnce   = "heap_once_kb"     // live heap above that, when the first crowd had gone, KiB
	MoreHeap   = "heap_above_kb"    // live heap at the end above when the first crowd had gone, KiB
	Listed     = "listed"           // sockets that the server still lists or counts
	Broken     = "broken"           // clients that did not get exactly what they should, in order
	Upgrades   = "upgrades"         // completed
	Broadcasts = "broadcasts"       // received by those who upgraded
	Directed   = "directed"         // messages for a single client that they received
	Acks       = "acks"             // answers to their own events that they received
)

// The names of the figures about connections that are reset.
const (
	ResetConns = "resets" // TCP connections
	Ghosts     = "ghosts" // connections and sockets that the server has and the kernel doesn't, or the reverse
)

// Back99 is until 99 of 100 clients of a storm were back, seconds.
const Back99 = "back_99_s"

// The names of the figures about a soak.
const (
	Emitted    = "emitted"    // messages to everyone
	Lasting    = "lasting"    // clients that stay all the while
	Visits     = "visits"     // clients that came and went
	Attacked   = "attacks"    // begun
	Subscribes = "subscribes" // backends that came and went
	Changed    = "changes"    // of membership
	Revoked    = "revocations"
	Questions  = "questions" // emits that wait for clients' answers
	Freezes    = "freezes"   // of the server's process, a moment each
	Unheeded   = "unheeded"  // revocations whose client could stay
)

// The names of the figures about hostile clients. Of one attack they are called as [Of] says.
const (
	Blows  = "blows"         // things sent that no client should send
	Bytes  = "bytes"         // of these, a second
	Faulty = "faulty_lines"  // of the server's log, which say that it is at fault
	AtOnce = "all_p99_ratio" // p99 of the others while there are all attacks, as a ratio to the p99 without
)

// The names of the figures about those who take more than their share.
const (
	Resident = "resident_mib" // memory of the server at any time, MiB
	Unwell   = "probes_lost"  // probes that weren't answered
	Denied   = "calls_lost"   // calls of another key that weren't carried out
	Probes   = "probes"       // in all
)

// Of returns the name of a figure about one part of what was measured.
func Of(figure, part string) string { return figure + " of " + part }

// The names of the figures about backends that are killed.
const (
	Asked       = "asked"            // events that clients sent, each with an ack
	Answered    = "answered"         // of these, by a backend
	NoHandler   = "no_handler"       // with the error code NO_HANDLER
	HandlerLost = "handler_lost"     // with the error code HANDLER_LOST
	OtherCodes  = "other_codes"      // with another one
	Needless    = "needless_errors"  // with any, though there was a backend all the while
	Unanswered  = "unanswered"       // not at all
	Twice       = "answered_twice"   // more than once
	Stray       = "stray_packets"    // that are no answer to an event of the client who got them, and deliveries of no event
	Redelivered = "redelivered"      // events that a second backend got
	Repeated    = "handed_too_often" // deliveries beyond one, and one again to another backend
	Moved       = "moved"            // deliveries to another backend though the socket's own was alive
	Behind      = "behind_percent"   // how much slower than asked for the events were sent
)

// The names of the figures about faults of clusters.
const (
	Kills    = "kills"
	Accepted = "accepted"      // messages
	Complete = "complete"      // messages whose reports lack no node
	Received = "received"      // by all clients together
	Untold   = "untold"        // messages that a client lacks though the report was complete
	Short    = "short"         // complete reports that count fewer clients than there were
	Refused  = "refused"       // messages that no server has taken
	Slowest  = "slowest_ms"    // answer to an emit
	Noticed  = "noticed_s"     // until the others had noticed that a server was gone, at the most
	Resumed  = "resumed_s"     // until everyone heard everyone again, at the most
	Back     = "back_s"        // until all clients of a server were connected to others, at the most
	Away     = "away_s"        // how long clients were without a connection, at the most
	Ended    = "ended_s"       // until a server that was told to end had ended, at the most
	Unheard  = "unheard"       // connections that ended without a goodbye
	Failed   = "failed"        // servers that ended with another exit code than 0
	Spinning = "spinning"      // CPU of all servers while Redis was away and nothing to do, percent of one processor
	Ops      = "operations"    // changes of membership
	Wrong    = "wrong_answers" // to them
	Planned  = "planned_s"     // until everyone heard everyone again after a failover that was asked for, at the most
	Told     = "told_s"        // until backends had heard of the end of all clients of killed servers, at the most
	Ends     = "ends"          // clients of killed servers that backends were to hear of
	Unsaid   = "ends_unsaid"   // of these, those that backends didn't hear of
	Apart    = "members_apart" // sockets whose rooms are not those of the model, by all servers together
)

// Handed is one delivery of an event to a backend.
type Handed struct {
	// Number is the event's.
	Number uint64 `json:"number"`
	// Redelivered says that another backend may have had it before.
	Redelivered bool `json:"redelivered,omitempty"`
	// At is when the backend read it.
	At time.Time `json:"at"`
}

// Moment is what a server takes at one moment of a soak.
type Moment struct {
	Seconds    float64 `json:"seconds"` // since the beginning
	RSS        float64 `json:"rss"`     // resident memory, bytes
	Heap       float64 `json:"heap"`    // what the last garbage collection left, bytes
	Goroutines float64 `json:"goroutines"`
	Files      float64 `json:"files"` // open
}

// Note is one line from the load generator.
type Note struct {
	// Connected says that all clients are connected, or that the backend has subscribed.
	Connected bool `json:"connected,omitempty"`
	// Handed says that the backend was handed an event.
	Handed *Handed `json:"handed,omitempty"`
	// Moment is one of a soak.
	Moment *Moment `json:"moment,omitempty"`
	// Figures is the result; nothing follows it.
	Figures Figures `json:"figures,omitempty"`
	// Error says why there is no result; nothing follows it.
	Error string `json:"error,omitempty"`
}

package report

import (
	"fmt"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/runner"
)

// column is one figure in a table.
type column struct {
	figure, title string
	total         bool   // the largest count of all runs instead of the median
	against       string // if set: the ratio to the same figure of the same server in another profile
}

// section shows one profile. Its first column is the one whose ratios are shown.
type section struct {
	profile, title string
	text           func(j job.Job) string
	columns        []column
}

var (
	cpu      = column{figure: job.CPU, title: "CPU per delivery, µs"}
	p50      = column{figure: job.P50, title: "p50, ms"}
	p99      = column{figure: job.P99, title: "p99, ms"}
	toPaced  = column{figure: job.CPU, title: "× own paced", against: runner.Paced}
	missing  = column{figure: job.Missing, title: "missing", total: true}
	disorder = column{figure: job.Disorder, title: "out of order", total: true}
	lost     = column{figure: job.Lost, title: "lost connections", total: true}
)

var (
	deliveryColumns = []column{cpu, p50, p99, missing, disorder, lost}
	scalingColumns  = []column{cpu, toPaced, p50, p99, missing, disorder, lost}
)

var sections = []section{
	{runner.Burst, "Burst", func(j job.Job) string {
		return fmt.Sprintf("%d clients in one room; %d messages of about 130 bytes are published at once, %d times over. What counts "+
			"is how well a server puts together what is waiting for the same client.", j.Clients, j.Batch, j.Batches)
	}, deliveryColumns},
	{runner.Paced, "Paced", func(j job.Job) string {
		return fmt.Sprintf("%d clients in one room, %s messages a second for %s. Each message is alone, so each recipient "+
			"costs a system call: that is most of the floor.", j.Clients, rate(j), lasting(j))
	}, deliveryColumns},
	{runner.Rooms, "Many rooms", func(j job.Job) string {
		return fmt.Sprintf("%d rooms of %d members, over %d clients; %s messages a second to random rooms for %s. What a message costs "+
			"before it is written is shared by few.",
			j.Rooms, j.Members, j.Clients, rate(j), lasting(j))
	}, scalingColumns},
	{runner.Wide, "One wide room", func(j job.Job) string {
		return fmt.Sprintf("%d clients in one room, %s messages a second for %s. A message is out when the last of them has it, "+
			"so the latency is mostly the length of that loop.", j.Clients, rate(j), lasting(j))
	}, scalingColumns},
	{runner.Idle, "Idle", func(j job.Job) string {
		return fmt.Sprintf("%d clients that do nothing but answer pings, connected over WebSocket; resident memory after %v, "+
			"less that of the server before they came.", j.Clients, j.Settle)
	}, []column{{figure: job.RSS, title: "memory per connection, KiB"}, {figure: job.RSSFresh, title: "the same right after connecting, KiB"}, lost}},
	{runner.Default, "Default client", func(j job.Job) string {
		return fmt.Sprintf("The same with %d clients that connect as Socket.IO clients do if they aren't told otherwise: HTTP "+
			"long-polling first, then the upgrade to WebSocket.", j.Clients)
	}, []column{{figure: job.RSS, title: "memory per connection, KiB"}, {figure: job.ConnectCPU, title: "CPU per connect, µs"}, lost}},
	{runner.Connect, "Connect", func(j job.Job) string {
		return fmt.Sprintf("%d clients connect over WebSocket, as fast as they are let in, and join one room. Sala verifies a JWT "+
			"for each; the others let everybody in.", j.Clients)
	}, []column{{figure: job.ConnectCPU, title: "CPU per connect, µs"}, {figure: job.ConnectP99, title: "p99, ms"}, lost}},
	{runner.Handshakes, "Handshakes", func(j job.Job) string {
		return fmt.Sprintf("%d connections, each closed as soon as the client is in its room. Lost is one that isn't there within 5 s.",
			j.Clients)
	}, []column{{figure: job.ConnectCPU, title: "CPU per connection, µs"}, {figure: job.Connects, title: "tried"}, lost}},
	{runner.Control, "Control API", func(j job.Job) string {
		return fmt.Sprintf("Emits to a room of one: %d unary calls over gRPC, %d messages over one EmitStream, %d calls over REST. "+
			"The handler that they are compared with takes the same requests and does nothing: no key, no checks, no client.",
			j.Unary, j.Stream, j.REST)
	}, []column{
		{figure: job.UnaryCPU, title: "CPU per unary call, µs"}, {figure: job.StreamCPU, title: "CPU per message of a stream, µs"},
		{figure: job.RESTCPU, title: "CPU per REST call, µs"}, missing,
	}},
	{runner.Events, "Events of clients", func(j job.Job) string {
		return fmt.Sprintf("%d clients send events and wait for acks, which bring back what was sent. Latency is from sending to the "+
			"ack, at %s events a second for %s; then %d events follow, %d at a time. With Sala a backend answers them: it is another "+
			"process and holds one event stream over gRPC. Node's handler is a function in the server. The clients, the backend "+
			"and the server share the machine, which bounds the rate.",
			j.Clients, rate(j), lasting(j), j.Events, j.InFlight)
	}, []column{{figure: job.CPU, title: "the server's CPU per event, µs"}, {figure: job.Rate, title: "events a second"}, p50, p99, missing, disorder}},
	{runner.Cluster, "Clusters: what all servers cost", func(j job.Job) string {
		return fmt.Sprintf("Three servers that are one by way of Redis, with %d clients each. Sala's nodes sign what they say to each other; "+
			"Node has @socket.io/redis-adapter. Everything is published at the first server. The CPU is that of all three and of Redis: "+
			"%d messages at once to everyone, %.0f a second to everyone, and %.0f a second to rooms with one member on each "+
			"server. What goes to everyone one by one is mostly system calls, as when paced; in small rooms it is mostly what "+
			"a message costs before it is written.",
			j.Clients, j.BurstOf, float64(time.Second)/float64(3*j.Every), 20*float64(time.Second)/float64(j.Every))
	}, []column{
		{figure: job.AllBurst, title: "at once, µs per delivery"}, {figure: job.AllPaced, title: "paced, µs per delivery"},
		{figure: job.AllScattered, title: "small rooms, µs per delivery"},
		{figure: job.Publishes, title: "messages over Redis per emit"}, {figure: job.Commands, title: "other commands per emit"},
		missing, disorder, lost,
	}},
	{runner.Cluster, "Clusters: to another server", func(j job.Job) string {
		return fmt.Sprintf("The same servers: the first one's clients (near) against the second one's (far). Latency: %s messages a second, "+
			"to %d clients near and as many far in turn; busy is the share of the machine that all processes used meanwhile, the load "+
			"generator's among them. CPU: %.0f messages a second to %d clients near or far, of the server that delivers them; to publish what goes far "+
			"takes the first server and Redis what is in the last two columns, per message.",
			rate(j), j.Members, float64(time.Second)/float64(j.Every), j.Clients)
	}, []column{
		{figure: job.CPUFar, title: "CPU per delivery far, µs"}, {figure: job.CPUNear, title: "near, µs"},
		{figure: job.P50Near, title: "p50 near, ms"}, {figure: job.P50Far, title: "far, ms"}, {figure: job.P99Near, title: "p99 near, ms"},
		{figure: job.P99Far, title: "far, ms"}, {figure: job.Busy, title: "busy"},
		{figure: job.PublishCPU, title: "to publish, µs"}, {figure: job.RedisCPU, title: "of Redis, µs"},
	}},
}

func rate(j job.Job) string {
	return fmt.Sprintf("%.0f", float64(j.Batch)*float64(time.Second)/float64(j.Every))
}

func lasting(j job.Job) string {
	return (time.Duration(j.Batches) * j.Every).Round(100 * time.Millisecond).String()
}

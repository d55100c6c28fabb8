package bench

// The names of figures. CPU times are the server's: user and system, of all its threads.
const (
	CPU        = "cpu_us"      // CPU per delivery, µs
	P50        = "p50_ms"      // latency from publishing to the client's read, ms
	P99        = "p99_ms"      //
	Max        = "max_ms"      //
	Deliveries = "deliveries"  // that arrived
	Missing    = "missing"     // that should have arrived and did not
	Disorder   = "disorder"    // that arrived after a later one
	Rejected   = "rejected"    // that the server says it did not queue
	Lost       = "lost"        // connections that failed or were not answered in time
	Gone       = "gone"        // connections that ended by themselves
	Connects   = "connects"    // connections that were tried, lost ones included
	ConnectCPU = "connect_us"  // CPU per connection, µs
	ConnectP99 = "connect_ms"  // time to connect, 99th percentile, ms
	RSS        = "rss_kb"      // resident memory per connection after settling, KiB
	RSSFresh   = "rss_new_kb"  // the same right after connecting
	UnaryCPU   = "unary_us"    // CPU per unary call, µs
	StreamCPU  = "stream_us"   // CPU per message of a stream, µs
	RESTCPU    = "rest_us"     // CPU per REST call, µs
	LoadCPU    = "load_cpu_us" // the load generator's own CPU per delivery, µs
	Rate       = "rate"        // events per second
)

// The names of figures about clusters. Near is from one server to its own clients, far to another
// server's.
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
	PublishCPU   = "publish_us"           // CPU per message of the server that publishes it to another one's clients, µs
	RedisCPU     = "redis_us"             // CPU of Redis per such message, µs
	Publishes    = "publishes"            // messages over Redis per emit
	Commands     = "commands"             // other commands to Redis per emit, without pings and heartbeats
	AllPaced     = "cpu_all_paced_us"     // CPU of all servers and Redis per delivery to everyone, paced, µs
	AllBurst     = "cpu_all_burst_us"     // the same at once
	AllScattered = "cpu_all_scattered_us" // the same to rooms with one client on each server
)

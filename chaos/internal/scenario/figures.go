package scenario

// The names of figures. Those of one scenario alone stand with it.
const (
	Clients  = "clients"      // in all
	Missing  = "missing"      // messages that clients should have received and did not
	Disorder = "disorder"     // messages that came twice, or after a later one
	Gone     = "gone"         // connections that ended by themselves
	Lost     = "lost"         // connections that failed or were not answered in time
	Connects = "connects"     // connections that were tried
	Faulty   = "faulty_lines" // lines of the server's log that report a failure of the server itself
	Stayed   = "stayed"       // clients or connections that should not be there any more
	Seconds  = "seconds"      // how long it took
	Rate     = "rate"         // per second
	CPU      = "cpu_us"       // the server's CPU time, µs each
	LoadCPU  = "load_cpu_us"  // the attacker's CPU time, µs each
	P50      = "p50_ms"
	P99      = "p99_ms"
	P99Ratio = "p99_ratio" // p99 during the fault as a ratio to the p99 without it

	P99During      = "p99_stalled_ms"   // p99 of the other clients during the fault
	MemoryGrowth   = "held_kb"          // largest growth of the resident memory, KiB
	MoreGoroutines = "goroutines_above" // more than before
	MoreFiles      = "files_above"      // more than before
	MoreHeap       = "heap_above_kb"    // live heap above that before, KiB
	Listed         = "listed"           // connections or sockets that the server still lists or counts
	Broken         = "broken"           // clients that did not receive exactly what they should
	Back           = "back_s"           // until all clients were connected again, seconds
	Ended          = "ended_s"          // from SIGTERM to the end of a server, seconds at most
	ExitedBadly    = "failed"           // servers whose exit code was not 0
	WithoutGoodbye = "unheard"          // connections that ended without a sala:disconnect
	Resumed        = "resumed_s"        // until service was complete again, seconds at most
	Refused        = "refused"          // calls that failed
	Slowest        = "slowest_ms"       // slowest answer
	Accepted       = "accepted"         // messages or calls
	Received       = "received"         // messages by all clients together
	Kills          = "kills"            // or other faults
	Asked          = "asked"            // events that clients sent, each with an ack
	Answered       = "answered"         // events that were answered
	Unanswered     = "unanswered"       // events that were not
	AnsweredTwice  = "answered_twice"   // events answered more than once
	ErrorAnswers   = "other_codes"      // events answered with an error
	UnexpectedAcks = "stray_packets"    // packets that answer no event of the client that received them
)

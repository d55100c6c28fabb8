package cluster

import "time"

// LossReason is why a message to or from this node was lost.
type LossReason string

// Reasons for losses.
const (
	LostInboxFull    LossReason = "inbox full"     // this node didn't keep up
	LostPublish      LossReason = "publish"        // the bus failed while it was being sent
	LostMalformed    LossReason = "malformed"      // it isn't an envelope
	LostVersion      LossReason = "version"        // a release with another format sent it
	LostTooLarge     LossReason = "too large"      // larger than nodes accept
	LostBadMAC       LossReason = "bad mac"        // it isn't signed with this cluster's key
	LostClock        LossReason = "clock"          // its time differs too much from this node's
	LostReplayed     LossReason = "replayed"       // it has come before, or is too old to tell
	LostTooManyNodes LossReason = "too many nodes" // its sender is beyond the limit of nodes
	LostLateReply    LossReason = "late reply"     // no call waits for it, or it came twice
	LostBusy         LossReason = "busy"           // it was a call, and too many were being answered
)

// LossReasons returns all reasons, so that metrics can start at zero.
func LossReasons() []LossReason {
	return []LossReason{
		LostInboxFull, LostPublish, LostMalformed, LostVersion, LostTooLarge, LostBadMAC, LostClock,
		LostReplayed, LostTooManyNodes, LostLateReply, LostBusy,
	}
}

// CallKind is what waits for answers, for [Observer.Answered].
type CallKind string

// Kinds of calls.
const (
	KindCall    CallKind = "call"    // Call and CallAll
	KindPublish CallKind = "publish" // PublishAndWait
)

// Observer is told what a [Mesh] does, for metrics. Its methods are called concurrently and must
// not block.
type Observer interface {
	// StateChanged is called when the cluster can be reached, or no longer can.
	StateChanged(s State)
	// Published is called when messages were sent.
	Published(messages, bytes int)
	// Received is called for each message that arrives, before anything else.
	Received(bytes int)
	// Lost is called when messages were lost.
	Lost(reason LossReason, messages int)
	// Answered is called when a call has ended. missing is how many nodes did not answer.
	Answered(kind CallKind, took time.Duration, missing int)
}

// discardObserver ignores everything.
type discardObserver struct{}

func (discardObserver) StateChanged(State)                    {}
func (discardObserver) Published(int, int)                    {}
func (discardObserver) Received(int)                          {}
func (discardObserver) Lost(LossReason, int)                  {}
func (discardObserver) Answered(CallKind, time.Duration, int) {}

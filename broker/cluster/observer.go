package cluster

import "time"

// LossReason says why a message was lost on its way to this node, or from it.
type LossReason string

// The reasons there are.
const (
	LostInboxFull    LossReason = "inbox full"     // this node didn't keep up
	LostPublish      LossReason = "publish"        // the bus failed while it was being sent
	LostMalformed    LossReason = "malformed"      // it is no envelope
	LostVersion      LossReason = "version"        // of a release that speaks otherwise
	LostTooLarge     LossReason = "too large"      // larger than nodes accept
	LostBadMAC       LossReason = "bad mac"        // not signed, or not with this cluster's key
	LostClock        LossReason = "clock"          // its time is too far from this node's
	LostReplayed     LossReason = "replayed"       // it has come before, or may have
	LostTooManyNodes LossReason = "too many nodes" // from a node beyond the most there can be
	LostLateReply    LossReason = "late reply"     // nobody waits for it any more, or it came twice
	LostBusy         LossReason = "busy"           // a call that was refused: too many at once
)

// LossReasons lists all reasons, for metrics that show a zero for each.
func LossReasons() []LossReason {
	return []LossReason{
		LostInboxFull, LostPublish, LostMalformed, LostVersion, LostTooLarge, LostBadMAC, LostClock,
		LostReplayed, LostTooManyNodes, LostLateReply, LostBusy,
	}
}

// CallKind is the kind of question that an [Observer] is told of.
type CallKind string

// The kinds there are.
const (
	KindCall    CallKind = "call"    // Call and CallAll
	KindPublish CallKind = "publish" // PublishAndWait
)

// Observer is told what a [Mesh] does, for metrics. Its methods are called
// concurrently and must not block.
type Observer interface {
	// StateChanged: the bus has connected or disconnected.
	StateChanged(s State)
	// Published: messages went out, with so many bytes.
	Published(messages, bytes int)
	// Received: a message came in, whatever becomes of it.
	Received(bytes int)
	// Lost: messages were lost.
	Lost(reason LossReason, messages int)
	// Answered: a question has ended after so long, without the answers of
	// so many nodes.
	Answered(kind CallKind, took time.Duration, missing int)
}

// nobody observes nothing.
type nobody struct{}

func (nobody) StateChanged(State)                    {}
func (nobody) Published(int, int)                    {}
func (nobody) Received(int)                          {}
func (nobody) Lost(LossReason, int)                  {}
func (nobody) Answered(CallKind, time.Duration, int) {}

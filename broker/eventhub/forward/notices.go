package forward

import (
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub"
)

// maxAnswerBytes bounds the answers that wait to be sent.
const maxAnswerBytes = 16 << 20

// notices holds what the hub has said, for the goroutine of Run.
type notices struct {
	ready chan struct{} // holds a token when there is something

	mu          sync.Mutex                    // taken alone or last: the hub calls with its locks held
	remotes     map[*eventhub.Remote]struct{} // nil for none, as sources
	sources     map[*eventhub.Source]struct{}
	answers     []sourceAnswer
	answerBytes int
}

// sourceAnswer is an answer that waits to be sent.
type sourceAnswer struct {
	*wire.EventAnswer
	node cluster.NodeID // that asked
	size int
}

func newNotices() *notices {
	return &notices{ready: make(chan struct{}, 1)}
}

// add runs change, and wakes the goroutine of Run.
func (n *notices) add(change func()) {
	n.mu.Lock()
	change()
	n.mu.Unlock()
	n.wake()
}

// wake lets the goroutine of Run work once more.
func (n *notices) wake() {
	select {
	case n.ready <- struct{}{}:
	default:
	}
}

// takeChanged returns the remotes and sources that have changed since the last call.
func (n *notices) takeChanged() (remotes map[*eventhub.Remote]struct{}, sources map[*eventhub.Source]struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	remotes, sources = n.remotes, n.sources
	n.remotes, n.sources = nil, nil
	return remotes, sources
}

// takeAnswers returns the answers since the last call.
func (n *notices) takeAnswers() []sourceAnswer {
	n.mu.Lock()
	defer n.mu.Unlock()
	answers := n.answers
	n.answers, n.answerBytes = nil, 0
	return answers
}

// RemoteChanged implements [eventhub.Transport].
func (f *Forwarder) RemoteChanged(r *eventhub.Remote) {
	f.notices.add(func() {
		if f.notices.remotes == nil {
			f.notices.remotes = make(map[*eventhub.Remote]struct{})
		}
		f.notices.remotes[r] = struct{}{}
	})
}

// SourceChanged implements [eventhub.Transport].
func (f *Forwarder) SourceChanged(s *eventhub.Source) {
	f.notices.add(func() {
		if f.notices.sources == nil {
			f.notices.sources = make(map[*eventhub.Source]struct{})
		}
		f.notices.sources[s] = struct{}{}
	})
}

// Answered implements [eventhub.Transport].
func (f *Forwarder) Answered(s *eventhub.Source, a eventhub.Answer) {
	w := answerTo(s.Subscription(), &a)
	n, size, fits := f.notices, proto.Size(w), false
	n.add(func() {
		fits = n.answerBytes == 0 || n.answerBytes+size <= maxAnswerBytes
		if fits {
			n.answerBytes += size
			n.answers = append(n.answers, sourceAnswer{w, cluster.NodeID(s.Node()), size})
		}
	})
	if !fits {
		f.opts.Logger.Warn("an answer is lost: too many answers wait for another node", "node", s.Node())
	}
}

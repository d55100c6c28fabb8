package forward

import (
	"maps"
	"slices"
	"sync"

	"github.com/salabroker/sala/broker/eventhub"
)

// maxAnswerBytes bounds the answers that wait to be sent.
const maxAnswerBytes = 16 << 20

// notices holds what the hub has said, for the goroutine of Run.
type notices struct {
	ready chan struct{} // holds a token when there is something

	mu          sync.Mutex // taken alone or last: the hub calls with its locks held
	remotes     map[*eventhub.Remote]struct{}
	sources     map[*eventhub.Source]struct{}
	answers     []sourceAnswer
	answerBytes int
}

// sourceAnswer is an answer that waits to be sent.
type sourceAnswer struct {
	eventhub.Answer
	source *eventhub.Source
	size   int
}

func newNotices() *notices {
	return &notices{
		ready:   make(chan struct{}, 1),
		remotes: make(map[*eventhub.Remote]struct{}),
		sources: make(map[*eventhub.Source]struct{}),
	}
}

// wake lets Run work once more.
func (n *notices) wake() {
	select {
	case n.ready <- struct{}{}:
	default:
	}
}

// RemoteChanged implements [eventhub.Transport].
func (f *Forwarder) RemoteChanged(r *eventhub.Remote) {
	f.notices.mu.Lock()
	f.notices.remotes[r] = struct{}{}
	f.notices.mu.Unlock()
	f.notices.wake()
}

// SourceChanged implements [eventhub.Transport].
func (f *Forwarder) SourceChanged(s *eventhub.Source) {
	f.notices.mu.Lock()
	f.notices.sources[s] = struct{}{}
	f.notices.mu.Unlock()
	f.notices.wake()
}

// Answered implements [eventhub.Transport].
func (f *Forwarder) Answered(s *eventhub.Source, a eventhub.Answer) {
	size := 128 + len(a.Reply.Args) + len(a.Decision.Data)
	for _, b := range a.Reply.Attachments {
		size += len(b)
	}
	n := f.notices
	n.mu.Lock()
	fits := n.answerBytes == 0 || n.answerBytes+size <= maxAnswerBytes
	if fits {
		n.answerBytes += size
		n.answers = append(n.answers, sourceAnswer{a, s, size})
	}
	n.mu.Unlock()
	if !fits {
		f.opts.Logger.Warn("an answer is lost: too many answers wait for another node", "node", s.Node())
		return
	}
	n.wake()
}

// takeChanged returns the remotes and sources that have changed since the last call, each once.
func (n *notices) takeChanged() ([]*eventhub.Remote, []*eventhub.Source) {
	n.mu.Lock()
	defer n.mu.Unlock()
	remotes, sources := slices.Collect(maps.Keys(n.remotes)), slices.Collect(maps.Keys(n.sources))
	clear(n.remotes)
	clear(n.sources)
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

package broker

import (
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
)

// part is what another node has of a question. It is the question's, and
// guarded by its mu.
type part struct {
	summary AckSummary // of the node's sockets
	left    int        // those that nothing is known of yet
	ended   bool       // nothing more is to come
	short   bool       // though it should
}

// part returns that of a node, which asks so many sockets. The caller holds mu.
func (q *question) part(node cluster.NodeID, asked int) *part {
	p, ok := q.parts[node]
	if !ok {
		p = &part{summary: AckSummary{Expected: asked}, left: asked, ended: asked == 0}
		if q.parts == nil {
			q.parts = make(map[cluster.NodeID]*part)
		}
		q.parts[node] = p
		q.left += asked
	}
	return p
}

// account counts n of a part's sockets, or as many as there are. The caller holds mu.
func (q *question) account(p *part, n int, fate fate) {
	n = min(n, p.left)
	*fate(&p.summary) += n
	p.left -= n
	q.left -= n
}

// fail counts as gone what a node hasn't said of its sockets. The caller holds mu.
func (q *question) fail(p *part) {
	if !p.ended {
		p.ended, p.short = true, true
		q.account(p, p.left, disconnected)
	}
}

// askedAt takes in what a node has answered when it was told to ask.
func (q *question) askedAt(node cluster.NodeID, c *wire.Count) {
	q.mu.Lock()
	defer q.mu.Unlock()
	p := q.part(node, int(c.GetMatched()))
	if c.GetRefused() > 0 {
		q.account(p, p.left, dropped)
		p.ended = true
	}
	q.signal()
}

// heardFrom takes in answers that a node sends.
func (q *question) heardFrom(node cluster.NodeID, a *wire.Answers) {
	q.mu.Lock()
	defer q.mu.Unlock()
	p := q.part(node, int(a.GetAsked()))
	if p.ended {
		return
	}
	for _, answer := range a.GetAnswers()[:min(len(a.GetAnswers()), p.left)] {
		q.account(p, 1, answered)
		q.answered++
		q.keep(Ack{
			Socket:      answer.GetSocket(),
			User:        answer.GetUser(),
			Args:        answer.GetArgs(),
			Attachments: answer.GetAttachments(),
			Latency:     time.Duration(answer.GetLatencyUs()) * time.Microsecond, //nolint:gosec // it fits for 292,000 years
		})
	}
	if end := a.GetEnd(); end != nil {
		q.account(p, int(end.GetTimedOut()), timedOut)
		q.account(p, int(end.GetDisconnected()), disconnected)
		q.account(p, int(end.GetDropped()), dropped)
		if p.left > 0 { // answers were lost on their way
			q.fail(p)
		}
		p.ended = true
	}
	q.signal()
}

// lose takes in that a node is gone.
func (q *question) lose(node cluster.NodeID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if p, ok := q.parts[node]; ok {
		q.fail(p)
		q.signal()
	}
}

// endParts adds to a summary what became of other nodes' sockets, and returns
// which nodes have said all and which still ask. If late, it is too late for these.
func (q *question) endParts(late bool, sum *AckSummary) (whole map[cluster.NodeID]bool, asking []cluster.NodeID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	whole = make(map[cluster.NodeID]bool, len(q.parts))
	for node, p := range q.parts {
		if p.left > 0 {
			asking = append(asking, node)
			if late {
				q.fail(p)
			}
		}
		whole[node] = !p.short
		sum.Expected += p.summary.Expected
		sum.Answered += p.summary.Answered
		sum.TimedOut += p.summary.TimedOut
		sum.Disconnected += p.summary.Disconnected
		sum.Dropped += p.summary.Dropped
	}
	return whole, asking
}

package adminui

import (
	"crypto/rand"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
)

const (
	// sessionTime is how long an admin may come back without the key.
	sessionTime = 12 * time.Hour
	// maxSessions bounds the sessions of a node. The oldest makes room for a new one.
	maxSessions = 256
)

// digest is the SHA-256 of a session's id. Only the page knows the id itself.
type digest [sha256.Size]byte

func digestOf(id string) digest { return sha256.Sum256([]byte(id)) }

// session lets an admin come back without the key.
type session struct {
	key     string // its name
	proof   []byte // of the account, for the session's digest
	expires time.Time
}

// sessions are those that this node has begun. They end with it. Their methods may be called
// concurrently.
type sessions struct {
	mu sync.Mutex
	by map[digest]session
}

func newSessions() *sessions { return &sessions{by: make(map[digest]session)} }

// begin begins a session of an account and returns its id, which begins with the node's.
func (s *sessions) begin(node string, a Account) (id string, expires time.Time) {
	id = node + rand.Text()
	d := digestOf(id)
	began := session{key: a.Name(), proof: a.Proof(d[:]), expires: time.Now().Add(sessionTime)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.by) >= maxSessions {
		s.forgetOldest()
	}
	s.by[d] = began
	return id, began.expires
}

// forgetOldest forgets the session that ends first. s.mu is held.
func (s *sessions) forgetOldest() {
	var oldest digest
	var expires time.Time
	for d, one := range s.by {
		if expires.IsZero() || one.expires.Before(expires) {
			oldest, expires = d, one.expires
		}
	}
	delete(s.by, oldest)
}

// find returns a session that hasn't expired.
func (s *sessions) find(d digest) (session, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.by[d]
	if ok && !time.Now().Before(one.expires) {
		delete(s.by, d)
		return session{}, false
	}
	return one, ok
}

// Session answers another node that asks for a session. It may be called concurrently.
func (s *Server) Session(of []byte) *wire.AdminSession {
	if len(of) != len(digest{}) {
		return &wire.AdminSession{}
	}
	one, ok := s.sessions.find(digest(of))
	if !ok {
		return &wire.AdminSession{}
	}
	return &wire.AdminSession{Key: one.key, Proof: one.proof, ExpireTimeMs: one.expires.UnixMilli()}
}

// sessionFromWire returns the session of another node; false if there is none.
func sessionFromWire(w *wire.AdminSession) (session, bool) {
	one := session{key: w.GetKey(), proof: w.GetProof(), expires: time.UnixMilli(w.GetExpireTimeMs())}
	if !time.Now().Before(one.expires) {
		return session{}, false
	}
	return one, one.key != ""
}

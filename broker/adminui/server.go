package adminui

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/socketio"
)

// Namespace is the namespace that the Admin UI connects to.
const Namespace = "/admin"

const (
	// MaxSockets is how many sockets there may be for admins to see each of them.
	MaxSockets = 1000
	// maxAdmins bounds the admins of a node.
	maxAdmins = 16
	// maxWaiting bounds the people and the actions that wait. Connections with more aren't read.
	maxWaiting = 16
)

// ErrTooMany is the error when as many admins are signed in at the node as there may be.
var ErrTooMany = errors.New("too many admins are signed in at this node; close another page of the Admin UI")

// ErrRefused is the error for somebody who can't sign in. The page knows its text.
var ErrRefused = errors.New("invalid credentials")

// Options configures a [Server]. All fields are required.
type Options struct {
	Keys   Keys
	Node   Node
	Logger *slog.Logger
}

// Server serves the admins of one node. Its methods may be called concurrently, but those with a
// connection only by one goroutine at a time for each connection.
type Server struct {
	// Static after New.
	opts      Options
	sessions  *sessions
	arrivals  chan func(context.Context) // people who want to sign in
	returns   chan func(context.Context) // people with a session that another node may know
	asked     chan func(context.Context) // what admins want to have done
	statsWake chan struct{}              // has room for one
	feedWake  chan struct{}              // has room for one

	total atomic.Int64 // sockets of all nodes, as the last stats say

	mu     sync.Mutex
	admins map[*engineio.Conn]*admin
	mirror *mirror // what admins see; nil while none sees sockets
}

// New returns a server. Admins get something to see while [Server.Run] runs.
func New(o Options) *Server {
	return &Server{
		opts:      o,
		sessions:  newSessions(),
		arrivals:  make(chan func(context.Context), maxWaiting),
		returns:   make(chan func(context.Context), maxWaiting),
		asked:     make(chan func(context.Context), maxWaiting),
		statsWake: make(chan struct{}, 1),
		feedWake:  make(chan struct{}, 1),
		admins:    make(map[*engineio.Conn]*admin),
	}
}

// Run serves the admins until ctx ends. It is called once.
func (s *Server) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { carryOut(ctx, s.arrivals) })
	running.Go(func() { carryOut(ctx, s.returns) })
	running.Go(func() { carryOut(ctx, s.asked) })
	running.Go(func() { s.runStats(ctx) })
	running.Go(func() { newFeed(s).run(ctx) })
	running.Wait()
}

// carryOut does what is asked, one after the other.
func carryOut(ctx context.Context, asked <-chan func(context.Context)) {
	for {
		select {
		case do := <-asked:
			do(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// ask has do called on the goroutine that reads from asked, unless the connection ends first.
func ask(asked chan<- func(context.Context), conn *engineio.Conn, do func(context.Context)) {
	select {
	case asked <- do:
	case <-conn.Done():
	}
}

// credentials is what the page sends when it connects.
type credentials struct {
	Username  string `json:"username"`
	Password  string `json:"password"`
	SessionID string `json:"sessionId"`
}

// Connect signs in whoever is at the other end of a connection. It calls settle once on another
// goroutine, unless the connection ends before: with nil, right before the page is told that it is
// connected, or with ErrRefused or ErrTooMany. settle returns false if the connection has ended.
func (s *Server) Connect(conn *engineio.Conn, auth json.RawMessage, settle func(error) bool) {
	var c credentials
	_ = json.Unmarshal(auth, &c) // what can't be read isn't there
	ask(s.arrivals, conn, func(ctx context.Context) {
		if c.SessionID != "" {
			s.returned(ctx, conn, c.SessionID, settle)
			return
		}
		account, err := s.opts.Keys.SignIn(ctx, c.Username, c.Password, conn.RemoteAddress())
		if err != nil {
			settle(ErrRefused)
			return
		}
		id, expires := s.sessions.begin(s.opts.Node.ID(), account)
		s.admit(newAdmin(conn, account, expires), id, settle)
	})
}

// returned signs in whoever has the id of a session. Another node is asked on a goroutine of its own,
// since it may not answer: strangers with ids of their own don't keep those out who have a key.
func (s *Server) returned(ctx context.Context, conn *engineio.Conn, id string, settle func(error) bool) {
	d := digestOf(id)
	if one, ok := s.sessions.find(d); ok {
		s.resume(ctx, conn, d, one, settle)
		return
	}
	select {
	case s.returns <- func(ctx context.Context) {
		one, _ := sessionFromWire(s.opts.Node.FindSession(ctx, id, d[:])) // otherwise that of nobody
		s.resume(ctx, conn, d, one, settle)
	}:
	default:
		s.resume(ctx, conn, d, session{}, settle)
	}
}

// resume signs in whoever has a session. The zero session is that of nobody.
func (s *Server) resume(ctx context.Context, conn *engineio.Conn, d digest, one session, settle func(error) bool) {
	account, err := s.opts.Keys.Resume(ctx, one.key, d[:], one.proof, conn.RemoteAddress())
	if err != nil {
		settle(ErrRefused)
		return
	}
	s.admit(newAdmin(conn, account, one.expires), "", settle)
}

// admit makes an admin one of the server's. A new session's id, if there is one, follows the
// CONNECT: before it, socket.io-client 4.8.4 would drop the event.
func (s *Server) admit(a *admin, sessionID string, settle func(error) bool) {
	s.mu.Lock()
	full := len(s.admins) >= maxAdmins
	if !full {
		s.admins[a.conn] = a
	}
	s.mu.Unlock()
	if full {
		settle(ErrTooMany)
		return
	}
	if open := settle(nil); !open {
		s.Closed(a.conn)
		return
	}
	a.send(engineio.NewFrame(socketio.AppendConnect(nil, Namespace, a.id, "")))
	if sessionID != "" {
		a.send(frame("session", sessionID))
	}
	s.mu.Lock()
	if s.admins[a.conn] == a { // otherwise the connection has ended since
		a.welcome = true
		a.expiry = time.AfterFunc(time.Until(a.expires), func() { s.expire(a) })
	}
	s.mu.Unlock()
	go s.watchKey(a)
	s.opts.Logger.Info("admin signed in", "key", a.account.Name(), "address", a.conn.RemoteAddress())
	s.wake()
}

// watchKey signs out an admin whose key ends. It returns when the admin is gone.
func (s *Server) watchKey(a *admin) {
	select {
	case <-a.account.Ended():
		s.expire(a)
	case <-a.gone:
	}
}

// expire signs out an admin whose session or key has ended.
func (s *Server) expire(a *admin) {
	if s.admin(a.conn) != a {
		return
	}
	a.send(engineio.NewFrame(socketio.AppendDisconnect(nil, Namespace)))
	s.Closed(a.conn)
	a.conn.CloseAfterFlush(engineio.ReasonForcedClose)
}

// Closed signs out the admin of a connection that has ended, or that has disconnected from the
// namespace. It reports whether there was one.
func (s *Server) Closed(conn *engineio.Conn) bool {
	s.mu.Lock()
	a, ok := s.admins[conn]
	if ok {
		delete(s.admins, conn)
		close(a.gone)
		if a.expiry != nil {
			a.expiry.Stop()
		}
	}
	s.mu.Unlock()
	if ok {
		s.opts.Logger.Info("admin signed out", "key", a.account.Name(), "address", conn.RemoteAddress())
		s.wake()
	}
	return ok
}

// Has reports whether a connection is an admin's.
func (s *Server) Has(conn *engineio.Conn) bool { return s.admin(conn) != nil }

// Count returns how many admins are signed in.
func (s *Server) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.admins)
}

// admin returns the admin of a connection; nil if it has none.
func (s *Server) admin(conn *engineio.Conn) *admin {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.admins[conn]
}

// signedIn returns the admins who have been told that they are connected.
func (s *Server) signedIn() (all []*admin) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.admins {
		if a.welcome {
			all = append(all, a)
		}
	}
	return all
}

// wake has the goroutines look who is signed in.
func (s *Server) wake() {
	notify(s.statsWake)
	notify(s.feedWake)
}

// notify leaves a token in a channel with room for one.
func notify(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

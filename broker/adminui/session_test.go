package adminui

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// someone is an account that may do nothing.
type someone string

func (s someone) Name() string                   { return string(s) }
func (s someone) Proof(digest []byte) []byte     { return append([]byte(s), digest...) }
func (someone) Ended() <-chan struct{}           { return nil }
func (someone) Sees(string) bool                 { return false }
func (someone) SeesEvents(string) bool           { return false }
func (someone) Acts() bool                       { return false }
func (someone) Emits() bool                      { return false }
func (someone) Do(context.Context, Action) error { return nil }

func TestSessionsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSessions()
		id, expires := s.begin("NODE", someone("ops"))
		if left := time.Until(expires); left != sessionTime {
			t.Errorf("a session lasts %s, want %s", left, sessionTime)
		}
		one, ok := s.find(digestOf(id))
		if !ok || one.key != "ops" {
			t.Errorf("the session is %v, %t; want that of ops", one, ok)
		}
		if _, ok := s.find(digestOf(id + "x")); ok {
			t.Error("another id has a session")
		}
		time.Sleep(sessionTime) //nolint:forbidigo // the clock of the bubble
		if _, ok := s.find(digestOf(id)); ok || len(s.by) > 0 {
			t.Error("the session is still there after its end")
		}
	})
}

func TestSessionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSessions()
		first, _ := s.begin("NODE", someone("ops"))
		time.Sleep(time.Second) //nolint:forbidigo // the clock of the bubble
		second, _ := s.begin("NODE", someone("ops"))
		for range maxSessions - 1 {
			s.begin("NODE", someone("ops"))
		}
		if _, ok := s.find(digestOf(first)); ok {
			t.Error("the oldest session is still there")
		}
		if _, ok := s.find(digestOf(second)); !ok || len(s.by) != maxSessions {
			t.Errorf("there are %d sessions, want %d with the second", len(s.by), maxSessions)
		}
	})
}

func TestSessionOverTheWire(t *testing.T) {
	s := New(Options{})
	id, expires := s.sessions.begin("NODE", someone("ops"))
	d := digestOf(id)
	one, ok := sessionFromWire(s.Session(d[:]))
	if !ok || one.key != "ops" || string(one.proof) != "ops"+string(d[:]) || one.expires.UnixMilli() != expires.UnixMilli() {
		t.Errorf("another node gets %v, %t", one, ok)
	}
	for name, unknown := range map[string][]byte{"another": make([]byte, len(d)), "too short": {1}, "none": nil} {
		if one, ok := sessionFromWire(s.Session(unknown)); ok {
			t.Errorf("%s: another node gets %v", name, one)
		}
	}
	if _, ok := sessionFromWire(nil); ok {
		t.Error("no answer is a session")
	}
}

package broker

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/salabroker/sala/broker/rawjson"
	"github.com/salabroker/sala/broker/room"
	"github.com/salabroker/sala/broker/socketio"
	"github.com/salabroker/sala/broker/token"
)

// tokenEvent is with what a client sends a fresh token before its own ends.
const tokenEvent = "sala:token"

// refreshed is the answer to a token that was accepted.
type refreshed struct {
	OK         bool      `json:"ok"`
	ExpireTime time.Time `json:"expireTime"`
}

// handleToken replaces what the client's token said by what a fresh one of the
// same user says, or answers why not and changes nothing.
func (b *Broker) handleToken(s *socket, p *socketio.Packet) {
	expires, err := b.refresh(s, tokenArg(p.Payload))
	b.metrics.received(eventToken, err)
	s.answerEvent(p, refreshed{OK: true, ExpireTime: expires}, err)
	s.checkRevoked() // it may have been while the token was on its way in
}

// tokenArg reads {token} or just the token; empty if there is none.
func tokenArg(p socketio.Payload) string {
	arg := firstArg(p.Args)
	if len(arg) > 0 && arg[0] == '{' {
		arg = rawjson.Member(arg, "token")
	}
	var raw string
	_ = json.Unmarshal(arg, &raw) // what isn't text is no token
	return raw
}

func (b *Broker) refresh(s *socket, raw string) (expires time.Time, err *Error) {
	claims, err := b.verify(raw)
	if err != nil {
		return time.Time{}, err
	}
	if claims.User != s.user {
		return time.Time{}, denied(ReasonUserMismatch, "the token is another user's; connect anew with it")
	}
	if err := checkNamespace(s.ns, claims.Grant); err != nil {
		return time.Time{}, err
	}
	defer b.listen(roomTopics(s.ns.name, claims.Rooms)...)()
	return claims.ExpiresAt, s.renew(claims)
}

// renew puts the claims in the place of the socket's, and the socket into their
// rooms beside those that it is in, or does nothing if it can't do both.
func (s *socket) renew(claims token.Claims) *Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.expired || s.gone.Load() {
		return errSocketGone()
	}
	_, err := s.ns.index.Join(s, claims.Rooms...)
	switch {
	case errors.Is(err, room.ErrTooManyRooms):
		return tooManyRooms(s.client.b.opts.MaxRoomsPerSocket)
	case err != nil:
		return errSocketGone()
	}
	s.claims = claims
	if !s.updated {
		s.showData(claims.Data)
	}
	// A socket without an end is anonymous, and no token is for its user.
	if left, ok := s.untilExpiry(); ok {
		s.expiry.Reset(left)
	}
	return nil
}

// expire ends the socket when its token does, unless the client has sent a
// fresh one meanwhile.
func (s *socket) expire() {
	s.mu.Lock()
	left, _ := s.untilExpiry()
	s.expired = left <= 0
	if !s.expired && !s.gone.Load() {
		s.expiry.Reset(left)
	}
	s.mu.Unlock()
	if left <= 0 {
		s.disconnect(token.ReasonExpired, "the token has expired")
	}
}

// startExpiry has expire called when the socket's token ends, unless the socket
// has ended already. end sets gone before it stops the timer, so that one of the
// two sees what the other has done.
func (s *socket) startExpiry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if left, ok := s.untilExpiry(); ok && !s.gone.Load() {
		s.expiry = time.AfterFunc(left, s.expire)
	}
}

func (s *socket) stopExpiry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.expiry != nil {
		s.expiry.Stop()
	}
}

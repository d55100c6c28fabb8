package adminui

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/room"
)

// actionTimeout is how long an action may take.
const actionTimeout = 5 * time.Second

var errAction = errors.New("the page asks for something that the broker doesn't know")

// request is an event of the page that asks for an action.
type request struct {
	Action
	namespace string
	filter    string // a room or a socket's id; empty for everybody
	close     bool   // whether the whole connection is meant
}

// Receive carries out an event of an admin, given its arguments as a JSON array. It waits while
// many others wait. Nobody can be told how it went: the page asks for no acks. The log and the
// audit log know.
func (s *Server) Receive(conn *engineio.Conn, event string, args json.RawMessage) {
	a := s.admin(conn)
	if a == nil {
		return
	}
	r, err := parseRequest(event, args)
	if err != nil {
		s.opts.Logger.Info("admin's request refused", "key", a.account.Name(), "address", conn.RemoteAddress(), "error", err)
		return
	}
	ask(s.asked, conn, func(ctx context.Context) { s.do(ctx, a, r) })
}

// do carries out a request.
func (s *Server) do(ctx context.Context, a *admin, r request) {
	ctx, cancel := context.WithTimeout(ctx, actionTimeout)
	defer cancel()
	for _, target := range s.targets(r) {
		action := r.Action
		action.Target = target
		if err := a.account.Do(ctx, action); err != nil {
			s.opts.Logger.Info("admin's request failed", "key", a.account.Name(), "address", a.conn.RemoteAddress(), "error", err)
		}
	}
}

// targets returns the sockets that a request means, in each namespace.
func (s *Server) targets(r request) []room.Target {
	if r.filter == "" {
		return []room.Target{{Namespace: r.namespace, Everyone: true}}
	}
	s.mu.Lock()
	m := s.mirror
	s.mu.Unlock()
	if m == nil || !m.has(r.namespace, r.filter) {
		return []room.Target{{Namespace: r.namespace, Rooms: []string{r.filter}}}
	}
	if !r.close {
		return []room.Target{{Namespace: r.namespace, Sockets: []string{r.filter}}}
	}
	var all []room.Target
	for _, other := range m.sharing(r.filter) {
		all = append(all, room.Target{Namespace: other.Namespace, Sockets: []string{other.ID}})
	}
	return all
}

// parseRequest reads an event of the page. The filter is the last of the arguments that have a
// place, and may be missing or null.
func parseRequest(event string, args json.RawMessage) (request, error) {
	var rest []json.RawMessage
	if err := json.Unmarshal(args, &rest); err != nil {
		return request{}, errAction
	}
	var r request
	var err error
	next := func(into any) {
		if len(rest) > 0 {
			err = errors.Join(err, json.Unmarshal(rest[0], into))
			rest = rest[1:]
		}
	}
	next(&r.namespace)
	switch event {
	case "emit":
		r.Kind = Emit
		next(&r.filter)
		next(&r.Event)
		r.Args, _ = json.Marshal(append([]json.RawMessage{}, rest...)) // they were JSON
	case "join", "leave":
		r.Kind = Join
		if event == "leave" {
			r.Kind = Leave
		}
		next(&r.Room)
		next(&r.filter)
		if r.Kind == Leave && r.filter == "" { // everybody in the room
			r.filter = r.Room
		}
	case "_disconnect":
		r.Kind = Disconnect
		next(&r.close)
		next(&r.filter)
	default:
		return request{}, errAction
	}
	if err != nil {
		return request{}, fmt.Errorf("%w: %w", errAction, err)
	}
	return r, nil
}

package auth

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/room"
)

// Authorize returns a *[broker.Error] unless the key has the scope of a method. Whether
// the scope covers what a request is about is for the service to check: see [Reach].
func (k Key) Authorize(method string) error {
	scope, ok := ScopeOf(method)
	if !ok {
		return apierror.ScopeDenied("nobody may call %s: it has no scope", method)
	}
	if _, granted := k.grants[scope]; !granted && scope != NoScope {
		return apierror.ScopeDenied("the API key %q lacks the scope %q, which %s needs; it has: %s", k.name, scope, method, k.grants)
	}
	return nil
}

// Reach is where a call may do what its method does: everywhere, or in some areas. The
// zero Reach is nowhere. Its checks return a *[broker.Error].
type Reach struct {
	caller     *Caller
	scope      Scope
	everywhere bool
	areas      []room.Area
}

// Reach returns where the caller may use a method. A nil caller has the zero Reach.
func (c *Caller) Reach(method string) Reach {
	if c == nil {
		return Reach{}
	}
	scope, _ := ScopeOf(method)
	areas, granted := c.grants[scope]
	return Reach{caller: c, scope: scope, everywhere: granted && areas == nil, areas: areas}
}

// Namespace returns an error unless all of a namespace is within reach: its
// rooms, its users and its sockets.
func (r Reach) Namespace(name string) error {
	name = cmp.Or(name, "/")
	if r.everywhere || slices.Contains(r.areas, room.Area{Namespace: name}) {
		return nil
	}
	return r.deniedFor(fmt.Sprintf("the namespace %q as a whole, its users and its sockets", name))
}

// Rooms returns an error unless all of the rooms are within reach.
func (r Reach) Rooms(namespace string, rooms []string) error {
	if r.everywhere {
		return nil
	}
	namespace = cmp.Or(namespace, "/")
	for _, name := range rooms {
		if !room.InAreas(r.areas, namespace, name) {
			return r.deniedFor(fmt.Sprintf("the room %q of %q", name, namespace))
		}
	}
	return nil
}

// Target returns an error unless everything that a target names is within reach.
// Excluded rooms and users count too, since the counts in the answer would tell who is
// in a room. Excluded sockets don't: they make no difference unless they are in a room
// within reach.
func (r Reach) Target(t broker.Target) error {
	if r.everywhere {
		return nil
	}
	if len(t.Users)+len(t.ExceptUsers) > 0 || len(t.Sockets) > 0 || t.Everyone || len(t.Rooms) == 0 {
		return r.Namespace(t.Namespace)
	}
	if err := r.Rooms(t.Namespace, t.Rooms); err != nil {
		return err
	}
	return r.Rooms(t.Namespace, t.ExceptRooms)
}

// Namespaces returns the namespaces that a list may show. The caller asks for one
// namespace or, with "", for all; an empty result means all.
func (r Reach) Namespaces(namespace string) ([]string, error) {
	areas, err := r.Areas(namespace)
	var names []string
	for _, a := range areas {
		names = append(names, a.Namespace)
	}
	return names, err
}

// Areas is [Reach.Namespaces] for lists of rooms.
func (r Reach) Areas(namespace string) ([]room.Area, error) {
	if r.everywhere {
		return nil, nil
	}
	var areas []room.Area
	for _, a := range r.areas {
		if namespace == "" || a.Namespace == namespace {
			areas = append(areas, a)
		}
	}
	if len(areas) == 0 {
		return nil, r.deniedFor(fmt.Sprintf("the namespace %q", namespace))
	}
	return areas, nil
}

// Subscribed returns the namespaces of a subscription: those that the caller asks for
// or, if it names none, all within reach.
func (r Reach) Subscribed(namespaces []string) ([]string, error) {
	if r.everywhere {
		return namespaces, nil
	}
	if len(namespaces) == 0 {
		return r.Namespaces("")
	}
	for _, name := range namespaces {
		if err := r.Namespace(name); err != nil {
			return nil, err
		}
	}
	return namespaces, nil
}

// Take counts one event of a batch or stream against the rate of the key.
func (r Reach) Take() error {
	if r.caller == nil {
		return nil
	}
	return r.caller.take()
}

// Permissions returns an error unless everything that a token allows is within reach in
// each of the token's namespaces.
func (r Reach) Permissions(p broker.Permissions) error {
	if r.everywhere {
		return nil
	}
	if len(p.Namespaces) == 0 {
		return r.deniedFor("all namespaces, which a token is for that names none")
	}
	for _, namespace := range p.Namespaces {
		if r.Namespace(namespace) == nil {
			continue
		}
		if p.Broadcast {
			return r.deniedFor(fmt.Sprintf("tokens that may broadcast in %q", namespace))
		}
		if err := r.Rooms(namespace, p.Rooms); err != nil {
			return err
		}
		if err := r.patterns(namespace, slices.Concat(p.Join, p.Publish, p.History, p.Presence)); err != nil {
			return err
		}
		if _, err := r.Areas(namespace); err != nil {
			return err
		}
	}
	return nil
}

// patterns returns an error unless, for each pattern, one area has all rooms that it
// matches.
func (r Reach) patterns(namespace string, patterns []string) error {
	for _, p := range patterns {
		named, err := room.ParsePattern(p)
		if err != nil { // the broker explains what is wrong with it
			continue
		}
		if !slices.ContainsFunc(r.areas, func(a room.Area) bool { return a.Namespace == namespace && a.Rooms.Covers(named) }) {
			return r.deniedFor(fmt.Sprintf("all rooms that the pattern %q names in %q", p, namespace))
		}
	}
	return nil
}

// RequireEverywhere returns an error if the scope is limited. what says what the call is
// about.
func (r Reach) RequireEverywhere(what string) error {
	if r.everywhere {
		return nil
	}
	return r.deniedFor(what)
}

// Owner returns the name of the caller's key; empty without a caller.
func (r Reach) Owner() string {
	if r.caller == nil {
		return ""
	}
	return r.caller.Name()
}

func (r Reach) deniedFor(what string) error {
	words := make([]string, len(r.areas))
	for i, a := range r.areas {
		words[i] = a.String()
	}
	return apierror.ScopeDenied("the scope %q of the API key %q doesn't reach %s; it is limited to %s", r.scope, r.Owner(), what, strings.Join(words, ", "))
}

package auth

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/salabroker/sala/broker/room"
)

// grants are the scopes of a key, each with the areas that it is limited to. nil areas
// are no limit. A scope that isn't in the map isn't granted.
type grants map[Scope][]room.Area

func allGrants() grants {
	g := make(grants)
	for _, scope := range AllScopes() {
		g[scope] = nil
	}
	return g
}

// parseGrants parses a comma-separated list of scopes. Each may be limited to a
// namespace, "emit:/chat", and some to rooms of it, "emit:/chat:room-*". A scope that is
// named several times has all of the areas.
func parseGrants(list string) (grants, error) {
	g := make(grants)
	for word := range strings.SplitSeq(list, ",") {
		scope, area, err := parseGrant(strings.TrimSpace(word))
		if err != nil {
			return nil, err
		}
		before, named := g[scope]
		switch {
		case area == nil, named && before == nil:
			g[scope] = nil
		default:
			g[scope] = append(before, *area)
		}
	}
	return g, nil
}

// parseGrant parses one scope. The area is nil for a scope without limit.
func parseGrant(word string) (Scope, *room.Area, error) {
	for _, scope := range AllScopes() {
		limit, limited := strings.CutPrefix(word, string(scope)+":/")
		switch {
		case word == string(scope):
			return scope, nil, nil
		case limited:
			area, err := parseArea(scope, "/"+limit)
			if err != nil {
				return "", nil, fmt.Errorf("the scope %q: %w", word, err)
			}
			return scope, area, nil
		}
	}
	return "", nil, fmt.Errorf("%s is no scope; there are %s, and a limit after one begins with a namespace, as in emit:/chat", quoteScope(word), joinScopes(AllScopes()))
}

// maxScopeShown is the longest word, in characters, that an error repeats because it
// isn't a scope.
const maxScopeShown = 16

// quoteScope quotes a word that isn't a scope, unless it may be the rest of a key that
// has a ":" in it.
func quoteScope(word string) string {
	if len(word) <= maxScopeShown && strings.Trim(word, "abcdefghijklmnopqrstuvwxyz:_-") == "" {
		return strconv.Quote(word)
	}
	return fmt.Sprintf("the text of %d characters after the key and \":\"", len(word))
}

func parseArea(scope Scope, limit string) (*room.Area, error) {
	namespace, pattern, rooms := strings.Cut(limit, ":")
	reach := limitOf(scope)
	switch {
	case reach == limitNone:
		return nil, fmt.Errorf("it is about whole nodes and can't be limited; leave out %s", limit)
	case rooms && reach == limitNamespace:
		return nil, fmt.Errorf("it can be limited to a namespace, not to rooms; leave out :%s", pattern)
	case !rooms:
		return &room.Area{Namespace: namespace}, nil
	}
	parsed, err := room.ParsePattern(pattern)
	if err != nil {
		return nil, err
	}
	return &room.Area{Namespace: namespace, Rooms: parsed}, nil
}

func (g grants) scopes() []Scope {
	return slices.DeleteFunc(AllScopes(), func(s Scope) bool {
		_, granted := g[s]
		return !granted
	})
}

func (g grants) equal(other grants) bool {
	return maps.EqualFunc(g, other, func(a, b []room.Area) bool {
		return (a == nil) == (b == nil) && slices.Equal(a, b)
	})
}

func (g grants) limited() bool {
	for _, areas := range g {
		if areas != nil {
			return true
		}
	}
	return false
}

func (g grants) namespaces() []string {
	var names []string
	for _, areas := range g {
		for _, a := range areas {
			names = append(names, a.Namespace)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// String returns the scopes in the form of the configuration.
func (g grants) String() string {
	var words []string
	for _, scope := range g.scopes() {
		if g[scope] == nil {
			words = append(words, string(scope))
		}
		for _, area := range g[scope] {
			words = append(words, string(scope)+":"+area.String())
		}
	}
	return strings.Join(words, ", ")
}

func joinScopes(scopes []Scope) string {
	words := make([]string, len(scopes))
	for i, scope := range scopes {
		words[i] = string(scope)
	}
	return strings.Join(words, ", ")
}

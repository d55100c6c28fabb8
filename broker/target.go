package broker

import (
	"fmt"
	"unicode"
	"unicode/utf8"
)

// maxTargets bounds how many rooms, users or sockets one request may name.
const maxTargets = 1000

// Target says which sockets of a namespace something is for: every socket that
// is in one of the rooms, belongs to one of the users or has one of the ids,
// once each, less the excepted.
type Target struct {
	// Namespace is the namespace; empty means "/".
	Namespace string
	// Everyone selects all sockets of the namespace. Not together with Rooms,
	// Users or Sockets.
	Everyone bool
	// Rooms, Users and Sockets name what is selected.
	Rooms, Users, Sockets []string
	// ExceptRooms, ExceptUsers and ExceptSockets name what is left out.
	ExceptRooms, ExceptUsers, ExceptSockets []string
}

// validate adds to v whatever is wrong with t.
func (t *Target) validate(v *violations) {
	if !t.Everyone && len(t.Rooms)+len(t.Users)+len(t.Sockets) == 0 {
		v.add("rooms", "nobody is named: name at least one of rooms, users or sockets; there is no default")
	}
	validateNames(v, "rooms", t.Rooms, validateRoom)
	validateNames(v, "users", t.Users, validateUser)
	validateNames(v, "sockets", t.Sockets, validateID)
	validateNames(v, "except_rooms", t.ExceptRooms, validateRoom)
	validateNames(v, "except_users", t.ExceptUsers, validateUser)
	validateNames(v, "except_sockets", t.ExceptSockets, validateID)
}

func validateNames(v *violations, field string, names []string, check func(*violations, string, string)) {
	if len(names) > maxTargets {
		v.add(field, "there are %d; at most %d are allowed", len(names), maxTargets)
		return
	}
	for i, name := range names {
		check(v, fmt.Sprintf("%s[%d]", field, i), name)
	}
}

func validateRoom(v *violations, field, room string) { validateName(v, field, "a room's name", room) }
func validateUser(v *violations, field, user string) { validateName(v, field, "a user's name", user) }
func validateID(v *violations, field, id string)     { validateName(v, field, "a socket's id", id) }

// validateName accepts 1 to 255 bytes of UTF-8 without control characters.
func validateName(v *violations, field, what, name string) {
	switch {
	case name == "":
		v.add(field, "%s can't be empty", what)
	case len(name) > maxNameBytes:
		v.add(field, "%s has at most %d bytes, this one has %d", what, maxNameBytes, len(name))
	case !utf8.ValidString(name):
		v.add(field, "%s is UTF-8, this one isn't", what)
	default:
		for _, r := range name {
			if unicode.IsControl(r) {
				v.add(field, "%s has no control characters, this one has %U", what, r)
				return
			}
		}
	}
}

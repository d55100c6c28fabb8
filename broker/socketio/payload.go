package socketio

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Payload is what an event or an ack carries.
type Payload struct {
	// Args is the text of a JSON array, without the event's name.
	Args json.RawMessage
	// Attachments are the binary arguments. Args refers to them by placeholders.
	Attachments [][]byte
}

// Reserved reports whether Socket.IO keeps the event's name for itself. A client that receives
// such an event closes its connection.
func Reserved(event string) bool {
	switch event {
	case "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener":
		return true
	}
	return false
}

// CheckArgs returns an error unless args can be an event's arguments together with that many
// attachments: the UTF-8 text of one JSON array, whose placeholders refer to all the attachments
// and to nothing else. The error is for people.
func CheckArgs(args []byte, attachments int) error {
	if err := checkArray(args); err != nil {
		return err
	}
	if attachments == 0 {
		return nil
	}
	used, err := placeholders(args, attachments)
	if err != nil {
		return err
	}
	for i, ok := range used {
		if !ok {
			return fmt.Errorf(`attachment %d is in no argument; put {"_placeholder":true,"num":%d} where it belongs`, i, i)
		}
	}
	return nil
}

func checkArray(args []byte) error {
	trimmed := bytes.TrimLeft(args, " \t\r\n")
	if len(trimmed) == 0 || trimmed[0] != '[' {
		return errors.New("the arguments are not a JSON array; write [] for none and [x] for one")
	}
	if !utf8.Valid(args) {
		return errors.New("the arguments are not UTF-8")
	}
	if !json.Valid(args) {
		return errors.New("the arguments are not valid JSON")
	}
	if tooDeep(args) {
		return errDepth
	}
	return nil
}

var errDepth = fmt.Errorf("the arguments are nested more than %d deep", maxDepth)

// maxDepth is how deep arguments may be nested. Receivers that take them apart recursively, as
// the stock client does with binary packets, run out of stack at a few thousand and close their
// connection.
const maxDepth = 500

// tooDeep reports whether valid JSON is nested deeper than maxDepth.
func tooDeep(valid []byte) bool {
	if len(valid) <= 2*maxDepth { // each level has two brackets
		return false
	}
	depth, quoted := 0, false
	for i := 0; i < len(valid); i++ {
		switch b := valid[i]; {
		case quoted && b == '\\':
			i++
		case b == '"':
			quoted = !quoted
		case quoted:
		case b == '[' || b == '{':
			if depth++; depth > maxDepth {
				return true
			}
		case b == ']' || b == '}':
			depth--
		}
	}
	return false
}

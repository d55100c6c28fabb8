package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/salabroker/sala/broker"
)

// bodyFaults finds the field that protojson means by the place in its message,
// "(line 1:19)". It returns nil if the fault is in none.
func bodyFaults(text []byte, request protoreflect.MessageDescriptor, message string) []broker.FieldViolation {
	place := regexp.MustCompile(`\(line (\d+):(\d+)\)(?:: )?`).FindStringSubmatchIndex(message)
	if place == nil {
		return nil
	}
	line, _ := strconv.Atoi(message[place[2]:place[3]]) // the pattern has digits there
	column, _ := strconv.Atoi(message[place[4]:place[5]])
	walk := &jsonWalk{message: request}
	walk.to(text, offsetOf(text, line, column))
	path := walk.path()
	if path == "" {
		return nil
	}
	description := message[:place[0]] + message[place[1]:]
	if walk.duration {
		description += `; a duration is text such as "3600s"`
	}
	return []broker.FieldViolation{{Field: path, Description: description}}
}

// offsetOf returns where in text a place is; columns count characters.
func offsetOf(text []byte, line, column int) int {
	rest := text
	for ; line > 1; line-- {
		_, after, found := bytes.Cut(rest, []byte("\n"))
		if !found {
			return len(text)
		}
		rest = after
	}
	for ; column > 1 && len(rest) > 0; column-- {
		_, size := utf8.DecodeRune(rest)
		rest = rest[size:]
	}
	return len(text) - len(rest)
}

// jsonWalk is on its way through JSON, and knows the fields that it is in.
type jsonWalk struct {
	message  protoreflect.MessageDescriptor // the request's
	levels   []jsonLevel
	duration bool // path has met a field that is a duration
}

// jsonLevel is an object, or an array, that is open.
type jsonLevel struct {
	array bool
	index int    // of the element in an array
	key   string // of the member in an object
	value bool   // the value behind key is next
}

// to walks until it has passed offset, or as far as the text is JSON.
func (w *jsonWalk) to(text []byte, offset int) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	for len(w.levels) <= maxJSONDepth {
		token, err := decoder.Token()
		if err != nil {
			return
		}
		delim, isDelim := token.(json.Delim)
		closes := isDelim && (delim == '}' || delim == ']')
		if !closes {
			w.enter(token)
		}
		if decoder.InputOffset() > int64(offset) {
			return
		}
		switch {
		case closes:
			w.levels = w.levels[:len(w.levels)-1]
		case isDelim:
			w.levels = append(w.levels, jsonLevel{array: delim == '[', index: -1})
		}
	}
}

// enter takes note of a key, or of a value that begins.
func (w *jsonWalk) enter(token json.Token) {
	if len(w.levels) == 0 {
		return
	}
	level := &w.levels[len(w.levels)-1]
	switch {
	case level.array:
		level.index++
	case level.value:
		level.value = false
	default:
		level.key, _ = token.(string)
		level.value = true
	}
}

// path names the innermost field, such as "emits[1].rooms[0]". What is within a
// type of protobuf's own, such as args, has no fields.
func (w *jsonWalk) path() string {
	var path strings.Builder
	message := w.message
	for _, level := range w.levels {
		switch {
		case level.array:
			if level.index >= 0 && path.Len() > 0 {
				fmt.Fprintf(&path, "[%d]", level.index)
			}
			continue
		case message == nil || level.key == "":
			return path.String()
		}
		if path.Len() > 0 {
			path.WriteByte('.')
		}
		field := fieldNamed(message, level.key)
		if field == nil {
			path.WriteString(level.key)
			return path.String()
		}
		path.WriteString(string(field.Name()))
		message = field.Message()
		if message != nil && message.ParentFile().Package() == "google.protobuf" {
			w.duration = message.FullName() == (*durationpb.Duration)(nil).ProtoReflect().Descriptor().FullName()
			return path.String()
		}
	}
	return path.String()
}

// explainRefusal returns what the gateway says of a request that it could make
// no call of, with the fields at fault: arguments of withDetails.
func explainRefusal(r *http.Request, st *status.Status) (*status.Status, string, []broker.FieldViolation) {
	rest, known := r.Context().Value(restKey{}).(*restRequest)
	if !known || st.Code() != codes.InvalidArgument {
		return st, codeName(st.Code()), nil
	}
	if fault, ok := rest.queryFault(st.Message()); ok {
		failed := classify(invalid(fault))
		return status.New(failed.code, failed.message), failed.reason, failed.fields
	}
	return st, broker.ReasonInvalidArgument, rest.faults
}

// queryFault finds the parameter that the gateway names as a field.
func (r *restRequest) queryFault(message string) (broker.FieldViolation, bool) {
	named := regexp.MustCompile(`^parsing field "([a-z_]+)"`).FindStringSubmatch(message)
	if named == nil {
		return broker.FieldViolation{}, false
	}
	for name, values := range r.query {
		last := name[strings.LastIndexByte(name, '.')+1:]
		if strings.EqualFold(strings.ReplaceAll(last, "_", ""), strings.ReplaceAll(named[1], "_", "")) {
			description := fmt.Sprintf("%q can't be read: a count is written in digits, such as 100, a switch as true or false", values[0])
			return broker.FieldViolation{Field: strings.TrimSuffix(name, last) + named[1], Description: description}, true
		}
	}
	return broker.FieldViolation{}, false
}

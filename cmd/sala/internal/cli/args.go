package cli

import (
	"encoding/json"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Event declares the flags and arguments of an event.
type Event struct {
	Event    string   `arg:"" help:"Name of the event."`
	Values   []string `arg:"" optional:"" name:"arg" help:"Arguments of the event. Valid JSON is sent as JSON, everything else as text. An argument that begins with { or [ must be valid JSON. Put -- before one that begins with a dash."`
	Args     string   `placeholder:"JSON" help:"All arguments as one JSON array, instead of one by one."`
	Volatile bool     `help:"Drop the event, instead of queueing it, for clients that can't receive it right now."`
}

// argsJSON returns the arguments as a JSON array. JSON is passed on as it was written, so that numbers
// stay exact.
func (e *Event) argsJSON() (string, error) {
	if e.Args != "" {
		if len(e.Values) > 0 {
			return "", &UsageError{Message: "pass the arguments one by one or with --args, not both"}
		}
		return e.Args, checkArray("--args", e.Args)
	}
	args := make([]string, len(e.Values))
	for i, v := range e.Values {
		args[i] = v
		if !json.Valid([]byte(v)) {
			if strings.HasPrefix(v, "{") || strings.HasPrefix(v, "[") {
				return "", &UsageError{Message: fmt.Sprintf(`the argument %s begins like JSON but isn't valid JSON; to send it as text, quote it: '"%s …"'`, v, v[:1])}
			}
			quoted, err := json.Marshal(v)
			if err != nil {
				return "", err
			}
			args[i] = string(quoted)
		}
	}
	return "[" + strings.Join(args, ",") + "]", nil
}

func checkArray(flag, text string) error {
	var array []json.RawMessage
	if err := json.Unmarshal([]byte(text), &array); err != nil || array == nil {
		return &UsageError{Message: fmt.Sprintf(`%s must be a JSON array such as '["hello", 1]', not %s`, flag, text)}
	}
	return nil
}

// parseJSON parses the JSON of a flag into m.
func parseJSON(flag, text string, m proto.Message) error {
	if err := protojson.Unmarshal([]byte(text), m); err != nil {
		return &UsageError{Message: fmt.Sprintf(`%s is not valid JSON: %s (quote text: '"like this"')`, flag, text)}
	}
	return nil
}

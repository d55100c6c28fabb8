package cli

import (
	"encoding/json"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Event declares an event with its arguments.
type Event struct {
	Event    string   `arg:"" help:"The event's name."`
	Values   []string `arg:"" optional:"" name:"arg" help:"The event's arguments: each is JSON if it reads as JSON, and text if not; one that begins with { or [ has to be JSON. Put -- before one that begins with a dash."`
	Args     string   `placeholder:"JSON" help:"All arguments as one JSON array, instead."`
	Volatile bool     `help:"Drop the event, rather than queue it, for clients that can't take it right now."`
}

// argsJSON is the text of the array of arguments. JSON goes through as it was
// written, so that numbers stay exact.
func (e *Event) argsJSON() (string, error) {
	if e.Args != "" {
		if len(e.Values) > 0 {
			return "", &UsageError{Message: "arguments are given either one by one or as --args, not both"}
		}
		return e.Args, checkArray("--args", e.Args)
	}
	args := make([]string, len(e.Values))
	for i, v := range e.Values {
		args[i] = v
		if !json.Valid([]byte(v)) {
			if strings.HasPrefix(v, "{") || strings.HasPrefix(v, "[") {
				return "", &UsageError{Message: fmt.Sprintf(`the argument %s is not valid JSON, though it begins like it; text that begins so needs quotes of its own: '"%s …"'`, v, v[:1])}
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
		return &UsageError{Message: fmt.Sprintf(`%s takes a JSON array, such as '["hello", 1]', not %s`, flag, text)}
	}
	return nil
}

// parseJSON reads a flag's JSON into m.
func parseJSON(flag, text string, m proto.Message) error {
	if err := protojson.Unmarshal([]byte(text), m); err != nil {
		return &UsageError{Message: fmt.Sprintf(`%s is not valid JSON: %s (text needs quotes of its own: '"like this"')`, flag, text)}
	}
	return nil
}

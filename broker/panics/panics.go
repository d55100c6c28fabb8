// Package panics describes panics for the log without their payload.
package panics

import (
	"fmt"
	"runtime"
)

// Describe describes a value that recover has returned: the message of the Go
// runtime, such as "index out of range", or only the type of another value, because
// the value might contain what a client or a caller sent. The stack has to do for the
// rest.
func Describe(v any) string {
	if err, ok := v.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("a value of type %T", v)
}

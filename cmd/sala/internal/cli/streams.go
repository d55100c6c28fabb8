package cli

import "io"

// Streams are the standard streams of a command.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// UsageError is an error in the flags or arguments of a command.
type UsageError struct{ Message string }

// Error implements error.
func (e *UsageError) Error() string { return e.Message }

// ExitCode is the process's exit code.
func (e *UsageError) ExitCode() int { return 2 }

package cli

import "io"

// Streams are what a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// UsageError says that a command was called in a way that can't work.
type UsageError struct{ Message string }

// Error implements error.
func (e *UsageError) Error() string { return e.Message }

// ExitCode is the process's exit code.
func (e *UsageError) ExitCode() int { return 2 }

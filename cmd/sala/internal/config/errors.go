package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/salabroker/sala/broker"
)

// Error describes everything that is wrong with a configuration. It quotes no secrets.
type Error struct {
	// Problems holds a sentence for each problem.
	Problems []string
}

// Error implements error, with one problem per line.
func (e *Error) Error() string { return strings.Join(e.Problems, "\n") }

// ExitCode is the process's exit code.
func (e *Error) ExitCode() int { return 2 }

// problems collects everything that is wrong, so that one run shows all of it.
type problems []string

func (p *problems) addf(format string, args ...any) { *p = append(*p, fmt.Sprintf(format, args...)) }

func (p *problems) add(err error) {
	if err != nil {
		*p = append(*p, err.Error())
	}
}

// err returns nil if there are no problems.
func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return &Error{Problems: p}
}

// Explain turns an error of [broker.New] about invalid options into an [Error]. It returns other
// errors unchanged.
func (c *Config) Explain(err error) error {
	var wrong *broker.Error
	if !errors.As(err, &wrong) || wrong.Code != broker.CodeInvalidArgument || len(wrong.Fields) == 0 {
		return err
	}
	var p problems
	for _, f := range wrong.Fields {
		p.addf("%s%s: %s", c.where(f.Field), f.Field, f.Description)
	}
	return p.err()
}

// where names the file if the file sets the field.
func (c *Config) where(field string) string {
	name := field
	if end := strings.IndexAny(name, ".["); end >= 0 {
		name = name[:end]
	}
	if file := c.Flags.file; file != nil && file.path != "" && (sectionKeys()[name] || c.Flags.origins[name] == originFile) {
		return file.path + ": "
	}
	return ""
}

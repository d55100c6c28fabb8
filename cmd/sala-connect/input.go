package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/zishang520/socket.io/v3/pkg/types"
)

// maxLineBytes bounds a typed line.
const maxLineBytes = 16 << 20

// typed is a line of standard input.
type typed struct {
	event string
	args  []any
	err   error // the line can't be sent, or can't be read
}

// readLines sends each line and closes the channel at the end. It returns when the input or ctx
// ends, and at the latest with the next line after that.
func readLines(ctx context.Context, in io.Reader, lines chan<- typed) {
	defer close(lines)
	scanner := bufio.NewScanner(in)
	scanner.Buffer(nil, maxLineBytes)
	pass := func(line typed) bool {
		select {
		case lines <- line:
			return true
		case <-ctx.Done():
			return false
		}
	}
	for scanner.Scan() {
		text := strings.TrimSpace(scanner.Text())
		if text != "" && !pass(parseLine(text)) {
			return
		}
	}
	if err := scanner.Err(); err != nil {
		pass(typed{err: fmt.Errorf("can't read standard input: %w", err)})
	}
}

// parseLine parses an event's name and its arguments: JSON values with spaces between them. Anything
// else is one argument, the text.
func parseLine(line string) typed {
	name, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	args, err := parseValues(rest)
	switch {
	case err == nil:
		return typed{event: name, args: args}
	case strings.HasPrefix(rest, "{"), strings.HasPrefix(rest, "["):
		return typed{err: fmt.Errorf("not sent: the arguments of %s begin like JSON, but aren't valid JSON", quote(name))}
	}
	return typed{event: name, args: []any{rest}}
}

// parseValues parses JSON values. Numbers keep their digits.
func parseValues(text string) ([]any, error) {
	decoder := json.NewDecoder(bytes.NewBufferString(text))
	decoder.UseNumber()
	var values []any
	for {
		var value any
		err := decoder.Decode(&value)
		if errors.Is(err, io.EOF) {
			return values, nil
		}
		if err != nil {
			return nil, err
		}
		values = append(values, withBytes(value))
	}
}

// binaryKey is the key of an object that stands for binary data, in base64.
const binaryKey = "$binary"

// withBytes replaces objects that stand for binary data.
func withBytes(value any) any {
	switch v := value.(type) {
	case []any:
		for i := range v {
			v[i] = withBytes(v[i])
		}
	case map[string]any:
		if text, ok := v[binaryKey].(string); ok && len(v) == 1 {
			if data, err := base64.StdEncoding.DecodeString(text); err == nil {
				return types.NewBytesBuffer(data)
			}
		}
		for key := range v {
			v[key] = withBytes(v[key])
		}
	}
	return value
}

// withoutBytes is the inverse of withBytes: it returns what JSON can hold.
func withoutBytes(value any) any {
	switch v := value.(type) {
	case interface{ Bytes() []byte }:
		return map[string]any{binaryKey: v.Bytes()}
	case []byte:
		return map[string]any{binaryKey: v}
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = withoutBytes(v[i])
		}
		return list
	case map[string]any:
		object := make(map[string]any, len(v))
		for key := range v {
			object[key] = withoutBytes(v[key])
		}
		return object
	}
	return value
}

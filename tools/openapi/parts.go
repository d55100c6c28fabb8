package main

import (
	"encoding/json"
	"fmt"

	"github.com/goccy/go-yaml"
)

// parts is what the description has beyond the protos.
type parts struct {
	Info       ordered
	Components struct {
		Schemas         []named // of errors
		SecuritySchemes ordered `yaml:"securitySchemes"`
	}
	// Scheme is the name of the security scheme of all calls.
	Scheme string
	// Errors are the responses of failed calls, in the order of the description.
	Errors []errorResponse
	// Messages by their names.
	Messages map[string]messageParts
	// Operations by method and path, such as "GET /v1/rooms".
	Operations map[string]operationParts
}

// messageParts is what the protos don't say about a message.
type messageParts struct {
	// Required are the fields that a request needs.
	Required []string
	// Set are the fields of an answer that are messages and are never null.
	Set []string
}

// operationParts is what the protos don't say about an operation.
type operationParts struct {
	ID         string // if it isn't the name of the method
	Summary    string
	Parameters map[string]ordered // example values
	Request    *ordered           // an example
	Response   *ordered           // an example; of a stream, one message
}

// errorResponse is an answer with a google.rpc.Status.
type errorResponse struct {
	Name        string
	Status      string // "default" is any other
	When        string // "", "body", "scope" or "lookup": which calls can fail so
	Description string
	Reasons     []string
	Example     ordered
}

// named is a value with a name, in the order of the file.
type named struct {
	Name  string
	Value ordered
}

// ordered is any value in the order of the file, as JSON.
type ordered struct{ json.RawMessage }

// UnmarshalYAML implements yaml.BytesUnmarshaler.
func (o *ordered) UnmarshalYAML(text []byte) error {
	converted, err := yaml.YAMLToJSON(text)
	o.RawMessage = converted
	return err
}

func readParts(name string) (*parts, error) {
	text, err := readFile("parts", name)
	if err != nil {
		return nil, err
	}
	read := &parts{}
	if err := yaml.UnmarshalWithOptions(text, read, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return read, nil
}

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
)

// binding is the address of a call over REST.
type binding struct {
	Selector   string    `yaml:"selector"`
	Get        string    `yaml:"get"`
	Post       string    `yaml:"post"`
	Delete     string    `yaml:"delete"`
	Additional []binding `yaml:"additional_bindings"`
}

// readREST returns the addresses of each call, by its full name.
func readREST(root string) (map[string][]string, error) {
	raw, err := os.ReadFile(filepath.Join(root, "proto/sala/v1/http.yaml"))
	if err != nil {
		return nil, fmt.Errorf("reading the addresses: %w", err)
	}
	var file struct {
		HTTP struct {
			Rules []binding `yaml:"rules"`
		} `yaml:"http"`
	}
	if err := yaml.Unmarshal(raw, &file); err != nil {
		return nil, fmt.Errorf("reading the addresses: %w", err)
	}
	addresses := make(map[string][]string)
	for _, rule := range file.HTTP.Rules {
		for _, b := range append([]binding{rule}, rule.Additional...) {
			addresses[rule.Selector] = append(addresses[rule.Selector], b.String())
		}
	}
	return addresses, nil
}

// String returns the address as a request has it: "GET /v1/rooms".
func (b binding) String() string {
	switch {
	case b.Get != "":
		return "GET " + b.Get
	case b.Post != "":
		return "POST " + b.Post
	}
	return strings.TrimSpace("DELETE " + b.Delete)
}

// Package cli holds the commands for people at a terminal: each makes one call,
// or a few, to the control API of a running broker, and prints what came back.
//
// A command is a struct that declares its flags for kong and has a Run method.
// What it shares with the others is embedded: [Client] calls the broker and
// turns gRPC's errors into words, [Printer] writes tables or JSON.
package cli

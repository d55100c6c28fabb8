// Package cli contains the commands that call the control API of a running broker and print the
// result.
//
// A command is a struct that declares its flags for kong and has a Run method. It embeds what it
// shares with others: [Client] calls the broker and explains gRPC errors, [Printer] writes tables or
// JSON.
package cli

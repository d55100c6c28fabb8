package cli

import "github.com/alecthomas/kong"

// Groups are the headings of the flags in --help, in order.
func Groups() []kong.Group {
	return []kong.Group{
		{Key: "target", Title: "Targets:"},
		{Key: "server", Title: "Connection to the broker:"},
	}
}

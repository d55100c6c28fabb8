package cli

import "github.com/alecthomas/kong"

// Groups are the headings under which the flags stand in --help, in order.
func Groups() []kong.Group {
	return []kong.Group{
		{Key: "target", Title: "For whom:"},
		{Key: "server", Title: "The broker to talk to:"},
	}
}

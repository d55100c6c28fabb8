package cli

import salav1 "github.com/salabroker/sala/gen/sala/v1"

// Target declares whom a command is for. Names are taken as they are, so a
// flag is repeated to name several.
type Target struct {
	Room   []string `sep:"none" placeholder:"ROOM" group:"target" help:"The members of this room. May be repeated, as may the others."`
	User   []string `sep:"none" placeholder:"USER" group:"target" help:"The sockets of this user."`
	Socket []string `sep:"none" placeholder:"ID" group:"target" help:"The socket with this id."`
	Except
}

// Except declares the namespace and who is left out.
type Except struct {
	Namespace    string   `placeholder:"NAME" group:"target" help:"The namespace, / if not given."`
	ExceptRoom   []string `sep:"none" placeholder:"ROOM" group:"target" help:"But not the members of this room."`
	ExceptUser   []string `sep:"none" placeholder:"USER" group:"target" help:"Nor the sockets of this user."`
	ExceptSocket []string `sep:"none" placeholder:"ID" group:"target" help:"And not this socket."`
}

func (t *Target) selector() *salav1.Selector {
	return &salav1.Selector{
		Namespace:     t.Namespace,
		Rooms:         t.Room,
		Users:         t.User,
		Sockets:       t.Socket,
		ExceptRooms:   t.ExceptRoom,
		ExceptUsers:   t.ExceptUser,
		ExceptSockets: t.ExceptSocket,
	}
}

// check catches a command for nobody before it is sent.
func (t *Target) check() error {
	if len(t.Room)+len(t.User)+len(t.Socket) == 0 {
		return &UsageError{Message: "say for whom: at least one --room, --user or --socket (sala broadcast reaches everyone)"}
	}
	return nil
}

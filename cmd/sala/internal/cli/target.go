package cli

import salav1 "github.com/salabroker/sala/gen/sala/v1"

// Target declares the flags that select sockets. Names may contain commas, so flags are repeated to
// name several.
type Target struct {
	Room   []string `sep:"none" placeholder:"ROOM" group:"target" help:"Sockets in this room. Repeatable, like the other flags below except --namespace."`
	User   []string `sep:"none" placeholder:"USER" group:"target" help:"Sockets of this user."`
	Socket []string `sep:"none" placeholder:"ID" group:"target" help:"Socket with this id."`
	Except
}

// Except declares the namespace and the sockets that are left out.
type Except struct {
	Namespace    string   `placeholder:"NAME" group:"target" help:"Namespace of the sockets. By default /."`
	ExceptRoom   []string `sep:"none" placeholder:"ROOM" group:"target" help:"Leave out sockets in this room."`
	ExceptUser   []string `sep:"none" placeholder:"USER" group:"target" help:"Leave out sockets of this user."`
	ExceptSocket []string `sep:"none" placeholder:"ID" group:"target" help:"Leave out this socket."`
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

// check refuses a target that selects no sockets.
func (t *Target) check() error {
	if len(t.Room)+len(t.User)+len(t.Socket) == 0 {
		return &UsageError{Message: "set at least one of --room, --user and --socket (to reach all sockets of a namespace, use \"sala broadcast\")"}
	}
	return nil
}

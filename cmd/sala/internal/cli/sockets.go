package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/structpb"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// Sockets groups the commands for sockets.
type Sockets struct {
	List       SocketsList       `cmd:"" default:"withargs" help:"List the sockets that are connected or away."`
	Get        SocketsGet        `cmd:"" help:"Show a socket."`
	Join       SocketsJoin       `cmd:"" help:"Let sockets join rooms."`
	Leave      SocketsLeave      `cmd:"" help:"Let sockets leave rooms."`
	Update     SocketsUpdate     `cmd:"" help:"Replace the data of sockets."`
	Disconnect SocketsDisconnect `cmd:"" help:"Disconnect sockets."`
}

// Help implements kong.HelpProvider.
func (Sockets) Help() string { return `"sala sockets" is short for "sala sockets list".` }

// SocketsList lists sockets.
type SocketsList struct {
	Namespace string `placeholder:"NAME" help:"List only this namespace."`
	Room      string `placeholder:"ROOM" help:"List only sockets in this room."`
	User      string `placeholder:"USER" help:"List only sockets of this user."`
	Query     string `placeholder:"TEXT" help:"List only sockets whose user, id or address begins with this."`
	Printer
	Client
}

// Run implements the command.
func (l *SocketsList) Run(ctx context.Context, s *Streams) error {
	req := &salav1.ListSocketsRequest{Namespace: l.Namespace, Room: l.Room, User: l.User, Query: l.Query, PageSize: pageSize}
	all := &salav1.ListSocketsResponse{}
	return l.call(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		for more := true; more; more = req.PageToken != "" {
			page, err := salav1.NewSocketServiceClient(conn).ListSockets(ctx, req)
			if err != nil {
				return err
			}
			all.Sockets = append(all.Sockets, page.GetSockets()...)
			all.Partial = all.GetPartial() || page.GetPartial()
			all.MissingNodes = union(all.GetMissingNodes(), page.GetMissingNodes())
			req.PageToken = page.GetNextPageToken()
		}
		return l.print(s.Out, all, func(out io.Writer) error {
			if len(all.GetSockets()) == 0 {
				fmt.Fprintln(s.Err, "no connected socket matches")
				return nil
			}
			rows := [][]string{{"ID", "USER", "NAMESPACE", "ROOMS", "TRANSPORT", "ADDRESS", "NODE", "CONNECTED", "STATE"}}
			for _, socket := range all.GetSockets() {
				rows = append(rows, []string{socket.GetId(), socket.GetUser(), socket.GetNamespace(), strings.Join(socket.GetRooms(), " "),
					socket.GetTransport(), socket.GetAddress(), socket.GetNode(), when(socket.GetConnectTime()), socketState(socket)})
			}
			return table(out, rows)
		})
	})
}

// SocketsGet shows a socket.
type SocketsGet struct {
	ID string `arg:"" name:"id" help:"Id of the socket."`
	Printer
	Client
}

// Run implements the command.
func (g *SocketsGet) Run(ctx context.Context, s *Streams) error {
	return g.call(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		res, err := salav1.NewSocketServiceClient(conn).GetSocket(ctx, &salav1.GetSocketRequest{Id: g.ID})
		if err != nil {
			return err
		}
		return g.print(s.Out, res, func(out io.Writer) error {
			socket := res.GetSocket()
			return table(out, [][]string{
				{"ID", socket.GetId()},
				{"USER", socket.GetUser()},
				{"NAMESPACE", socket.GetNamespace()},
				{"ROOMS", strings.Join(socket.GetRooms(), " ")},
				{"TRANSPORT", socket.GetTransport()},
				{"ADDRESS", socket.GetAddress()},
				{"NODE", socket.GetNode()},
				{"CONNECTED", when(socket.GetConnectTime())},
				{"STATE", socketState(socket)},
				{"DATA", compactJSON(socket.GetData())},
			})
		})
	})
}

func socketState(socket *salav1.Socket) string {
	return strings.ToLower(strings.TrimPrefix(socket.GetState().String(), "SOCKET_STATE_"))
}

// SocketsJoin lets sockets join rooms.
type SocketsJoin struct {
	Rooms []string `arg:"" name:"room" help:"Rooms to join."`
	Target
	Printer
	Client
}

// Run implements the command.
func (j *SocketsJoin) Run(ctx context.Context, s *Streams) error {
	if err := j.check(); err != nil {
		return err
	}
	return j.call(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		res, err := salav1.NewSocketServiceClient(conn).Join(ctx, &salav1.JoinRequest{Selector: j.selector(), Rooms: j.Rooms})
		if err != nil {
			return err
		}
		return j.print(s.Out, res, func(out io.Writer) error {
			_, err := fmt.Fprintf(out, "%s matched, %d refused\n", sockets(res.GetMatched()), res.GetRefused())
			return err
		})
	})
}

// SocketsLeave lets sockets leave rooms.
type SocketsLeave struct {
	Rooms []string `arg:"" name:"room" help:"Rooms to leave."`
	Target
	Printer
	Client
}

// Run implements the command.
func (l *SocketsLeave) Run(ctx context.Context, s *Streams) error {
	if err := l.check(); err != nil {
		return err
	}
	return l.call(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		res, err := salav1.NewSocketServiceClient(conn).Leave(ctx, &salav1.LeaveRequest{Selector: l.selector(), Rooms: l.Rooms})
		if err != nil {
			return err
		}
		return l.print(s.Out, res, func(out io.Writer) error {
			_, err := fmt.Fprintf(out, "%s matched\n", sockets(res.GetMatched()))
			return err
		})
	})
}

// SocketsUpdate replaces the data of sockets.
type SocketsUpdate struct {
	Data string `arg:"" placeholder:"JSON" help:"Data that backends see with the sockets from now on, as JSON. null removes it."`
	Target
	Printer
	Client
}

// Run implements the command.
func (u *SocketsUpdate) Run(ctx context.Context, s *Streams) error {
	if err := u.check(); err != nil {
		return err
	}
	req := &salav1.UpdateRequest{Selector: u.selector(), Data: &structpb.Value{}}
	if err := parseJSON("the data", u.Data, req.Data); err != nil {
		return err
	}
	return u.call(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		res, err := salav1.NewSocketServiceClient(conn).Update(ctx, req)
		if err != nil {
			return err
		}
		return u.print(s.Out, res, func(out io.Writer) error {
			_, err := fmt.Fprintf(out, "%s updated\n", sockets(res.GetMatched()))
			return err
		})
	})
}

// SocketsDisconnect disconnects sockets.
type SocketsDisconnect struct {
	Reason string `placeholder:"TEXT" help:"Reason to send to the clients."`
	Target
	Printer
	Client
}

// Run implements the command.
func (d *SocketsDisconnect) Run(ctx context.Context, s *Streams) error {
	if err := d.check(); err != nil {
		return err
	}
	return d.call(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		res, err := salav1.NewSocketServiceClient(conn).Disconnect(ctx, &salav1.DisconnectRequest{Selector: d.selector(), Reason: d.Reason})
		if err != nil {
			return err
		}
		return d.print(s.Out, res, func(out io.Writer) error {
			_, err := fmt.Fprintf(out, "%s disconnected\n", sockets(res.GetMatched()))
			return err
		})
	})
}

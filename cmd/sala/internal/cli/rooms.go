package cli

import (
	"context"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/structpb"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// pageSize is how many entries one call asks for.
const pageSize = 1000

// Rooms groups the commands for rooms.
type Rooms struct {
	List  RoomsList  `cmd:"" default:"withargs" help:"List the rooms and how many sockets are in each."`
	Get   RoomsGet   `cmd:"" help:"Show how many sockets and users are in a room."`
	Clear RoomsClear `cmd:"" help:"Remove all sockets from a room."`
}

// Help implements kong.HelpProvider.
func (Rooms) Help() string { return `"sala rooms" is short for "sala rooms list".` }

// RoomsList lists rooms.
type RoomsList struct {
	Namespace string `placeholder:"NAME" help:"List only this namespace."`
	Prefix    string `placeholder:"TEXT" help:"List only rooms whose names begin with this."`
	Query     string `placeholder:"TEXT" help:"List only rooms whose names contain this, whatever the case of its letters."`
	Order     string `enum:"name,sockets" default:"name" help:"Order of the list: name, or sockets for the rooms with the most sockets first."`
	Printer
	Client
}

// Run implements the command.
func (r *RoomsList) Run(ctx context.Context, s *Streams) error {
	req := &salav1.ListRoomsRequest{Namespace: r.Namespace, Prefix: r.Prefix, Query: r.Query, PageSize: pageSize}
	if r.Order == "sockets" {
		req.Order = salav1.RoomOrder_ROOM_ORDER_SOCKETS
	}
	all := &salav1.ListRoomsResponse{}
	return r.call(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		for more := true; more; more = req.PageToken != "" {
			page, err := salav1.NewRoomServiceClient(conn).ListRooms(ctx, req)
			if err != nil {
				return err
			}
			all.Rooms = append(all.Rooms, page.GetRooms()...)
			all.Partial = all.GetPartial() || page.GetPartial()
			all.MissingNodes = union(all.GetMissingNodes(), page.GetMissingNodes())
			all.Truncated, all.Time = page.GetTruncated(), page.GetTime()
			req.PageToken = page.GetNextPageToken()
		}
		return r.print(s.Out, all, func(out io.Writer) error {
			if len(all.GetRooms()) == 0 {
				fmt.Fprintln(s.Err, "there are no rooms")
				return nil
			}
			rows := [][]string{{"NAMESPACE", "ROOM", "SOCKETS"}}
			for _, room := range all.GetRooms() {
				rows = append(rows, []string{room.GetNamespace(), room.GetName(), count(room.GetSockets())})
			}
			if all.GetTruncated() {
				fmt.Fprintf(s.Err, "more rooms match than the %d that are listed\n", len(all.GetRooms()))
			}
			return table(out, rows)
		})
	})
}

// RoomsGet shows one room.
type RoomsGet struct {
	Room      string `arg:"" help:"Name of the room."`
	Namespace string `placeholder:"NAME" help:"Namespace of the room. By default /."`
	Printer
	Client
}

// Run implements the command.
func (r *RoomsGet) Run(ctx context.Context, s *Streams) error {
	return r.call(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		res, err := salav1.NewRoomServiceClient(conn).GetRoom(ctx, &salav1.GetRoomRequest{Room: r.Room, Namespace: r.Namespace})
		if err != nil {
			return err
		}
		return r.print(s.Out, res, func(out io.Writer) error {
			return table(out, [][]string{
				{"NAMESPACE", "ROOM", "SOCKETS", "USERS"},
				{res.GetNamespace(), res.GetName(), count(res.GetSockets()), count(res.GetUsers())},
			})
		})
	})
}

// RoomsClear clears a room.
type RoomsClear struct {
	Room       string `arg:"" help:"Name of the room."`
	Namespace  string `placeholder:"NAME" help:"Namespace of the room. By default /."`
	Notice     string `placeholder:"EVENT" help:"Event to send to the sockets before they are removed."`
	Args       string `placeholder:"JSON" help:"Arguments of the notice, as a JSON array."`
	Disconnect bool   `help:"Also disconnect the sockets."`
	Printer
	Client
}

// Run implements the command.
func (r *RoomsClear) Run(ctx context.Context, s *Streams) error {
	req := &salav1.ClearRoomRequest{Room: r.Room, Namespace: r.Namespace, Disconnect: r.Disconnect}
	if r.Args != "" && r.Notice == "" {
		return &UsageError{Message: "--args needs --notice EVENT"}
	}
	if r.Notice != "" {
		req.Notice = &salav1.Notice{Event: r.Notice}
		if r.Args != "" {
			if err := checkArray("--args", r.Args); err != nil {
				return err
			}
			req.Notice.Args = &structpb.ListValue{}
			if err := parseJSON("--args", r.Args, req.Notice.Args); err != nil {
				return err
			}
		}
	}
	return r.call(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		res, err := salav1.NewRoomServiceClient(conn).ClearRoom(ctx, req)
		if err != nil {
			return err
		}
		return r.print(s.Out, res, func(out io.Writer) error {
			_, err := fmt.Fprintf(out, "%s removed\n", sockets(res.GetRemoved()))
			return err
		})
	})
}

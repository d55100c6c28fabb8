package cli

import (
	"context"
	"fmt"
	"io"

	"google.golang.org/grpc"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// Users lists the users who are there.
type Users struct {
	Room      string `arg:"" optional:"" help:"Name of a room. Without one, the users of the whole namespace are listed."`
	Namespace string `placeholder:"NAME" help:"Namespace of the users. By default /."`
	Query     string `placeholder:"TEXT" help:"List only users whose names begin with this."`
	Printer
	Client
}

// Run implements the command.
func (u *Users) Run(ctx context.Context, s *Streams) error {
	req := &salav1.ListUsersRequest{Room: u.Room, Namespace: u.Namespace, Query: u.Query, PageSize: pageSize}
	all := &salav1.ListUsersResponse{}
	return u.call(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		for more := true; more; more = req.PageToken != "" {
			page, err := salav1.NewPresenceServiceClient(conn).ListUsers(ctx, req)
			if err != nil {
				return err
			}
			all.Users = append(all.Users, page.GetUsers()...)
			all.Partial = all.GetPartial() || page.GetPartial()
			all.MissingNodes = union(all.GetMissingNodes(), page.GetMissingNodes())
			req.PageToken = page.GetNextPageToken()
		}
		return u.print(s.Out, all, func(out io.Writer) error {
			if len(all.GetUsers()) == 0 {
				fmt.Fprintln(s.Err, "no user is there")
				return nil
			}
			rows := [][]string{{"USER", "SOCKETS", "DATA"}}
			for _, user := range all.GetUsers() {
				rows = append(rows, []string{user.GetUser(), count(user.GetSockets()), compactJSON(user.GetData())})
			}
			return table(out, rows)
		})
	})
}

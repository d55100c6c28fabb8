package cli

import (
	"context"
	"fmt"
	"io"

	"google.golang.org/grpc"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// BackendGroups lists the groups of backends.
type BackendGroups struct {
	Printer
	Client
}

// Run implements the command.
func (g *BackendGroups) Run(ctx context.Context, s *Streams) error {
	return g.call(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		res, err := salav1.NewObserveServiceClient(conn).ListGroups(ctx, &salav1.ListGroupsRequest{})
		if err != nil {
			return err
		}
		return g.print(s.Out, res, func(out io.Writer) error {
			if len(res.GetGroups()) == 0 {
				fmt.Fprintln(s.Err, "no backend is subscribed to events")
				return nil
			}
			rows := [][]string{{"GROUP", "KEY", "NODE", "ROLE", "CREDITS", "WAITING", "UNACKNOWLEDGED"}}
			for _, group := range res.GetGroups() {
				for _, m := range group.GetMembers() {
					rows = append(rows, []string{group.GetName(), m.GetKey(), m.GetNode(), memberRole(group, m),
						count(m.GetCredits()), count(m.GetWaiting()), count(m.GetUnacknowledged())})
				}
			}
			return table(out, rows)
		})
	})
}

func memberRole(g *salav1.Group, m *salav1.GroupMember) string {
	switch {
	case g.GetObserves():
		return "observes"
	case m.GetDecides():
		return "decides"
	}
	return "handles"
}

package cli

import (
	"context"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// Nodes lists the nodes of the broker.
type Nodes struct {
	Printer
	Client
}

// Run implements the command.
func (n *Nodes) Run(ctx context.Context, s *Streams) error {
	return n.call(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		res, err := salav1.NewClusterServiceClient(conn).ListNodes(ctx, &salav1.ListNodesRequest{})
		if err != nil {
			return err
		}
		return n.print(s.Out, res, func(out io.Writer) error {
			rows := [][]string{{"ID", "VERSION", "STATE", "SOCKETS", "ROOMS", "UPTIME"}}
			for _, node := range res.GetNodes() {
				state := strings.ToLower(strings.TrimPrefix(node.GetState().String(), "NODE_STATE_"))
				rows = append(rows, []string{node.GetId(), node.GetVersion(), state, count(node.GetSockets()), count(node.GetRooms()),
					node.GetUptime().AsDuration().Round(time.Second).String()})
			}
			return table(out, rows)
		})
	})
}

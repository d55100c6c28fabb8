package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// Nodes groups the commands for nodes.
type Nodes struct {
	List  NodesList  `cmd:"" default:"withargs" help:"List the nodes of the cluster."`
	Drain NodesDrain `cmd:"" help:"Drain a node: it closes its clients' connections and refuses new ones."`
}

// Help implements kong.HelpProvider.
func (Nodes) Help() string { return `"sala nodes" is short for "sala nodes list".` }

// NodesList lists the nodes of the cluster.
type NodesList struct {
	Printer
	Client
}

// Run implements the command.
func (n *NodesList) Run(ctx context.Context, s *Streams) error {
	return n.call(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		res, err := salav1.NewClusterServiceClient(conn).ListNodes(ctx, &salav1.ListNodesRequest{})
		if err != nil {
			return err
		}
		return n.print(s.Out, res, func(out io.Writer) error {
			rows := [][]string{{"ID", "VERSION", "STATE", "SOCKETS", "ROOMS", "UPTIME"}}
			for _, node := range res.GetNodes() {
				rows = append(rows, []string{node.GetId(), node.GetVersion(), nodeState(node), count(node.GetSockets()), count(node.GetRooms()),
					node.GetUptime().AsDuration().Round(time.Second).String()})
			}
			return table(out, rows)
		})
	})
}

func nodeState(node *salav1.Node) string {
	return strings.ToLower(strings.TrimPrefix(node.GetState().String(), "NODE_STATE_"))
}

// NodesDrain drains a node.
type NodesDrain struct {
	ID string `arg:"" name:"id" help:"Id of the node, see \"sala nodes\"."`
	Printer
	Client
}

// Run implements the command.
func (d *NodesDrain) Run(ctx context.Context, s *Streams) error {
	return d.call(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		res, err := salav1.NewClusterServiceClient(conn).Drain(ctx, &salav1.DrainRequest{Id: d.ID})
		if err != nil {
			return err
		}
		return d.print(s.Out, res, func(out io.Writer) error {
			_, err := fmt.Fprintf(out, "%s is %s, %s left\n", res.GetNode().GetId(), nodeState(res.GetNode()), sockets(res.GetNode().GetSockets()))
			return err
		})
	})
}

package load

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"

	"github.com/salabroker/sala/bench/process"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// ListNodes returns the nodes of the cluster that a node of Sala knows, over a connection to its
// control API.
func ListNodes(ctx context.Context, conn *grpc.ClientConn, t *process.Target) ([]*salav1.Node, error) {
	answer, err := salav1.NewClusterServiceClient(conn).ListNodes(t.Authorize(ctx), &salav1.ListNodesRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return nil, fmt.Errorf("listing the nodes: %w", err)
	}
	return answer.GetNodes(), nil
}

// AwaitNodes waits until a node of Sala knows at least n nodes, itself included.
func AwaitNodes(ctx context.Context, t *process.Target, n int) error {
	conn, err := t.DialControl()
	if err != nil {
		return err
	}
	defer conn.Close()
	for {
		nodes, err := ListNodes(ctx, conn, t)
		if err != nil || len(nodes) >= n {
			return err
		}
		if err := Sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

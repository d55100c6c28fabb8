package api

import (
	"context"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/salabroker/sala/broker"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

type clusterService struct {
	salav1.UnimplementedClusterServiceServer
	broker Broker
}

// ListNodes implements salav1.ClusterServiceServer.
func (s *clusterService) ListNodes(ctx context.Context, _ *salav1.ListNodesRequest) (*salav1.ListNodesResponse, error) {
	list, err := s.broker.ListNodes(ctx)
	if err != nil {
		return nil, err
	}
	resp := &salav1.ListNodesResponse{
		Nodes:        make([]*salav1.Node, len(list.Nodes)),
		Partial:      list.Partial,
		MissingNodes: list.Missing,
	}
	for i, node := range list.Nodes {
		resp.Nodes[i] = nodeMessage(node)
	}
	return resp, nil
}

// Drain implements salav1.ClusterServiceServer.
func (s *clusterService) Drain(ctx context.Context, req *salav1.DrainRequest) (*salav1.DrainResponse, error) {
	node, err := s.broker.Drain(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	return &salav1.DrainResponse{Node: nodeMessage(node)}, nil
}

func nodeMessage(node broker.NodeInfo) *salav1.Node {
	return &salav1.Node{
		Id:      node.ID,
		Version: node.Version,
		Sockets: count(node.Sockets),
		Rooms:   count(node.Rooms),
		State:   nodeState(node.State),
		Uptime:  durationpb.New(node.Uptime),
	}
}

func nodeState(state broker.NodeState) salav1.NodeState {
	switch state {
	case broker.NodeActive:
		return salav1.NodeState_NODE_STATE_ACTIVE
	case broker.NodeDraining:
		return salav1.NodeState_NODE_STATE_DRAINING
	}
	return salav1.NodeState_NODE_STATE_UNSPECIFIED
}

package api

import (
	"context"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/stats"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// ListGroups implements salav1.ObserveServiceServer.
func (s *observeService) ListGroups(ctx context.Context, _ *salav1.ListGroupsRequest) (*salav1.ListGroupsResponse, error) {
	list, err := s.broker.ListGroups(ctx)
	if err != nil {
		return nil, err
	}
	resp := &salav1.ListGroupsResponse{Partial: list.Partial, MissingNodes: list.Missing}
	for i := range list.Groups {
		g := &list.Groups[i]
		group := &salav1.Group{Name: g.Name, Observes: g.Observes, Waiting: count(g.Waiting), Unacknowledged: count(g.Unacknowledged)}
		for j := range g.Members {
			group.Members = append(group.Members, groupMember(&g.Members[j]))
		}
		resp.Groups = append(resp.Groups, group)
	}
	return resp, nil
}

func groupMember(m *broker.GroupMember) *salav1.GroupMember {
	member := &salav1.GroupMember{
		Id:             m.ID,
		Node:           m.Node,
		Key:            m.Owner,
		Namespaces:     m.Namespaces,
		Events:         m.Events,
		Decides:        m.Decide,
		Credits:        count(m.Credits),
		Waiting:        count(m.Waiting),
		Unacknowledged: count(m.Unacknowledged),
	}
	for _, kind := range m.Kinds {
		member.Kinds = append(member.Kinds, eventKind(kind))
	}
	return member
}

// GetStats implements salav1.ObserveServiceServer.
func (s *observeService) GetStats(ctx context.Context, req *salav1.GetStatsRequest) (*salav1.GetStatsResponse, error) {
	list, err := s.broker.Stats(ctx, int(req.GetPoints()))
	if err != nil {
		return nil, err
	}
	resp := &salav1.GetStatsResponse{Step: durationpb.New(stats.Step), Partial: list.Partial, MissingNodes: list.Missing}
	for _, node := range list.Nodes {
		described := &salav1.NodeStats{Node: node.Node, EndTime: timestamp(node.End)}
		for _, series := range node.Series {
			described.Series = append(described.Series, &salav1.StatsSeries{Name: series.Name, Label: series.Label, Values: series.Values})
		}
		resp.Nodes = append(resp.Nodes, described)
	}
	return resp, nil
}

// ListLimits implements salav1.ObserveServiceServer.
func (s *observeService) ListLimits(ctx context.Context, req *salav1.ListLimitsRequest) (*salav1.ListLimitsResponse, error) {
	within, err := reachOf(ctx).Namespaces(req.GetNamespace())
	if err != nil {
		return nil, err
	}
	if len(within) == 0 && req.GetNamespace() != "" {
		within = []string{req.GetNamespace()}
	}
	list, err := s.broker.ListLimits(ctx, within)
	if err != nil {
		return nil, err
	}
	resp := &salav1.ListLimitsResponse{Partial: list.Partial, MissingNodes: list.Missing}
	for _, h := range list.Limits {
		resp.Limits = append(resp.Limits, &salav1.LimitHit{
			Limit: h.Limit, Namespace: h.Namespace, User: h.User, Address: h.Address, Node: h.Node,
			Count: count(h.Count), FirstTime: timestamp(h.First), LastTime: timestamp(h.Last),
		})
	}
	return resp, nil
}

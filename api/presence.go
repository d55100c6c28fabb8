package api

import (
	"context"

	"github.com/salabroker/sala/api/auth"
	"github.com/salabroker/sala/broker"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

type presenceService struct {
	salav1.UnimplementedPresenceServiceServer
	broker Broker
}

// ListUsers implements salav1.PresenceServiceServer.
func (s *presenceService) ListUsers(ctx context.Context, req *salav1.ListUsersRequest) (*salav1.ListUsersResponse, error) {
	var rooms []string
	if req.GetRoom() != "" {
		rooms = []string{req.GetRoom()}
	}
	if err := roomsOrNamespace(reachOf(ctx), req.GetNamespace(), rooms); err != nil {
		return nil, err
	}
	list, err := s.broker.Users(ctx, broker.UserQuery{
		Namespace: req.GetNamespace(),
		Room:      req.GetRoom(),
		Query:     req.GetQuery(),
		Page:      broker.Page{Size: int(req.GetPageSize()), Token: req.GetPageToken()},
	})
	if err != nil {
		return nil, err
	}
	resp := &salav1.ListUsersResponse{
		Users:         make([]*salav1.PresentUser, len(list.Users)),
		NextPageToken: list.Next,
		Partial:       list.Partial,
		MissingNodes:  list.Missing,
	}
	for i, user := range list.Users {
		resp.Users[i] = &salav1.PresentUser{User: user.User, Sockets: count(user.Sockets), Data: jsonValue(user.Data)}
	}
	return resp, nil
}

// Count implements salav1.PresenceServiceServer.
func (s *presenceService) Count(ctx context.Context, req *salav1.CountRequest) (*salav1.CountResponse, error) {
	if err := roomsOrNamespace(reachOf(ctx), req.GetNamespace(), req.GetRooms()); err != nil {
		return nil, err
	}
	counted, err := s.broker.CountUsers(ctx, req.GetNamespace(), req.GetRooms())
	if err != nil {
		return nil, err
	}
	resp := &salav1.CountResponse{
		Counts:       make([]*salav1.RoomCount, len(counted.Counts)),
		Partial:      counted.Partial,
		MissingNodes: counted.Missing,
	}
	for i, c := range counted.Counts {
		resp.Counts[i] = &salav1.RoomCount{Room: c.Room, Users: count(c.Users), Sockets: count(c.Sockets)}
	}
	return resp, nil
}

// Online implements salav1.PresenceServiceServer.
func (s *presenceService) Online(ctx context.Context, req *salav1.OnlineRequest) (*salav1.OnlineResponse, error) {
	if err := reachOf(ctx).Namespace(req.GetNamespace()); err != nil {
		return nil, err
	}
	online, err := s.broker.Online(ctx, req.GetNamespace(), req.GetUsers())
	if err != nil {
		return nil, err
	}
	return &salav1.OnlineResponse{Online: online.Users, Partial: online.Partial, MissingNodes: online.Missing}, nil
}

// roomsOrNamespace returns an error unless the rooms are within reach or, if a call names
// none, the namespace as a whole.
func roomsOrNamespace(within auth.Reach, namespace string, rooms []string) error {
	if len(rooms) == 0 {
		return within.Namespace(namespace)
	}
	return within.Rooms(namespace, rooms)
}

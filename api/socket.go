package api

import (
	"context"
	"fmt"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/eventhub"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

type socketService struct {
	salav1.UnimplementedSocketServiceServer
	broker Broker
}

// ListSockets implements salav1.SocketServiceServer.
func (s *socketService) ListSockets(ctx context.Context, req *salav1.ListSocketsRequest) (*salav1.ListSocketsResponse, error) {
	within, err := reachOf(ctx).Namespaces(req.GetNamespace())
	if err != nil {
		return nil, err
	}
	list, err := s.broker.ListSockets(ctx, broker.SocketQuery{
		Namespace: req.GetNamespace(),
		Within:    within,
		Room:      req.GetRoom(),
		User:      req.GetUser(),
		Query:     req.GetQuery(),
		Page:      broker.Page{Size: int(req.GetPageSize()), Token: req.GetPageToken()},
	})
	if err != nil {
		return nil, err
	}
	resp := &salav1.ListSocketsResponse{
		Sockets:       make([]*salav1.Socket, len(list.Sockets)),
		NextPageToken: list.Next,
		Partial:       list.Partial,
		MissingNodes:  list.Missing,
	}
	for i, info := range list.Sockets {
		resp.Sockets[i] = socketMessage(info)
	}
	return resp, nil
}

// GetSocket implements salav1.SocketServiceServer.
func (s *socketService) GetSocket(ctx context.Context, req *salav1.GetSocketRequest) (*salav1.GetSocketResponse, error) {
	info, err := s.broker.GetSocket(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	if reachOf(ctx).Namespace(info.Namespace) != nil {
		return nil, socketNotFound(req.GetId()) // don't reveal that the socket exists
	}
	return &salav1.GetSocketResponse{Socket: socketMessage(info)}, nil
}

// socketNotFound returns the error that the broker returns for an unknown socket.
func socketNotFound(id string) error {
	return &broker.Error{
		Code:    broker.CodeNotFound,
		Reason:  broker.ReasonSocketNotFound,
		Message: fmt.Sprintf("no socket %q is connected", id),
	}
}

func socketMessage(info broker.SocketInfo) *salav1.Socket {
	return &salav1.Socket{
		Id:          info.ID,
		User:        info.User,
		Namespace:   info.Namespace,
		Rooms:       info.Rooms,
		Address:     info.Address,
		Transport:   info.Transport,
		ConnectTime: timestamp(info.ConnectTime),
		Data:        jsonValue(info.Data),
		Node:        info.Node,
		State:       socketState(info.Away),
		Session:     socketSession(info.Session),
	}
}

func socketSession(s *eventhub.Session) *salav1.SocketSession {
	if s == nil {
		return nil
	}
	return &salav1.SocketSession{
		Events:     count(s.Events),
		Bytes:      uint64(max(s.Bytes, 0)),
		Complete:   s.Complete,
		AwayTime:   timestamp(s.AwaySince),
		AwayReason: s.AwayReason,
		ExpireTime: timestamp(s.Expires),
	}
}

func socketState(away bool) salav1.SocketState {
	if away {
		return salav1.SocketState_SOCKET_STATE_AWAY
	}
	return salav1.SocketState_SOCKET_STATE_CONNECTED
}

// Join implements salav1.SocketServiceServer.
func (s *socketService) Join(ctx context.Context, req *salav1.JoinRequest) (*salav1.JoinResponse, error) {
	if err := reachOf(ctx).Namespace(req.GetSelector().GetNamespace()); err != nil {
		return nil, err
	}
	out, err := s.broker.Join(ctx, selectedTarget(req.GetSelector()), req.GetRooms())
	if err != nil {
		return nil, err
	}
	return &salav1.JoinResponse{Matched: count(out.Matched), Refused: count(out.Refused), Partial: out.Partial, MissingNodes: out.Missing}, nil
}

// Leave implements salav1.SocketServiceServer.
func (s *socketService) Leave(ctx context.Context, req *salav1.LeaveRequest) (*salav1.LeaveResponse, error) {
	if err := reachOf(ctx).Namespace(req.GetSelector().GetNamespace()); err != nil {
		return nil, err
	}
	out, err := s.broker.Leave(ctx, selectedTarget(req.GetSelector()), req.GetRooms())
	if err != nil {
		return nil, err
	}
	return &salav1.LeaveResponse{Matched: count(out.Matched), Partial: out.Partial, MissingNodes: out.Missing}, nil
}

// Update implements salav1.SocketServiceServer.
func (s *socketService) Update(ctx context.Context, req *salav1.UpdateRequest) (*salav1.UpdateResponse, error) {
	if err := reachOf(ctx).Namespace(req.GetSelector().GetNamespace()); err != nil {
		return nil, err
	}
	data, err := valueJSON("data", req.GetData())
	if err != nil {
		return nil, err
	}
	out, err := s.broker.Update(ctx, selectedTarget(req.GetSelector()), data)
	if err != nil {
		return nil, err
	}
	return &salav1.UpdateResponse{Matched: count(out.Matched), Partial: out.Partial, MissingNodes: out.Missing}, nil
}

// Disconnect implements salav1.SocketServiceServer.
func (s *socketService) Disconnect(ctx context.Context, req *salav1.DisconnectRequest) (*salav1.DisconnectResponse, error) {
	if err := reachOf(ctx).Namespace(req.GetSelector().GetNamespace()); err != nil {
		return nil, err
	}
	out, err := s.broker.Disconnect(ctx, selectedTarget(req.GetSelector()), req.GetReason())
	if err != nil {
		return nil, err
	}
	return &salav1.DisconnectResponse{Matched: count(out.Matched), Partial: out.Partial, MissingNodes: out.Missing}, nil
}

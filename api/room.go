package api

import (
	"context"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/broker"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

type roomService struct {
	salav1.UnimplementedRoomServiceServer
	broker Broker
}

// ListRooms implements salav1.RoomServiceServer.
func (s *roomService) ListRooms(ctx context.Context, req *salav1.ListRoomsRequest) (*salav1.ListRoomsResponse, error) {
	within, err := reachOf(ctx).Areas(req.GetNamespace())
	if err != nil {
		return nil, err
	}
	if _, known := salav1.RoomOrder_name[int32(req.GetOrder())]; !known {
		return nil, apierror.Invalid(broker.FieldViolation{Field: "order", Description: "is not an order that this broker knows"})
	}
	list, err := s.broker.ListRooms(ctx, broker.RoomQuery{
		Namespace: req.GetNamespace(),
		Within:    within,
		Prefix:    req.GetPrefix(),
		Query:     req.GetQuery(),
		BySockets: req.GetOrder() == salav1.RoomOrder_ROOM_ORDER_SOCKETS,
		Page:      broker.Page{Size: int(req.GetPageSize()), Token: req.GetPageToken()},
	})
	if err != nil {
		return nil, err
	}
	resp := &salav1.ListRoomsResponse{
		Rooms:         make([]*salav1.Room, len(list.Rooms)),
		NextPageToken: list.Next,
		Partial:       list.Partial,
		MissingNodes:  list.Missing,
		Truncated:     list.Truncated,
		Time:          timestamp(list.Made),
	}
	for i, room := range list.Rooms {
		resp.Rooms[i] = &salav1.Room{
			Name:      room.Name,
			Namespace: room.Namespace,
			Sockets:   count(room.Sockets),
		}
	}
	return resp, nil
}

// GetRoom implements salav1.RoomServiceServer.
func (s *roomService) GetRoom(ctx context.Context, req *salav1.GetRoomRequest) (*salav1.GetRoomResponse, error) {
	if err := reachOf(ctx).Rooms(req.GetNamespace(), []string{req.GetRoom()}); err != nil {
		return nil, err
	}
	room, err := s.broker.GetRoom(ctx, req.GetNamespace(), req.GetRoom())
	if err != nil {
		return nil, err
	}
	return &salav1.GetRoomResponse{
		Name:         room.Name,
		Namespace:    room.Namespace,
		Sockets:      count(room.Sockets),
		Users:        count(room.Users),
		Partial:      room.Partial,
		MissingNodes: room.Missing,
	}, nil
}

// ClearRoom implements salav1.RoomServiceServer.
func (s *roomService) ClearRoom(ctx context.Context, req *salav1.ClearRoomRequest) (*salav1.ClearRoomResponse, error) {
	if err := reachOf(ctx).Rooms(req.GetNamespace(), []string{req.GetRoom()}); err != nil {
		return nil, err
	}
	notice, err := noticeMessage(req.GetNotice())
	if err != nil {
		return nil, err
	}
	out, err := s.broker.ClearRoom(ctx, broker.ClearRoom{
		Namespace:  req.GetNamespace(),
		Room:       req.GetRoom(),
		Notice:     notice,
		Disconnect: req.GetDisconnect(),
	})
	if err != nil {
		return nil, err
	}
	return &salav1.ClearRoomResponse{Removed: count(out.Matched), Partial: out.Partial, MissingNodes: out.Missing}, nil
}

func noticeMessage(notice *salav1.Notice) (*broker.Message, error) {
	if notice == nil {
		return nil, nil
	}
	args, err := listJSON("notice.args", notice.GetArgs())
	if err != nil {
		return nil, err
	}
	return &broker.Message{Event: notice.GetEvent(), Args: args}, nil
}

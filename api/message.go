package api

import (
	"context"
	"fmt"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/history"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// ListMessages implements salav1.RoomServiceServer.
func (s *roomService) ListMessages(ctx context.Context, req *salav1.ListMessagesRequest) (*salav1.ListMessagesResponse, error) {
	if err := reachOf(ctx).Rooms(req.GetNamespace(), []string{req.GetRoom()}); err != nil {
		return nil, err
	}
	if _, ok := salav1.Direction_name[int32(req.GetDirection())]; !ok {
		return nil, apierror.Invalid(broker.FieldViolation{
			Field:       "direction",
			Description: fmt.Sprintf("%d is none of DIRECTION_UNSPECIFIED, DIRECTION_FORWARD and DIRECTION_BACKWARD", req.GetDirection()),
		})
	}
	if err := callOf(ctx).holdPage(ctx); err != nil {
		return nil, err
	}
	page, err := s.broker.Messages(ctx, broker.MessagesQuery{
		Namespace: req.GetNamespace(),
		Room:      req.GetRoom(),
		Last:      int(req.GetLast()),
		Since:     position(req.GetSince()),
		Backward:  req.GetDirection() == salav1.Direction_DIRECTION_BACKWARD,
		Limit:     int(req.GetLimit()),
	})
	if err != nil {
		return nil, err
	}
	resp := &salav1.ListMessagesResponse{
		Messages: make([]*salav1.RoomMessage, len(page.Messages)),
		Epoch:    page.Epoch,
		Offset:   page.Offset,
		Complete: page.Complete,
	}
	for i, m := range page.Messages {
		resp.Messages[i] = &salav1.RoomMessage{
			Offset:         m.Offset,
			Event:          m.Event,
			ArgsJson:       argsText(m.Args),
			Attachments:    m.Attachments,
			Time:           timestamp(m.Time),
			IdempotencyKey: m.IdempotencyKey,
		}
	}
	return resp, nil
}

// ClearMessages implements salav1.RoomServiceServer.
func (s *roomService) ClearMessages(ctx context.Context, req *salav1.ClearMessagesRequest) (*salav1.ClearMessagesResponse, error) {
	if err := reachOf(ctx).Rooms(req.GetNamespace(), []string{req.GetRoom()}); err != nil {
		return nil, err
	}
	if err := s.broker.ClearMessages(ctx, req.GetNamespace(), req.GetRoom()); err != nil {
		return nil, err
	}
	return &salav1.ClearMessagesResponse{}, nil
}

// argsText returns the text of arguments; a message without arguments has none.
func argsText(args []byte) string {
	if len(args) == 0 {
		return "[]"
	}
	return string(args)
}

func position(p *salav1.Position) *history.Position {
	if p == nil {
		return nil
	}
	return &history.Position{Epoch: p.GetEpoch(), Offset: p.GetOffset()}
}

// positions maps where an event is in the history of its rooms.
func positions(in []broker.RoomPosition) []*salav1.RoomPosition {
	out := make([]*salav1.RoomPosition, len(in))
	for i, p := range in {
		out[i] = &salav1.RoomPosition{Room: p.Room, Epoch: p.Epoch, Offset: p.Offset}
	}
	return out
}

package api

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/outcome"
	"github.com/salabroker/sala/broker/outcome/explain"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// tailStatusEvery is how often a tail says that it is alive.
const tailStatusEvery = 15 * time.Second

type observeService struct {
	salav1.UnimplementedObserveServiceServer
	broker Broker
}

// tailer is one Tail stream.
type tailer struct {
	tail    *broker.Tail
	stream  grpc.ServerStreamingServer[salav1.TailResponse]
	sockets socketMessages
	status  broker.PartialResult // that the caller knows
}

// Tail implements salav1.ObserveServiceServer. One goroutine writes, so that a caller who
// doesn't read can't keep the stream from ending. It ends with the stream.
func (s *observeService) Tail(req *salav1.TailRequest, stream grpc.ServerStreamingServer[salav1.TailResponse]) error {
	ctx := stream.Context()
	call := callOf(ctx)
	auditOf(ctx).asked(req)
	if err := call.subscribe(); err != nil {
		return err
	}
	defer call.unsubscribe()
	options, err := tailOptions(ctx, req)
	if err != nil {
		return err
	}
	call.release() // the rest lasts long, and needs only the filter
	tail, err := s.broker.Tail(ctx, options)
	if err != nil {
		return err
	}
	defer tail.Close()
	t := &tailer{tail: tail, stream: stream, sockets: socketMessages{}}
	select {
	case err := <-guarded(t.write):
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func tailOptions(ctx context.Context, req *salav1.TailRequest) (broker.TailOptions, error) {
	reach := reachOf(ctx)
	namespaces, err := reach.Subscribed(req.GetNamespaces())
	if err != nil {
		return broker.TailOptions{}, err
	}
	kinds, err := tailKinds(req.GetKinds())
	if err != nil {
		return broker.TailOptions{}, err
	}
	return broker.TailOptions{
		Owner: reach.Owner(),
		Filter: outcome.Filter{
			Namespaces: namespaces, Users: req.GetUsers(), Rooms: req.GetRooms(), Names: req.GetEvents(),
			Kinds: kinds, Problems: req.GetProblems(),
		},
	}, nil
}

// tailKinds maps the kinds of a request. The error names those that don't exist.
func tailKinds(wanted []salav1.EventKind) (kinds []outcome.Kind, err error) {
	var faults []broker.FieldViolation
	all := outcome.Kinds()
	for i, w := range wanted {
		at := slices.IndexFunc(all, func(k outcome.Kind) bool { return tailKind(k) == w })
		switch {
		case at >= 0:
			if !slices.Contains(kinds, all[at]) {
				kinds = append(kinds, all[at])
			}
		case len(faults) < maxKindFaults:
			faults = append(faults, broker.FieldViolation{
				Field:       fmt.Sprintf("kinds[%d]", i),
				Description: fmt.Sprintf("%s is no kind of event; leave kinds empty for all", w),
			})
		}
	}
	if len(faults) > 0 {
		return nil, apierror.Invalid(faults...)
	}
	return kinds, nil
}

// tailKind maps a kind to its enum in the protos.
func tailKind(k outcome.Kind) salav1.EventKind {
	switch k {
	case outcome.Refused:
		return salav1.EventKind_EVENT_KIND_REFUSED
	case outcome.Answer:
		return salav1.EventKind_EVENT_KIND_ANSWER
	case outcome.Emit:
		return salav1.EventKind_EVENT_KIND_EMIT
	case outcome.Limit:
		return salav1.EventKind_EVENT_KIND_LIMIT
	case outcome.Drop:
		return salav1.EventKind_EVENT_KIND_DROP
	}
	return eventKind(eventhub.Kind(k))
}

// write sends what happens until the tail ends.
func (t *tailer) write() error {
	alive := time.NewTicker(tailStatusEvery)
	defer alive.Stop()
	if err := t.sendStatus(); err != nil {
		return err
	}
	for {
		if err := t.sendEvents(); err != nil {
			return err
		}
		select {
		case <-t.tail.Ready():
		case <-alive.C:
			if err := t.sendStatus(); err != nil {
				return err
			}
		case <-t.tail.Done():
			return &broker.Error{Code: broker.CodeUnavailable, Reason: broker.ReasonDraining, Message: "the node is shutting down; open the stream at another one"}
		case <-t.stream.Context().Done():
			return context.Cause(t.stream.Context())
		}
	}
}

// sendEvents sends what has happened since the last call, and what the caller missed.
func (t *tailer) sendEvents() error {
	if now := t.tail.Missing(); now.Partial != t.status.Partial || !slices.Equal(now.Missing, t.status.Missing) {
		if err := t.sendStatus(); err != nil {
			return err
		}
	}
	events, missed := t.tail.Take()
	for i := range events {
		event := t.sockets.tailEvent(&events[i])
		if err := t.stream.Send(&salav1.TailResponse{Response: &salav1.TailResponse_Event{Event: event}}); err != nil {
			return err
		}
	}
	if missed == 0 {
		return nil
	}
	return t.stream.Send(&salav1.TailResponse{Response: &salav1.TailResponse_Missed{Missed: &salav1.TailMissed{Events: missed}}})
}

func (t *tailer) sendStatus() error {
	t.status = t.tail.Missing()
	return t.stream.Send(&salav1.TailResponse{Response: &salav1.TailResponse_Status{Status: &salav1.TailStatus{
		Partial: t.status.Partial, MissingNodes: t.status.Missing,
	}}})
}

// tailEvent maps an event to its message.
func (m socketMessages) tailEvent(e *outcome.Event) *salav1.TailEvent {
	event := &salav1.TailEvent{
		Kind:        tailKind(e.Kind),
		Time:        timestamp(e.Time),
		Node:        e.Node,
		Namespace:   e.Namespace,
		Socket:      m.socket(e.Socket),
		User:        e.User,
		Address:     e.Address,
		Room:        e.Room,
		Event:       e.Name,
		ArgsJson:    string(e.Args),
		Attachments: e.Attachments,
		Reason:      e.Reason,
		WantsAck:    e.WantsAck,
		Key:         e.Key,
		Limit:       e.Limit,
		Count:       count(max(e.Count, 1)),

		PreviousSocketId: e.PreviousSocketID,
		NotRecovered:     e.NotRecovered,
	}
	if e.DeliveryID != 0 {
		event.DeliveryId = strconv.FormatUint(e.DeliveryID, 10)
	}
	if e.Kind == outcome.Emit {
		event.Target = emitTarget(&e.Target)
	}
	if e.Result != 0 {
		event.Outcome = outcomeMessage(e)
	}
	return event
}

// maxTargetNames is how many names of each kind a target shows.
const maxTargetNames = 8

func emitTarget(t *outcome.Target) *salav1.EmitTarget {
	more := t.More
	some := func(names []string) []string {
		shown := names[:min(len(names), maxTargetNames)]
		more += len(names) - len(shown)
		return shown
	}
	target := &salav1.EmitTarget{Everyone: t.Everyone, Rooms: some(t.Rooms), Users: some(t.Users), Sockets: some(t.Sockets)}
	target.More = count(more)
	return target
}

func outcomeMessage(e *outcome.Event) *salav1.Outcome {
	o := &salav1.Outcome{
		Result:       outcomeResult(e.Result),
		Code:         e.Code,
		Message:      apierror.ValidUTF8(e.Message),
		Matched:      count(e.Report.Matched),
		Queued:       count(e.Report.Queued),
		Kept:         count(e.Report.Kept),
		Dropped:      count(e.Report.Dropped),
		Partial:      e.Report.Partial,
		MissingNodes: e.Report.Missing,
		OtherNodes:   e.Report.OtherNodes,
		Groups:       e.Groups,
	}
	if e.Kind == outcome.Answer {
		o.Took = durationpb.New(e.Took)
	}
	return o
}

func outcomeResult(r outcome.Result) salav1.OutcomeResult {
	switch r {
	case outcome.Done:
		return salav1.OutcomeResult_OUTCOME_RESULT_DONE
	case outcome.Relayed:
		return salav1.OutcomeResult_OUTCOME_RESULT_RELAYED
	case outcome.HandedOver:
		return salav1.OutcomeResult_OUTCOME_RESULT_HANDED_OVER
	case outcome.Answered:
		return salav1.OutcomeResult_OUTCOME_RESULT_ANSWERED
	case outcome.Denied:
		return salav1.OutcomeResult_OUTCOME_RESULT_REFUSED
	case outcome.Sent:
		return salav1.OutcomeResult_OUTCOME_RESULT_SENT
	case outcome.Dropped:
		return salav1.OutcomeResult_OUTCOME_RESULT_DROPPED
	}
	return salav1.OutcomeResult_OUTCOME_RESULT_UNSPECIFIED
}

// Explain implements salav1.ObserveServiceServer.
func (s *observeService) Explain(ctx context.Context, req *salav1.ExplainRequest) (*salav1.ExplainResponse, error) {
	if err := reachOf(ctx).Namespace(req.GetNamespace()); err != nil {
		return nil, err
	}
	x, err := s.broker.Explain(ctx, broker.ExplainQuery{Namespace: req.GetNamespace(), User: req.GetUser(), Room: req.GetRoom()})
	if err != nil {
		return nil, err
	}
	resp := &salav1.ExplainResponse{Partial: x.Partial, MissingNodes: x.Missing}
	for _, c := range x.Checks {
		resp.Checks = append(resp.Checks, &salav1.Check{
			Kind: salav1.CheckKind(c.Kind), Result: salav1.CheckResult(c.Result), Answer: c.Answer, Advice: c.Advice,
		})
	}
	for i := range x.Sockets {
		resp.Sockets = append(resp.Sockets, explainedSocket(&x.Sockets[i]))
	}
	sockets := socketMessages{}
	for i := range x.Problems {
		resp.Problems = append(resp.Problems, sockets.tailEvent(&x.Problems[i]))
	}
	for i := range x.Drops {
		resp.Drops = append(resp.Drops, sockets.tailEvent(&x.Drops[i]))
	}
	for i := range x.Messages {
		resp.Messages = append(resp.Messages, sockets.tailEvent(&x.Messages[i]))
	}
	return resp, nil
}

func explainedSocket(s *explain.Socket) *salav1.ExplainedSocket {
	return &salav1.ExplainedSocket{
		Id:              s.ID,
		Node:            s.Node,
		Address:         s.Address,
		Transport:       s.Transport,
		ConnectTime:     timestamp(s.ConnectTime),
		Away:            s.Away,
		InRoom:          s.InRoom,
		Rooms:           count(s.Rooms),
		MayJoin:         s.MayJoin,
		MayPublish:      s.MayPublish,
		TokenExpireTime: timestamp(s.TokenExpires),
		QueuedBytes:     uint64(max(s.QueuedBytes, 0)),
		Blocked:         s.Blocked,
		Session:         s.Session,
		Unconfirmed:     count(s.Unconfirmed),
		Incomplete:      s.Incomplete,
	}
}

package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/api/auth"
	"github.com/salabroker/sala/api/explain"
	"github.com/salabroker/sala/broker"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// maxBatch bounds how many events one EmitBatch may hold.
const maxBatch = 1000

type messageService struct {
	salav1.UnimplementedMessageServiceServer
	broker Broker
	log    *slog.Logger
}

// Emit implements salav1.MessageServiceServer.
func (s *messageService) Emit(ctx context.Context, req *salav1.EmitRequest) (*salav1.EmitResponse, error) {
	report, err := s.emit(ctx, reachOf(ctx), req, salav1.Report_REPORT_COUNTS)
	if err != nil {
		return nil, err
	}
	return &salav1.EmitResponse{
		Matched:      count(report.Matched),
		Queued:       count(report.Queued),
		Kept:         count(report.Kept),
		Dropped:      count(report.Dropped),
		Partial:      report.Partial,
		MissingNodes: report.Missing,

		Positions:       positions(report.Positions),
		UnrecordedRooms: report.Unrecorded,
		Duplicate:       report.Duplicate,
	}, nil
}

// Broadcast implements salav1.MessageServiceServer.
func (s *messageService) Broadcast(ctx context.Context, req *salav1.BroadcastRequest) (*salav1.BroadcastResponse, error) {
	if err := reachOf(ctx).Namespace(req.GetNamespace()); err != nil {
		return nil, err
	}
	message, err := eventMessage(req)
	if err != nil {
		return nil, err
	}
	report, err := s.send(ctx, req, message, salav1.Report_REPORT_COUNTS, broadcastTarget(req))
	if err != nil {
		return nil, err
	}
	return &salav1.BroadcastResponse{
		Matched:      count(report.Matched),
		Queued:       count(report.Queued),
		Kept:         count(report.Kept),
		Dropped:      count(report.Dropped),
		Partial:      report.Partial,
		MissingNodes: report.Missing,
		Duplicate:    report.Duplicate,
	}, nil
}

// EmitBatch implements salav1.MessageServiceServer.
func (s *messageService) EmitBatch(ctx context.Context, req *salav1.EmitBatchRequest) (*salav1.EmitBatchResponse, error) {
	if n := len(req.GetEmits()); n == 0 || n > maxBatch {
		return nil, tooManyEvents(n)
	}
	resp := &salav1.EmitBatchResponse{Results: make([]*salav1.EmitResult, len(req.GetEmits()))}
	within := reachOf(ctx)
	for i, emit := range req.GetEmits() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		report, err := s.emitOne(ctx, within, emit, refusalOf(emit), salav1.Report_REPORT_COUNTS)
		if err != nil {
			err = apierror.WithPrefix(fmt.Sprintf("emits[%d].", i), err)
		}
		resp.Results[i] = s.result(ctx, report, err)
	}
	return resp, nil
}

// emitOne sends one event of a batch or stream, unless it is refused already.
func (s *messageService) emitOne(ctx context.Context, within auth.Reach, req *salav1.EmitRequest, refused error, unspecified salav1.Report) (broker.Report, error) {
	if err := cmp.Or(within.Take(), refused); err != nil {
		return broker.Report{}, err
	}
	return s.emit(ctx, within, req, unspecified)
}

// result returns the outcome of one event of a batch or stream.
func (s *messageService) result(ctx context.Context, report broker.Report, err error) *salav1.EmitResult {
	if err != nil {
		failed := apierror.Classify(err)
		if directOf(ctx) != nil {
			failed = explain.InJSON(failed, (*salav1.EmitBatchRequest)(nil).ProtoReflect().Descriptor())
		}
		if failed.Code == codes.Internal {
			s.log.ErrorContext(ctx, "an event could not be emitted", "error", err)
		}
		return &salav1.EmitResult{Error: &salav1.EmitError{
			Code:    uint32(failed.Code),
			Reason:  failed.ReasonOrCode(),
			Message: failed.Message,
		}}
	}
	return &salav1.EmitResult{
		Matched:      count(report.Matched),
		Queued:       count(report.Queued),
		Kept:         count(report.Kept),
		Dropped:      count(report.Dropped),
		Partial:      report.Partial,
		MissingNodes: report.Missing,

		Positions:       positions(report.Positions),
		UnrecordedRooms: report.Unrecorded,
		Duplicate:       report.Duplicate,
	}
}

func (s *messageService) emit(ctx context.Context, within auth.Reach, req *salav1.EmitRequest, unspecified salav1.Report) (broker.Report, error) {
	target := selectedTarget(req)
	if err := within.Target(target); err != nil {
		return broker.Report{}, err
	}
	message, err := eventMessage(req)
	if err != nil {
		return broker.Report{}, err
	}
	message.ConflateKey, message.SkipHistory = req.GetConflateKey(), req.GetSkipHistory()
	return s.send(ctx, req, message, unspecified, target)
}

// event is what all requests that send an event have in common.
type event interface {
	arguments
	GetEvent() string
	GetAttachments() [][]byte
}

// arguments is what all messages with arguments have in common.
type arguments interface {
	GetArgs() *structpb.ListValue
	GetArgsJson() string
}

// reportedEvent is an event without ack. The answer counts its sockets.
type reportedEvent interface {
	event
	GetVolatile() bool
	GetReport() salav1.Report
	GetIdempotencyKey() string
}

// send sends an event as a message, which it completes. unspecified is the report for callers that don't specify one.
func (s *messageService) send(ctx context.Context, e reportedEvent, message broker.Message, unspecified salav1.Report, to broker.Target) (broker.Report, error) {
	if _, ok := salav1.Report_name[int32(e.GetReport())]; !ok {
		return broker.Report{}, apierror.Invalid(broker.FieldViolation{
			Field:       "report",
			Description: fmt.Sprintf("%d is none of REPORT_UNSPECIFIED, REPORT_COUNTS and REPORT_NONE", e.GetReport()),
		})
	}
	message.Caller = reachOf(ctx).Owner()
	message.IdempotencyKey = e.GetIdempotencyKey()
	message.Volatile = e.GetVolatile()
	message.Unreported = cmp.Or(e.GetReport(), unspecified) == salav1.Report_REPORT_NONE
	report, err := s.broker.Emit(ctx, to, message)
	return report, eventError(e, err)
}

func eventMessage(e event) (broker.Message, error) {
	args, err := eventArgs(e)
	return broker.Message{Event: e.GetEvent(), Args: args, Attachments: e.GetAttachments()}, err
}

// eventError gives the arguments the name in an error that the caller used.
func eventError(e event, err error) error {
	if err != nil && e.GetArgsJson() != "" {
		return apierror.WithFieldRenamed(err, "args", "args_json")
	}
	return err
}

// eventArgs returns the arguments from whichever field is set.
func eventArgs(e arguments) (json.RawMessage, error) {
	if e.GetArgsJson() == "" {
		return listJSON("args", e.GetArgs())
	}
	if e.GetArgs() != nil {
		const only = "args and args_json are both set; give the arguments in one of them"
		return nil, apierror.Invalid(
			broker.FieldViolation{Field: "args", Description: only},
			broker.FieldViolation{Field: "args_json", Description: only},
		)
	}
	return json.RawMessage(e.GetArgsJson()), nil
}

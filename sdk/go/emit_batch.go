package sala

import (
	"context"

	"google.golang.org/grpc/codes"

	"github.com/salabroker/sala/sdk/go/salav1"
)

// Emit is one event of a batch or of a stream.
type Emit struct {
	// Target says who gets the event, and how.
	Target Target
	// Event is its name, as in [Target.Emit].
	Event string
	// Args are its arguments, as in [Target.Emit].
	Args []any
}

// EmitOutcome is what happened to one event of a batch: a result, or an error.
type EmitOutcome struct {
	// Result counts what happened to the event. It is nil if there is an error.
	Result *EmitResult
	// Err is an [Error] that says why the event was sent to nobody.
	Err error
}

// EmitBatch sends 1 to 1000 events in their order, in one call. It returns what happened to each: an
// event that fails doesn't stop the others.
//
// An error means that the call has failed and that it is unknown which events were sent. Until the
// deadline, the call is repeated if the broker can't be reached: each event has a key that keeps it
// from being sent twice, as in [Target.Emit]. It isn't repeated if one event has [Target.NoRetry] and
// no key. To call again after an error, give the events keys of your own.
func (c *Client) EmitBatch(ctx context.Context, emits []Emit) ([]EmitOutcome, error) {
	requests := make([]*salav1.EmitRequest, len(emits))
	own := make([]bool, len(emits)) // whether the key is made here
	repeat := repeatable(true)
	for i, emit := range emits {
		request, err := emit.Target.request(emit.Event, emit.Args)
		if err != nil {
			return nil, err
		}
		own[i] = c.makeKey(emit.Target, &request.IdempotencyKey)
		repeat = repeat && request.GetIdempotencyKey() != ""
		requests[i] = request
	}
	outcomes, err := c.emitBatch(ctx, requests, repeat)
	if err != nil {
		return nil, err
	}
	return c.withoutKeys(ctx, requests, own, outcomes)
}

// withoutKeys sends events again that a broker has refused because of the keys that are made here.
func (c *Client) withoutKeys(ctx context.Context, requests []*salav1.EmitRequest, own []bool, outcomes []EmitOutcome) ([]EmitOutcome, error) {
	var refused []int
	var again []*salav1.EmitRequest
	for i, outcome := range outcomes {
		if own[i] && ReasonOf(outcome.Err) == reasonKeysDisabled {
			requests[i].IdempotencyKey = ""
			refused, again = append(refused, i), append(again, requests[i])
		}
	}
	if len(again) == 0 {
		return outcomes, nil
	}
	c.keysDisabled.Store(true)
	repeated, err := c.emitBatch(ctx, again, false)
	if err != nil {
		return nil, err
	}
	for i, at := range refused {
		outcomes[at] = repeated[i]
	}
	return outcomes, nil
}

func (c *Client) emitBatch(ctx context.Context, requests []*salav1.EmitRequest, repeat repeatable) ([]EmitOutcome, error) {
	response, err := call(ctx, c, repeat, func(ctx context.Context) (*salav1.EmitBatchResponse, error) {
		return c.messages.EmitBatch(ctx, &salav1.EmitBatchRequest{Emits: requests})
	})
	if err != nil {
		return nil, err
	}
	if len(response.GetResults()) != len(requests) {
		return nil, &Error{Code: codes.Internal, Message: "the broker's answer has another number of results"}
	}
	outcomes := make([]EmitOutcome, len(requests))
	for i, result := range response.GetResults() {
		outcomes[i] = emitOutcomeOf(result)
	}
	return outcomes, nil
}

func emitOutcomeOf(result *salav1.EmitResult) EmitOutcome {
	if failed := result.GetError(); failed != nil {
		return EmitOutcome{Err: &Error{Code: codes.Code(failed.GetCode()), Reason: failed.GetReason(), Message: failed.GetMessage()}}
	}
	return EmitOutcome{Result: emitResultOf(result)}
}

package sala

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/salabroker/sala/sdk/go/salav1"
)

// emitStream is the broker's end of a stream of events.
type emitStream struct {
	call salav1.MessageService_EmitStreamServer
	end  chan error
}

func (b *broker) EmitStream(call salav1.MessageService_EmitStreamServer) error {
	s := &emitStream{call, make(chan error)}
	b.emitStreams <- s
	select {
	case err := <-s.end:
		return err
	case <-call.Context().Done():
		return call.Context().Err()
	}
}

// next returns the next event as its key and its first argument, with its sequence number.
func (s *emitStream) next(t *testing.T) (uint64, string) {
	t.Helper()
	request, err := s.call.Recv()
	if err != nil {
		return 0, fmt.Sprint(err)
	}
	return request.GetSequence(), strings.TrimSpace(request.GetEmit().GetIdempotencyKey() + " " + request.GetEmit().GetArgsJson())
}

func (s *emitStream) answer(t *testing.T, sequence uint64, result *salav1.EmitResult) {
	t.Helper()
	if err := s.call.Send(&salav1.EmitStreamResponse{Sequence: sequence, Result: result}); err != nil {
		t.Error(err)
	}
}

func TestEmitStreamSendsUnansweredEventsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, client := start(t)
		stream := client.NewEmitStream(t.Context())
		to := client.To("r")
		var pending []*PendingEmit
		for i, target := range []Target{to, to.IdempotencyKey("b"), to, to.IdempotencyKey("d")} {
			p, err := stream.Emit(t.Context(), Emit{target, "news", []any{i}})
			if err != nil {
				t.Fatal(err)
			}
			pending = append(pending, p)
		}
		first := <-b.emitStreams
		for i, want := range []string{"[0]", "b [1]", "[2]", "d [3]"} {
			sequence, got := first.next(t)
			if got != want {
				t.Errorf("the first stream got %s, want %s", got, want)
			}
			if i == 0 {
				first.answer(t, sequence, &salav1.EmitResult{Matched: 7})
			}
		}
		synctest.Wait()
		first.end <- status.Error(codes.Unavailable, "going away")
		second := <-b.emitStreams
		for _, want := range []string{"b [1]", "d [3]"} {
			sequence, got := second.next(t)
			if got != want {
				t.Errorf("the second stream got %s, want %s", got, want)
			}
			result := &salav1.EmitResult{Duplicate: true}
			if want == "d [3]" {
				result = &salav1.EmitResult{Error: &salav1.EmitError{Code: uint32(codes.ResourceExhausted), Reason: "RATE_LIMITED", Message: "slower"}}
			}
			second.answer(t, sequence, result)
		}
		if result, err := pending[0].Result(t.Context()); err != nil || result.Matched != 7 {
			t.Errorf("the first: %v, %v", result, err)
		}
		if result, err := pending[1].Result(t.Context()); err != nil || !result.Duplicate {
			t.Errorf("the one with a key: %v, %v", result, err)
		}
		if _, err := pending[2].Result(t.Context()); CodeOf(err) != codes.Unavailable || !strings.Contains(err.Error(), "may have been sent") {
			t.Errorf("the one without a key: %v", err)
		}
		if _, err := pending[3].Result(t.Context()); ReasonOf(err) != "RATE_LIMITED" || CodeOf(err) != codes.ResourceExhausted {
			t.Errorf("the one that the broker refuses: %v", err)
		}
		closed := make(chan error)
		go func() { closed <- stream.Close() }()
		_, got := second.next(t)
		second.end <- nil
		if err := <-closed; got != "EOF" || CodeOf(err) != codes.Unavailable {
			t.Errorf("closing: %s, %v", got, err)
		}
		if _, err := stream.Emit(t.Context(), Emit{to, "news", nil}); CodeOf(err) != codes.Canceled {
			t.Errorf("an event for a closed stream: %v", err)
		}
	})
}

func TestEmitStreamBoundsWhatIsOnItsWayAndHowLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, client := start(t)
		stream := client.NewEmitStream(t.Context())
		emit := Emit{client.To("r"), "news", nil}
		var pending []*PendingEmit
		for range emitWindow {
			p, err := stream.Emit(t.Context(), emit)
			if err != nil {
				t.Fatal(err)
			}
			pending = append(pending, p)
		}
		begun := time.Now()
		if _, err := stream.Emit(t.Context(), emit); err != nil { // waits for room
			t.Error(err)
		}
		if waited := time.Since(begun); waited != DefaultTimeout {
			t.Errorf("waited %v, want until the first event's time was over", waited)
		}
		for _, p := range pending {
			if _, err := p.Result(t.Context()); CodeOf(err) != codes.DeadlineExceeded {
				t.Fatal(err)
			}
		}
		(<-b.emitStreams).end <- status.Error(codes.PermissionDenied, "no")
		if err := stream.Close(); CodeOf(err) != codes.DeadlineExceeded {
			t.Errorf("closing: %v, want the first failure", err)
		}
	})
}

func TestEmitBatch(t *testing.T) {
	b, client := start(t)
	emits := []Emit{{client.To("r"), "a", []any{1}}, {client.To("r").IdempotencyKey("k"), "b", nil}}
	b.fail = []error{status.Error(codes.Unavailable, "going away"), nil}
	outcomes, err := client.EmitBatch(t.Context(), emits)
	if err != nil || len(outcomes) != 2 || outcomes[0].Result.Matched != 2 || ReasonOf(outcomes[1].Err) != "NO" {
		t.Fatalf("%+v, %v", outcomes, err)
	}
	first, second := b.batches[0].GetEmits(), b.batches[1].GetEmits()
	if first[0].GetIdempotencyKey() == "" || first[0].GetIdempotencyKey() != second[0].GetIdempotencyKey() || second[1].GetIdempotencyKey() != "k" {
		t.Errorf("the keys: %v, then %v", first, second)
	}
	b.fail = []error{status.Error(codes.Unavailable, "going away")}
	emits[0].Target = emits[0].Target.NoRetry()
	if _, err := client.EmitBatch(t.Context(), emits); CodeOf(err) != codes.Unavailable || len(b.batches) != 3 {
		t.Errorf("a batch that must not be repeated: %v after %d calls", err, len(b.batches))
	}
	emits[0].Args = []any{make(chan int)}
	if _, err := client.EmitBatch(t.Context(), emits); CodeOf(err) != codes.InvalidArgument {
		t.Errorf("an event that can't be encoded: %v", err)
	}
}

func TestEmitStreamEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, client := start(t)
		ctx, cancel := context.WithCancel(t.Context())
		stream := client.NewEmitStream(ctx)
		p, err := stream.Emit(t.Context(), Emit{client.To("r"), "news", nil})
		if err != nil {
			t.Fatal(err)
		}
		<-b.emitStreams
		cancel()
		if _, err := p.Result(t.Context()); !errors.Is(err, context.Canceled) {
			t.Errorf("an event of a stream whose context has ended: %v", err)
		}
		if err := stream.Close(); CodeOf(err) != codes.Canceled {
			t.Errorf("closing: %v", err)
		}
	})
}

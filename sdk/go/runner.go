package sala

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/salabroker/sala/sdk/go/salav1"
)

// runner is a [Subscriber] that runs. It holds one stream at a time, and outlives them: handlers
// go on when a stream breaks.
type runner struct {
	*Subscriber
	log   *slog.Logger
	slots chan struct{} // one for each handler that runs

	handlers context.Context // of all handlers; ends when the grace time is over
	cancel   context.CancelFunc

	mu          sync.Mutex
	stream      *stream // the current one; nil while there is none
	lost        *loss   // how the stream before ended; nil if there was none
	outstanding int     // events that have arrived and aren't handled
	undelivered int     // answers that had no stream to go to, since the last report
	grace       *time.Timer
	left        bool // events that need an answer are no longer handled
	queues      map[string][]*delivery
	answers     *answerLog
	changed     chan struct{} // closed and replaced when outstanding becomes 0
}

// loss is how a stream ended.
type loss struct {
	cause error
	at    time.Time
}

func newRunner(ctx context.Context, s *Subscriber) *runner {
	r := &runner{
		Subscriber: s,
		log:        s.client.log.With("group", s.group),
		slots:      make(chan struct{}, s.Concurrency),
		queues:     make(map[string][]*delivery),
		answers:    newAnswerLog(),
		changed:    make(chan struct{}),
	}
	r.handlers, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return r
}

// run holds one stream after another until ctx ends or an error can't heal.
func (r *runner) run(ctx context.Context) error {
	defer r.cancel()
	defer r.finish()
	for attempt := 1; ; attempt++ {
		st, err := r.hold(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if isFinal(err) {
			return err
		}
		if st.started.Load() {
			attempt = 1
		}
		pause := pauseBefore(attempt)
		what := "sala: can't subscribe"
		if st.started.Load() {
			what = "sala: the event stream has ended"
		}
		r.log.Warn(what, "error", reasonText(err), "again_in", pause.Round(time.Millisecond))
		sleep(ctx, pause)
	}
}

// isFinal reports whether another attempt would fail in the same way.
func isFinal(err error) bool {
	switch CodeOf(err) {
	case codes.Unauthenticated, codes.PermissionDenied, codes.InvalidArgument:
		return true
	}
	return false
}

func reasonText(err error) string {
	if err == nil {
		return "the broker has closed it"
	}
	return strings.TrimPrefix(err.Error(), "sala: ")
}

// hold opens a stream and serves it until it ends. The error is nil if the broker has closed it.
func (r *runner) hold(ctx context.Context) (*stream, error) {
	// The stream outlives ctx until the subscriber has left.
	streaming, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	st := newStream()
	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer close(st.ended)
	helpers.Go(func() {
		select {
		case <-ctx.Done():
			r.leave(st)
			cancel()
		case <-st.ended:
		}
	})
	call, err := r.client.events.Subscribe(streaming)
	if err != nil {
		return st, r.client.asError(err)
	}
	start := r.attach(st)
	helpers.Go(func() { st.write(call, start) })
	err = r.read(st, call)
	r.detach(st, err)
	return st, err
}

// read handles what the broker sends until the stream ends.
func (r *runner) read(st *stream, call salav1.EventService_SubscribeClient) error {
	for {
		response, err := call.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return r.client.asError(err)
		}
		switch response := response.GetResponse().(type) {
		case *salav1.SubscribeResponse_Started:
			r.started(st, response.Started)
		case *salav1.SubscribeResponse_Event:
			r.receive(st, response.Event)
		case *salav1.SubscribeResponse_Rejected:
			r.rejected(st, response.Rejected)
		}
	}
}

// attach makes a stream the current one and returns its first request.
func (r *runner) attach(st *stream) *salav1.SubscribeRequest {
	start := r.start()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stream = st
	// Handlers of an earlier stream may still run. Each of them grants its credit to this one.
	start.Credits = uint32(max(r.Credits-r.outstanding, 0)) //nolint:gosec // the broker refuses more than 100,000
	return &salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Start{Start: start}}
}

// detach notes that the stream has ended.
func (r *runner) detach(st *stream, cause error) {
	unsent := st.close()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stream = nil
	r.undelivered += unsent
	if st.started.Load() {
		r.lost = &loss{cause: cause, at: time.Now()}
	}
}

// started reports that the stream has started, and what happened since the one before.
func (r *runner) started(st *stream, started *salav1.SubscribeStarted) {
	st.started.Store(true)
	r.mu.Lock()
	lost, undelivered := r.lost, r.undelivered
	r.lost, r.undelivered = nil, 0
	r.mu.Unlock()
	r.logStarted(lost, undelivered, started)
	if lost != nil && r.onReconnect != nil {
		r.onReconnect(Reconnect{Cause: lost.cause, Gap: time.Since(lost.at), Undelivered: undelivered})
	}
	report := Started{Partial: started.GetPartial(), MissingNodes: started.GetMissingNodes()}
	if r.onStarted != nil {
		r.onStarted(report)
	}
}

// logStarted says that the subscription is active, and since when it wasn't.
func (r *runner) logStarted(lost *loss, undelivered int, started *salav1.SubscribeStarted) {
	log := r.log.With("partial", started.GetPartial(), "missing_nodes", started.GetMissingNodes())
	switch {
	case lost != nil:
		log.Warn("sala: subscribed again", "error", reasonText(lost.cause), "gap", time.Since(lost.at).Round(time.Millisecond), "undelivered", undelivered)
	case started.GetPartial():
		log.Warn("sala: subscribed")
	default:
		log.Info("sala: subscribed")
	}
}

// rejected reports that the broker has rejected an answer. If that was because of the answer itself, the
// client gets an error instead of waiting for nothing.
func (r *runner) rejected(st *stream, rejected *salav1.EventRejected) {
	report := Rejected{DeliveryID: rejected.GetDeliveryId(), Reason: rejected.GetReason(), Message: rejected.GetMessage()}
	r.log.Warn("sala: the broker has rejected an answer", "delivery", report.DeliveryID, "reason", report.Reason, "message", report.Message)
	switch report.Reason {
	case "INVALID_ARGUMENT", "REQUEST_TOO_LARGE", "TOO_MANY_REQUESTS":
		r.mu.Lock()
		d := r.answers.find(report.DeliveryID)
		if d != nil && d.done {
			r.answers.replace(d, failedAnswer(d))
			st.send(d.answer, 0)
		}
		r.mu.Unlock()
	}
	if r.onRejected != nil {
		r.onRejected(report)
	}
}

// leave closes the sending side of a stream once all events are handled, and returns when the stream
// has ended or the grace time is over. A stream that hasn't started has no events.
func (r *runner) leave(st *stream) {
	r.stopCredits()
	if !st.started.Load() || !r.awaitIdle(st.ended) {
		return
	}
	r.mu.Lock()
	r.left = true
	r.mu.Unlock()
	st.closeSend()
	select {
	case <-st.ended:
	case <-r.handlers.Done():
	}
}

// stopCredits begins the grace time: from now on, no more events are asked for.
func (r *runner) stopCredits() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.grace == nil {
		r.grace = time.AfterFunc(r.Grace, r.cancel)
	}
}

// finish waits until no handler runs any more, at most for the grace time.
func (r *runner) finish() {
	r.stopCredits()
	if !r.awaitIdle(nil) {
		r.mu.Lock()
		running := r.outstanding
		r.mu.Unlock()
		r.log.Warn("sala: handlers still run after the grace time", "events", running)
	}
	r.grace.Stop()
}

// awaitIdle waits until nothing is handled any more. It returns false if ended closes or the grace time
// is over before.
func (r *runner) awaitIdle(ended <-chan struct{}) bool {
	for {
		r.mu.Lock()
		idle, changed := r.outstanding == 0, r.changed
		r.mu.Unlock()
		if idle {
			return true
		}
		select {
		case <-changed:
		case <-ended:
			return false
		case <-r.handlers.Done():
			return false
		}
	}
}

package load

import (
	"context"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// thought is an event whose answer is due.
type thought struct {
	event *salav1.ClientEvent
	due   time.Time
}

// Answer does a Backend job: it says when it has subscribed, and notes each event before it answers it, after the time that the
// job says. It returns only with an error: whoever has started it kills it.
func Answer(ctx context.Context, j *job.Job, note func(job.Note)) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	s, err := subscribe(ctx, j)
	if err != nil {
		return err
	}
	defer s.conn.Close()
	note(job.Note{Connected: true})
	thoughts := make(chan thought, credits) // there are never more, since credits are renewed behind the answers
	go func() {
		for {
			select {
			case t := <-thoughts:
				err := pause(ctx, time.Until(t.due))
				if err == nil {
					err = s.answer(t.event)
				}
				if err != nil {
					fail(err)
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		event, err := s.next()
		if err != nil {
			fail(err) // unless something else has before
			return context.Cause(ctx)
		}
		now := time.Now()
		number, _, _, _ := nextDelivery([]byte(event.GetArgsJson())) // 0 is nobody's
		note(job.Note{Handed: &job.Handed{Number: number, Redelivered: event.GetRedelivered(), At: now}})
		thoughts <- thought{event: event, due: now.Add(j.Think)}
	}
}

package load

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// trouble is a job in which something happens to the servers of a cluster while messages go to everyone.
type trouble struct {
	job       *job.Job
	stage     *stage
	witnesses *witnesses
	speakers  *speakers
	figures   job.Figures
	refusal   error // why a message was not accepted that should have been
}

// runTrouble has clients at all servers of a cluster get messages from all servers while happen does its worst, and then
// judges what they have got.
func runTrouble(ctx context.Context, j *job.Job, v verdict, happen func(*trouble, context.Context) error) (f job.Figures, err error) {
	return runTroubleOn(ctx, j, nil, v, happen)
}

// runTroubleOn is runTrouble with servers that meet elsewhere than on the job's Redis.
func runTroubleOn(
	ctx context.Context, j *job.Job, b backing, v verdict, happen func(*trouble, context.Context) error,
) (f job.Figures, err error) {
	t := &trouble{job: j, figures: job.Figures{}}
	if b != nil {
		if err := b.start(ctx, j); err != nil {
			return nil, err
		}
		defer b.stop()
		for i := range j.Servers[1:] {
			meetAt(&j.Servers[1+i], b.url(i))
		}
	}
	if t.stage, err = newStage(ctx, j); err != nil {
		return nil, err
	}
	defer t.stage.close()
	if err := t.stage.together(ctx); err != nil {
		return nil, err
	}
	if t.witnesses, err = newWitnesses(ctx, t.stage, j.Clients, everyone); err != nil {
		return nil, err
	}
	if t.speakers, err = newSpeakers(ctx, t.stage, j.Every); err != nil {
		t.witnesses.stop()
		return nil, err
	}
	if _, err = t.whole(ctx); err == nil {
		err = happen(t, ctx)
	}
	t.speakers.stop()
	if err == nil {
		err = t.counted(ctx)
	}
	err = errors.Join(err, t.witnesses.settle(ctx))
	t.witnesses.stop()
	if err != nil {
		return nil, err
	}
	v.emissions, v.witnesses = t.speakers.all(), t.witnesses
	v.judge(t.figures)
	if len(v.examples) > 0 {
		return t.figures, errors.New(strings.Join(v.examples, "; "))
	}
	return t.figures, errors.Join(t.refusal, t.stage.broken())
}

// whole waits until what each server takes reaches everyone.
func (t *trouble) whole(ctx context.Context) (time.Duration, error) {
	limited, cancel := context.WithTimeoutCause(ctx, t.job.Patience, errors.New("not all clients hear all servers again"))
	defer cancel()
	return t.speakers.whole(limited, len(t.witnesses.list))
}

// counted waits until each server counts exactly the clients that are there.
func (t *trouble) counted(ctx context.Context) error {
	for i := range t.stage.nodes {
		conn, err := t.stage.control(i)
		if err != nil {
			return err
		}
		defer conn.Close()
		for begin := time.Now(); ; {
			room, err := salav1.NewRoomServiceClient(conn).GetRoom(authorized(ctx, t.stage.jobOf(i)), &salav1.GetRoomRequest{Room: everyone})
			if err == nil && !room.GetPartial() && int(room.GetSockets()) == len(t.witnesses.list) {
				break
			}
			if time.Since(begin) > t.job.Patience {
				return fmt.Errorf("server %d counts %v of %d clients (%w)", i+1, room, len(t.witnesses.list), err)
			}
			if err := pause(ctx, 20*time.Millisecond); err != nil {
				return err
			}
		}
	}
	return nil
}

// most keeps the largest of some figures.
func (t *trouble) most(figure string, value float64) {
	t.figures[figure] = max(t.figures[figure], value)
}

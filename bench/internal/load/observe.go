package load

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc"

	"github.com/salabroker/sala/bench/internal/job"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

const (
	// busyworkSize is the size of the messages to nobody that make the server collect its garbage.
	busyworkSize = 64 << 10
	// busyworkCalls is how many of them are sent between two looks at the metrics.
	busyworkCalls = 50
	// collectionsWanted is how many garbage collections are waited for: one may have been under way before.
	collectionsWanted = 3
)

// observer looks at what a server takes.
type observer struct {
	job     *job.Job
	metrics *scraper
	control *grpc.ClientConn
}

func newObserver(j *job.Job) (*observer, error) {
	control, err := dialControl(j)
	if err != nil {
		return nil, err
	}
	return &observer{job: j, metrics: newScraper(j), control: control}, nil
}

func (o *observer) close() {
	o.metrics.close()
	o.control.Close()
}

func always(metrics) bool { return true }

// settle returns the metrics once they are as wanted and the server has collected its garbage, to which it is brought by
// messages to nobody; or when patience is at an end.
func (o *observer) settle(ctx context.Context, wanted func(metrics) bool) (metrics, error) {
	first, err := o.metrics.read(ctx)
	if err != nil {
		return nil, err
	}
	messages := salav1.NewMessageServiceClient(o.control)
	payload := []byte(`"` + strings.Repeat("x", busyworkSize) + `"`)
	var failed error
	m, err := o.metrics.await(ctx, o.job.Patience, func(m metrics) bool {
		if m[collections] >= first[collections]+collectionsWanted {
			return wanted(m)
		}
		for range busyworkCalls {
			if _, failed = messages.Emit(authorized(ctx, o.job), newEmit("nobody", payload)); failed != nil {
				return true
			}
		}
		return false
	})
	return m, errors.Join(err, failed)
}

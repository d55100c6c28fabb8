package load

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
)

// refusedFor is how long Redis refuses a command.
const refusedFor = 6 * time.Second

// refusals are what a Redis refuses its default user, and how that ends.
var refusals = []struct{ refuse, allow string }{
	{"ACL SETUSER default -publish -spublish", "ACL SETUSER default +publish +spublish"},
	{"ACL SETUSER default -subscribe -ssubscribe", "ACL SETUSER default +subscribe +ssubscribe"},
	{"ACL SETUSER default resetchannels &nothing", "ACL SETUSER default allchannels"},
}

// runRefusals has Redis refuse commands, as one does whose rules are changed by mistake.
func runRefusals(ctx context.Context, j *job.Job) (job.Figures, error) {
	o := &outages{}
	return runTrouble(ctx, j, verdict{owed: ownOnly, excused: o.excuse}, func(t *trouble, ctx context.Context) error {
		address := j.Servers[0].Target.Listen
		for range j.Rounds {
			for _, r := range refusals {
				if err := redisCall(ctx, address, r.refuse); err != nil {
					return err
				}
				var failed error
				err := o.during(ctx, t, []int{0, 1, 2}, refusedFor, func() {}, func() { failed = redisCall(ctx, address, r.allow) })
				if err != nil || failed != nil {
					return fmt.Errorf("%s: %w (%w)", r.refuse, err, failed)
				}
				t.figures[job.Kills]++
			}
		}
		t.figures[job.Gone] = float64(t.witnesses.gone())
		return nil
	})
}

// redisCall sends words to a Redis. The error is what it says, if that is one.
func redisCall(ctx context.Context, address, words string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := fmt.Fprintf(conn, "%s\r\n", words); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && strings.HasPrefix(line, "-") {
		err = fmt.Errorf("redis says %q to %q", strings.TrimSpace(line), words)
	}
	return err
}

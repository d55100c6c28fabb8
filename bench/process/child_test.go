package process

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"testing"
	"time"
)

// countTo is the configuration of a child.
type countTo struct{ N int }

// TestMain makes this binary a child if it is started as one.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 || os.Args[1] != ChildArgument {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err := ServeChild(ctx, os.Stdin, os.Stdout, map[string]Role{
		"count": NewRole(func(_ context.Context, c countTo, notify func(any)) (any, error) {
			notify(Ready{})
			for n := range c.N {
				notify(n)
			}
			return c.N, nil
		}),
		"wait": NewRole(func(ctx context.Context, c countTo, notify func(any)) (any, error) {
			notify(Ready{})
			<-ctx.Done()
			return c.N, nil
		}),
		"fail": NewRole(func(context.Context, countTo, func(any)) (any, error) { return nil, errors.New("no luck") }),
	})
	if err != nil {
		os.Exit(1)
	}
}

func TestChildReportsNotesAndResult(t *testing.T) {
	var notes []string
	c, err := StartChild(t.Context(), "count", countTo{3}, func(note json.RawMessage) { notes = append(notes, string(note)) })
	if err != nil {
		t.Fatal(err)
	}
	if err := c.AwaitReady(time.Minute); err != nil {
		t.Fatal(err)
	}
	var result int
	if err := c.Wait(&result); err != nil || result != 3 || !slices.Equal(notes, []string{"0", "1", "2"}) {
		t.Errorf("the result is %d with the notes %q, error %v", result, notes, err)
	}
	if c.Err() == nil {
		t.Error("the child has ended, but Err returns nil")
	}
}

func TestChildStopsWhenToldTo(t *testing.T) {
	c, err := StartChild(t.Context(), "wait", countTo{7}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.AwaitReady(time.Minute), c.Err()); err != nil {
		t.Fatal(err)
	}
	var result int
	if err := c.Stop(&result); err != nil || result != 7 {
		t.Errorf("the result is %d, error %v", result, err)
	}
}

func TestChildThatIsKilledHasNoResult(t *testing.T) {
	c, err := StartChild(t.Context(), "wait", countTo{7}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.AwaitReady(time.Minute); err != nil {
		t.Fatal(err)
	}
	c.Kill()
	if err := c.Wait(new(int)); err == nil {
		t.Error("a child that was killed has a result")
	}
}

func TestChildrenThatFail(t *testing.T) {
	for role, want := range map[string]string{"fail": "no luck", "nothing": `no such role: "nothing"`} {
		c, err := StartChild(t.Context(), role, countTo{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Wait(new(int)); err == nil || err.Error() != want {
			t.Errorf("%s: the error is %v, want %q", role, err, want)
		}
	}
}

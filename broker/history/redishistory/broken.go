package redishistory

import (
	"context"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

const (
	// maxBroken bounds the rooms that are known to be broken. When there are more, all rooms are
	// taken for broken.
	maxBroken = 100_000
	// repairBatch is how many rooms are repaired in one pipeline.
	repairBatch = 512
	// repairPause is the pause before mending is tried again.
	repairPause = time.Second
)

// broken are the rooms in which an append has failed, by their keys. Each needs a new epoch.
type broken struct {
	wake chan struct{} // holds one token if there may be something to repair

	mu    sync.Mutex
	rooms map[string]uint64 // when each was broken, by the number of the failure
	last  uint64
	all   bool // there were too many, or any may be
}

func newBroken() *broken {
	return &broken{wake: make(chan struct{}, 1), rooms: make(map[string]uint64)}
}

// add notes that a room is broken.
func (b *broken) add(room string) {
	b.mu.Lock()
	b.last++
	switch _, known := b.rooms[room]; {
	case b.all:
	case known || len(b.rooms) < maxBroken:
		b.rooms[room] = b.last
	default: // repair takes care of all
		b.all = true
		clear(b.rooms)
	}
	b.mu.Unlock()
	b.wakeUp()
}

// addAll notes that all rooms are broken.
func (b *broken) addAll() {
	b.mu.Lock()
	b.last++
	b.all = true
	clear(b.rooms)
	b.mu.Unlock()
	b.wakeUp()
}

// wakeUp makes repair try again.
func (b *broken) wakeUp() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// since returns the number of the failure that broke a room; zero if it isn't broken.
func (b *broken) since(room string) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all {
		return b.last
	}
	return b.rooms[room]
}

// repaired notes that a room has got a new epoch since a failure. If there has been another failure,
// it is still broken.
func (b *broken) repaired(room string, failure uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if failure != 0 && b.rooms[room] == failure {
		delete(b.rooms, room)
	}
}

// batch returns some of the broken rooms.
func (b *broken) batch() (rooms []string, failures []uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for room, failure := range b.rooms {
		if len(rooms) == repairBatch {
			break
		}
		rooms, failures = append(rooms, room), append(failures, failure)
	}
	return rooms, failures
}

// everything returns the number of the last failure if all rooms are broken, else zero.
func (b *broken) everything() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.all {
		return 0
	}
	return b.last
}

// everythingRepaired notes that all rooms have got a new epoch since a failure.
func (b *broken) everythingRepaired(failure uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = b.last != failure
}

// repair gives broken rooms a new epoch as soon as Redis can be reached, until ctx ends.
func (e *Engine) repair(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-e.broken.wake:
		}
		if more := e.tryRepair(ctx); more {
			timer.Reset(repairPause)
		}
	}
}

// tryRepair repairs what is broken. It returns whether something still is.
func (e *Engine) tryRepair(ctx context.Context) (more bool) {
	if failure := e.broken.everything(); failure != 0 {
		if err := e.breakAll(ctx); err != nil {
			return true
		}
		e.broken.everythingRepaired(failure)
	}
	for {
		rooms, failures := e.broken.batch()
		if len(rooms) == 0 {
			return e.broken.everything() != 0
		}
		for i, err := range e.breakRooms(ctx, rooms) {
			if err != nil {
				more = true
				continue
			}
			e.broken.repaired(rooms[i], failures[i])
		}
		if more {
			return true
		}
	}
}

// breakRooms gives rooms a new epoch and returns the error for each.
func (e *Engine) breakRooms(ctx context.Context, rooms []string) []error {
	errs := make([]error, len(rooms))
	client, err := e.client.Current()
	if err != nil {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	ctx, cancel := context.WithTimeout(ctx, e.client.Timeout())
	defer cancel()
	commands := make([]rueidis.Completed, len(rooms))
	for i, room := range rooms {
		commands[i] = e.scripts.breakEpoch.call(client, false, []string{room}, []string{digits(), flag(true)})
	}
	for i, result := range client.DoMulti(ctx, commands...) {
		errs[i] = result.Error()
	}
	return errs
}

// breakAll gives all rooms a new epoch.
func (e *Engine) breakAll(ctx context.Context) error {
	client, err := e.client.Current()
	if err != nil {
		return err
	}
	for _, server := range client.Nodes() {
		for cursor, first := uint64(0), true; first || cursor != 0; first = false {
			limited, cancel := context.WithTimeout(ctx, e.client.Timeout())
			page, err := server.Do(limited, server.B().Scan().Cursor(cursor).Match(e.prefix+"*"+keySuffix).Count(repairBatch).Build()).AsScanEntry()
			cancel()
			if err != nil {
				return err
			}
			for _, err := range e.breakRooms(ctx, page.Elements) {
				if err != nil {
					return err
				}
			}
			cursor = page.Cursor
		}
	}
	return nil
}

package presence_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker/presence"
)

// However many ask, one list of a room is made at a time, with a gap between two; and each caller
// gets one that was begun after it asked.
func TestListsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const callers, takes = 1000, 40 * time.Millisecond
		var lists presence.Lists[time.Time]
		var mu sync.Mutex
		var begun []time.Time
		running := map[presence.Place]int{}
		read := func(room presence.Place) func() time.Time {
			return func() time.Time {
				now := time.Now()
				mu.Lock()
				running[room]++
				if running[room] > 1 {
					t.Errorf("%d lists of %v at the same time", running[room], room)
				}
				if room.Room == "large" {
					begun = append(begun, now)
				}
				mu.Unlock()
				<-time.After(takes)
				mu.Lock()
				running[room]--
				mu.Unlock()
				return now
			}
		}
		var asking sync.WaitGroup
		for n := range callers {
			asking.Go(func() {
				<-time.After(time.Duration(n) * time.Millisecond)
				room := presence.Place{Namespace: "/", Room: "large"}
				asked := time.Now()
				if list := lists.Get(room, read(room)); list.Before(asked) {
					t.Errorf("a list from %v before it was asked for", asked.Sub(list))
				}
			})
		}
		other := presence.Place{Namespace: "/", Room: "other"}
		asked := time.Now()
		lists.Get(other, read(other))
		if took := time.Since(asked); took != takes {
			t.Errorf("a list of another room took %v", took)
		}
		asking.Wait()
		for i, at := range begun[1:] {
			if gap := at.Sub(begun[i]); gap < takes+presence.ListGap {
				t.Errorf("a list began %v after the one before", gap)
			}
		}
		if most := int(callers*time.Millisecond/(takes+presence.ListGap)) + 2; len(begun) > most {
			t.Errorf("%d lists for %d callers, at most %d are expected", len(begun), callers, most)
		}
		<-time.After(2 * presence.ListGap)
		asked = time.Now()
		lists.Get(other, read(other))
		if took := time.Since(asked); took != takes {
			t.Errorf("after a while, a list took %v", took)
		}
		<-time.After(2 * presence.ListGap)
	})
}

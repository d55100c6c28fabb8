package room

import (
	"fmt"
	"runtime"
	"testing"
)

// population returns an index of n members, each alone in a room of its own and all together in
// another.
func population(tb testing.TB, n int) (*Index[*member], []*member) {
	tb.Helper()
	x := NewIndex[*member](Limits{Rooms: 1000}, nil)
	members := make([]*member, n)
	for i := range members {
		members[i] = &member{id: fmt.Sprintf("%08x", uint32(i)*2654435761), user: fmt.Sprint("user", i)}
		if err := x.Add(members[i], []string{fmt.Sprintf("room:%d", i), "all"}, func() {}); err != nil {
			tb.Fatal(err)
		}
	}
	return x, members
}

func BenchmarkJoinLeave(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		x, members := population(b, n)
		b.Run(fmt.Sprint("new room of ", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				m := members[i*7919%n]
				if _, err := x.Join(m, "another"); err != nil {
					b.Fatal(err)
				}
				x.Leave(m, "another")
			}
		})
		b.Run(fmt.Sprint("large room of ", n), func(b *testing.B) {
			for i := range b.N {
				m := members[i*7919%n]
				x.Leave(m, "all")
				if _, err := x.Join(m, "all"); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprint("connect of ", n), func(b *testing.B) {
			for i := range b.N {
				m := members[i*7919%n]
				rooms, _ := x.Remove(m)
				if err := x.Add(m, rooms, func() {}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMemory reports the bytes of a member and its room.
func BenchmarkMemory(b *testing.B) {
	const n = 100_000
	for range b.N {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		x, members := population(b, n)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/member")
		runtime.KeepAlive(members)
		runtime.KeepAlive(x)
	}
}

func BenchmarkRooms(b *testing.B) {
	x, _ := population(b, 500_000)
	b.ReportAllocs()
	for b.Loop() {
		if got := x.Rooms("", "room:2", 100, nil); len(got) != 100 {
			b.Fatal(len(got))
		}
	}
}

func BenchmarkSelect(b *testing.B) {
	x, _ := population(b, 2000)
	names := make([]string, 1000)
	for i := range names {
		names[i] = fmt.Sprintf("room:%d", 2*i)
	}
	for name, t := range map[string]Target{
		"room":          {Rooms: []string{"all"}},
		"room but few":  {Rooms: []string{"all"}, ExceptRooms: names[:2]},
		"room but many": {Rooms: []string{"all"}, ExceptRooms: names},
		"two rooms":     {Rooms: []string{"all", "room:1"}},
		"1000 rooms":    {Rooms: names},
		"many overlap":  {Rooms: append([]string{"all"}, names[1:]...)},
		"all":           {Everyone: true},
	} {
		b.Run(name, func(b *testing.B) {
			var dst []*member
			b.ReportAllocs()
			for b.Loop() {
				dst = x.Select(dst[:0], t)
			}
		})
	}
}

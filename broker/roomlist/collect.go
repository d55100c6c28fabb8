package roomlist

import (
	"cmp"
	"context"
	"slices"
	"sync"
)

// Place names a room. Places are ordered by namespace and name.
type Place struct{ Namespace, Name string }

// Compare returns -1, 0 or 1 if p sorts before other, is the same, or sorts after it.
func (p Place) Compare(other Place) int {
	return cmp.Or(cmp.Compare(p.Namespace, other.Namespace), cmp.Compare(p.Name, other.Name))
}

// Room is a room and the number of its sockets.
type Room struct {
	Place
	Sockets int
}

// Slice is a part of the rooms of a node.
type Slice struct {
	// Rooms are in order.
	Rooms []Room
	// More says that rooms may follow, after the place At.
	More bool
	At   Place
}

// Source reads the slice of a node's rooms that follows after a place. It is called by one goroutine
// at a time.
type Source func(ctx context.Context, after Place) (Slice, error)

// Options say what a list is about.
type Options struct {
	// BySockets lists the rooms with the most sockets first, instead of by place.
	BySockets bool
	// Max bounds the rooms of the list.
	Max int
}

// List is the rooms of all nodes.
type List struct {
	Rooms []Room
	// Truncated says that there are more rooms than Max.
	Truncated bool
	// Missing are the nodes whose rooms are missing, or some of them, sorted.
	Missing []string
}

// Collect lists the rooms of all nodes. A node whose source fails isn't asked again; the list has the
// rooms that it named before.
func Collect(ctx context.Context, nodes map[string]Source, o Options) List {
	m := &merge{}
	for name, source := range nodes {
		m.nodes = append(m.nodes, &node{name: name, source: source, more: true})
	}
	best := &top{options: o}
	for ctx.Err() == nil {
		m.fill(ctx)
		r, ok := m.next()
		if !ok {
			break
		}
		if full := best.add(r); full {
			break
		}
	}
	list := List{Rooms: best.sorted(), Truncated: best.truncated}
	for _, n := range m.nodes {
		if n.failed {
			list.Missing = append(list.Missing, n.name)
		}
	}
	slices.Sort(list.Missing)
	return list
}

// merge merges the rooms of several nodes in order.
type merge struct{ nodes []*node }

// node is how far the rooms of one node are read.
type node struct {
	name   string
	source Source
	rooms  []Room // that are read and not merged yet
	more   bool   // rooms may follow them, after at
	at     Place
	failed bool
}

// fill reads until each node has rooms or no more of them.
func (m *merge) fill(ctx context.Context) {
	var reading sync.WaitGroup
	for _, n := range m.nodes {
		if len(n.rooms) == 0 && n.more {
			reading.Go(func() { n.read(ctx) })
		}
	}
	reading.Wait()
}

func (n *node) read(ctx context.Context) {
	for len(n.rooms) == 0 && n.more {
		slice, err := n.source(ctx, n.at)
		if err != nil || slice.More && slice.At.Compare(n.at) <= 0 {
			n.more, n.failed = false, true
			return
		}
		n.rooms, n.more, n.at = slice.Rooms, slice.More, slice.At
	}
}

// next returns the next room, with its sockets at all nodes.
func (m *merge) next() (r Room, ok bool) {
	for _, n := range m.nodes {
		if len(n.rooms) > 0 && (!ok || n.rooms[0].Compare(r.Place) < 0) {
			r, ok = Room{Place: n.rooms[0].Place}, true
		}
	}
	for _, n := range m.nodes {
		for len(n.rooms) > 0 && n.rooms[0].Compare(r.Place) <= 0 {
			r.Sockets += n.rooms[0].Sockets
			n.rooms = n.rooms[1:]
		}
	}
	return r, ok
}

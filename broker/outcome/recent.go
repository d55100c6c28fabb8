package outcome

import (
	"container/list"
	"slices"
)

// recent remembers the last few values of each of the keys that had any last. Its owner
// guards it.
type recent[K comparable, V any] struct {
	keys, each int // how many keys, and values of each
	places     map[K]*list.Element
	order      list.List // of *place; the key that had a value last comes first
}

// place is where the values of one key are.
type place[K comparable, V any] struct {
	key    K
	values []V // a ring once it is full
	next   int // where the next value goes then
}

func newRecent[K comparable, V any](keys, each int) recent[K, V] {
	return recent[K, V]{keys: keys, each: each, places: make(map[K]*list.Element)}
}

// last returns the newest value of a key, nil if there is none.
func (r *recent[K, V]) last(key K) *V {
	e, ok := r.places[key]
	if !ok {
		return nil
	}
	p := e.Value.(*place[K, V]) //nolint:forcetypeassert // add puts in nothing else
	i := len(p.values) - 1
	if p.next > 0 {
		i = p.next - 1
	}
	r.order.MoveToFront(e)
	return &p.values[i]
}

// add adds a value of a key. Once all places are taken, the key whose last value is the
// oldest gives up its own; then add needs no memory.
func (r *recent[K, V]) add(key K, v V) {
	e, ok := r.places[key]
	switch {
	case ok:
		r.order.MoveToFront(e)
	case len(r.places) < r.keys:
		e = r.order.PushFront(&place[K, V]{key: key})
		r.places[key] = e
	default:
		e = r.order.Back()
		p := e.Value.(*place[K, V]) //nolint:forcetypeassert // as above
		delete(r.places, p.key)
		clear(p.values)
		p.key, p.values, p.next = key, p.values[:0], 0
		r.places[key] = e
		r.order.MoveToFront(e)
	}
	p := e.Value.(*place[K, V]) //nolint:forcetypeassert // as above
	if len(p.values) < r.each {
		p.values = append(p.values, v)
		return
	}
	p.values[p.next] = v
	p.next = (p.next + 1) % r.each
}

// of returns the values of a key, newest first.
func (r *recent[K, V]) of(key K) []V {
	e, ok := r.places[key]
	if !ok {
		return nil
	}
	p := e.Value.(*place[K, V]) //nolint:forcetypeassert // as above
	values := slices.Concat(p.values[p.next:], p.values[:p.next])
	slices.Reverse(values)
	return values
}

// newest returns the newest value of every key, newest first.
func (r *recent[K, V]) newest() (values []V) {
	for e := r.order.Front(); e != nil; e = e.Next() {
		values = append(values, r.of(e.Value.(*place[K, V]).key)[0]) //nolint:forcetypeassert // as above
	}
	return values
}

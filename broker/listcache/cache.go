// Package listcache keeps lists that take a walk through everything that a node, or a cluster, has.
// All who look at the same list share it, and its pages are those of one list.
//
// A list is made when somebody looks, and at most once in a while: see [Options]. Lists that nobody
// reads are forgotten.
package listcache

import (
	"context"
	"sync"
	"time"
)

// Options bound what a [Cache] costs.
type Options struct {
	// MinAge is how long a list is new enough for everybody. A list that took long to make is new
	// enough for Rest times as long as it took, if that is more.
	MinAge time.Duration
	Rest   int
	// Keep is how long a list is kept after somebody has read it.
	Keep time.Duration
	// MaxLists and MaxWeight bound the lists and their weight together. The list that was read
	// the longest ago goes first.
	MaxLists, MaxWeight int
}

// List is a list in a [Cache].
type List[V any] struct {
	// Number is unique among the lists of the cache.
	Number uint64
	// Made is when making it began.
	Made time.Time
	// Value is the list itself. It must not be changed.
	Value V
}

// Cache keeps lists of one kind by what they were made for. Its methods may be called concurrently.
type Cache[V any] struct {
	// Static.
	options Options
	weight  func(V) int
	making  chan struct{} // has a token while nobody makes a list

	mu     sync.Mutex
	last   uint64              // number of the last list
	newest map[string]*kept[V] // by what it was made for
	kept   map[uint64]*kept[V] // by number; those that are made
	forget *time.Timer         // nil while nothing is kept
}

type kept[V any] struct {
	// Static.
	key  string
	done chan struct{} // closed when the list is made, or couldn't be

	// Guarded by Cache.mu; static once done is closed, but for read.
	list   List[V]
	made   bool
	fresh  time.Time // until when the list is new enough
	weight int
	read   time.Time
}

// New returns a cache. weight returns how much a list counts, for [Options.MaxWeight].
func New[V any](o Options, weight func(V) int) *Cache[V] {
	c := &Cache[V]{
		options: o,
		weight:  weight,
		making:  make(chan struct{}, 1),
		newest:  make(map[string]*kept[V]),
		kept:    make(map[uint64]*kept[V]),
	}
	c.making <- struct{}{}
	return c
}

// Newest returns the newest list of a key. If that is too old, it makes one with walk, unless
// somebody else does already. Only one list is made at a time. The error is that of the context, if
// it ends first.
func (c *Cache[V]) Newest(ctx context.Context, key string, walk func(context.Context) V) (List[V], error) {
	for {
		k, mine := c.newestOf(key)
		if mine {
			return c.make(ctx, k, walk)
		}
		select {
		case <-k.done:
		case <-ctx.Done():
			return List[V]{}, context.Cause(ctx)
		}
		if list, ok := c.readList(k); ok {
			return list, nil
		}
		// Its maker has given up.
	}
}

// newestOf returns the newest list of a key that is new enough or being made. Otherwise the caller is
// to make the one that it returns.
func (c *Cache[V]) newestOf(key string) (k *kept[V], mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.newest[key]; k != nil && (!k.made || time.Now().Before(k.fresh)) {
		return k, false
	}
	k = &kept[V]{key: key, done: make(chan struct{})}
	c.newest[key] = k
	return k, true
}

// make makes a list.
func (c *Cache[V]) make(ctx context.Context, k *kept[V], walk func(context.Context) V) (List[V], error) {
	made := false
	defer func() {
		if !made {
			c.giveUp(k)
		}
		close(k.done)
	}()
	select {
	case <-c.making:
	case <-ctx.Done():
		return List[V]{}, context.Cause(ctx)
	}
	defer func() { c.making <- struct{}{} }()
	begun := time.Now()
	value := walk(ctx)
	if ctx.Err() != nil { // the list may lack what others would get
		return List[V]{}, context.Cause(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	now := time.Now()
	k.list = List[V]{Number: c.last, Made: begun, Value: value}
	made, k.made, k.read, k.weight = true, true, now, c.weight(value)
	k.fresh = now.Add(max(c.options.MinAge, time.Duration(c.options.Rest)*now.Sub(begun)))
	c.kept[k.list.Number] = k
	c.evict(now)
	return k.list, nil
}

func (c *Cache[V]) giveUp(k *kept[V]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.newest[k.key] == k {
		delete(c.newest, k.key)
	}
}

// readList notes that a list is read.
func (c *Cache[V]) readList(k *kept[V]) (list List[V], ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k.made {
		k.read = time.Now()
	}
	return k.list, k.made
}

// Get returns a list that was made for the key and has the number. ok is false if the cache doesn't
// keep it, or never had it.
func (c *Cache[V]) Get(key string, number uint64) (list List[V], ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.evict(now)
	k := c.kept[number]
	if k == nil || k.key != key {
		return List[V]{}, false
	}
	k.read = now
	return k.list, true
}

// evict forgets lists that nobody has read for long, and those that are too many. The caller holds
// mu.
func (c *Cache[V]) evict(now time.Time) {
	weight := 0
	for _, k := range c.kept {
		if now.Sub(k.read) >= c.options.Keep {
			c.drop(k)
			continue
		}
		weight += k.weight
	}
	for len(c.kept) > 1 && (len(c.kept) > c.options.MaxLists || weight > c.options.MaxWeight) {
		var oldest *kept[V]
		for _, k := range c.kept {
			if oldest == nil || k.read.Before(oldest.read) || k.read.Equal(oldest.read) && k.list.Number < oldest.list.Number {
				oldest = k
			}
		}
		weight -= oldest.weight
		c.drop(oldest)
	}
	switch {
	case len(c.kept) == 0:
		c.forget = nil
	case c.forget == nil:
		c.forget = time.AfterFunc(c.options.Keep, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.forget = nil
			c.evict(time.Now())
		})
	}
}

// drop forgets a list. The caller holds mu.
func (c *Cache[V]) drop(k *kept[V]) {
	delete(c.kept, k.list.Number)
	if c.newest[k.key] == k {
		delete(c.newest, k.key)
	}
}

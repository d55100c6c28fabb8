package redis

import "sync"

// subscriptions are the channels of a partition that are wanted, and those that the server knows
// about. Any goroutine may change what is wanted. The goroutine of the link tells the server.
type subscriptions struct {
	done chan struct{} // closed; shared by all effective subscriptions

	mu       sync.Mutex
	wake     chan<- struct{} // of the link; holds one token if channels are dirty
	channels map[string]*subscription
	dirty    map[string]struct{} // channels whose server state may differ
}

// subscription is a channel that is wanted, or that the server has been asked for, or both. Others
// are not kept, even during a long outage.
type subscription struct {
	wanted    bool
	asked     bool // the server has been asked in this session
	confirmed bool // and has confirmed it
	// effective is closed while confirmed.
	effective chan struct{}
}

func newSubscriptions() *subscriptions {
	s := &subscriptions{
		wake:     make(chan struct{}, 1), // of no link yet
		done:     make(chan struct{}),
		channels: make(map[string]*subscription),
		dirty:    make(map[string]struct{}),
	}
	close(s.done)
	return s
}

// want asks for a channel. The result is closed once the server has confirmed it.
func (s *subscriptions) want(channel string) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub, ok := s.channels[channel]
	if !ok {
		sub = &subscription{effective: make(chan struct{})}
		s.channels[channel] = sub
	}
	if !sub.wanted {
		sub.wanted = true
		s.mark(channel)
	}
	return sub.effective
}

// unwant reverses want.
func (s *subscriptions) unwant(channel string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub, ok := s.channels[channel]
	switch {
	case !ok || !sub.wanted:
	case !sub.asked:
		delete(s.channels, channel)
		delete(s.dirty, channel)
	default:
		sub.wanted = false
		s.mark(channel)
	}
}

// mark marks a channel as dirty. The caller holds mu.
func (s *subscriptions) mark(channel string) {
	s.dirty[channel] = struct{}{}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// changes returns what the server must be told. Channels in unsubscribe count as ended, and those
// in subscribe as effective after confirm, which must be called before the next changes.
func (s *subscriptions) changes() (subscribe, unsubscribe []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for channel := range s.dirty {
		sub := s.channels[channel]
		switch {
		case sub.wanted && !sub.asked:
			sub.asked = true
			subscribe = append(subscribe, channel)
		case !sub.wanted:
			delete(s.channels, channel)
			unsubscribe = append(unsubscribe, channel)
		}
	}
	s.dirty = make(map[string]struct{})
	return subscribe, unsubscribe
}

// confirm records that the server has confirmed the channels.
func (s *subscriptions) confirm(channels []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, channel := range channels {
		if sub, ok := s.channels[channel]; ok && sub.asked && !sub.confirmed {
			close(sub.effective)
			sub.confirmed, sub.effective = true, s.done
		}
	}
}

// has reports whether the server has confirmed a channel.
func (s *subscriptions) has(channel string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub, ok := s.channels[channel]
	return ok && sub.confirmed
}

// reset records that the server has no subscriptions any longer. The link with the given wake must
// ask for all that is wanted.
func (s *subscriptions) reset(wake chan<- struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wake = wake
	clear(s.dirty)
	for channel, sub := range s.channels {
		if !sub.wanted {
			delete(s.channels, channel)
			continue
		}
		if sub.confirmed {
			sub.effective = make(chan struct{})
		}
		sub.asked, sub.confirmed = false, false
		s.mark(channel)
	}
}

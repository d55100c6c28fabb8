package redis

import "sync"

// subscriptions is what is wanted in one partition, and what of it the server
// knows. Any goroutine changes the former, and one, that of the line, brings the
// server to it.
type subscriptions struct {
	done chan struct{} // closed: what is effective has this channel

	mu       sync.Mutex
	wake     chan<- struct{} // the line's; holds one token if something is dirty
	channels map[string]*subscription
	dirty    map[string]struct{} // channels to look at
}

// subscription is wanted, or the server has been asked for it, or both. One
// that is neither is not kept, also during a long outage.
type subscription struct {
	wanted bool
	asked  bool // the server has been told, in this session
	had    bool // and has confirmed it
	// effective is closed while had.
	effective chan struct{}
}

func newSubscriptions() *subscriptions {
	s := &subscriptions{
		wake:     make(chan struct{}, 1), // nobody's
		done:     make(chan struct{}),
		channels: make(map[string]*subscription),
		dirty:    make(map[string]struct{}),
	}
	close(s.done)
	return s
}

// want asks for a channel and returns what is closed once the server has it.
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

// unwant is the end of want.
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

// mark says that a channel is to be looked at. The caller holds mu.
func (s *subscriptions) mark(channel string) {
	s.dirty[channel] = struct{}{}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// changes returns what the server has to be told. The server is taken to have
// forgotten what is in unsubscribe; what is in subscribe it has once that is
// confirmed. It isn't called again before that.
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

// confirm takes in that the server has the channels.
func (s *subscriptions) confirm(channels []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, channel := range channels {
		if sub, ok := s.channels[channel]; ok && sub.asked && !sub.had {
			close(sub.effective)
			sub.had, sub.effective = true, s.done
		}
	}
}

// has reports whether the server is taken to have a channel.
func (s *subscriptions) has(channel string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub, ok := s.channels[channel]
	return ok && sub.had
}

// forget takes in that the server has none of them any more: all that is
// wanted is to be told again, by the line that wake wakes.
func (s *subscriptions) forget(wake chan<- struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wake = wake
	clear(s.dirty)
	for channel, sub := range s.channels {
		if !sub.wanted {
			delete(s.channels, channel)
			continue
		}
		if sub.had {
			sub.effective = make(chan struct{})
		}
		sub.asked, sub.had = false, false
		s.mark(channel)
	}
}

package redis

import "sync"

// subscriptions is what is wanted, and what of it the server knows. Any
// goroutine changes the former, and one, that of the session, brings the
// server to it.
type subscriptions struct {
	wake chan struct{} // holds one token if something is dirty

	mu       sync.Mutex
	channels map[string]*subscription
	dirty    []string // channels to look at
}

// subscription is wanted, or the server has it, or both.
type subscription struct {
	wanted bool
	// had: the server has confirmed it, and hasn't been told otherwise.
	had       bool
	effective chan struct{} // closed while had
}

func newSubscriptions() *subscriptions {
	return &subscriptions{wake: make(chan struct{}, 1), channels: make(map[string]*subscription)}
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
	if sub, ok := s.channels[channel]; ok && sub.wanted {
		sub.wanted = false
		s.mark(channel)
	}
}

// mark says that a channel is to be looked at. The caller holds mu.
func (s *subscriptions) mark(channel string) {
	s.dirty = append(s.dirty, channel)
	s.signal()
}

func (s *subscriptions) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// changes returns what the server has to be told. The server is taken to have
// forgotten what is in unsubscribe; what is in subscribe it has once that is
// confirmed.
func (s *subscriptions) changes() (subscribe, unsubscribe []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	looked := make(map[string]struct{}, len(s.dirty))
	for _, channel := range s.dirty {
		if _, again := looked[channel]; again {
			continue
		}
		looked[channel] = struct{}{}
		sub, ok := s.channels[channel]
		switch {
		case !ok:
		case sub.wanted && !sub.had:
			subscribe = append(subscribe, channel)
		case !sub.wanted:
			if sub.had {
				unsubscribe = append(unsubscribe, channel)
			}
			delete(s.channels, channel)
		}
	}
	s.dirty = nil
	return subscribe, unsubscribe
}

// confirm takes in that the server has the channels.
func (s *subscriptions) confirm(channels []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, channel := range channels {
		if sub, ok := s.channels[channel]; ok && !sub.had {
			sub.had = true
			close(sub.effective)
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
// wanted is to be told again.
func (s *subscriptions) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirty = s.dirty[:0]
	for channel, sub := range s.channels {
		if !sub.wanted {
			delete(s.channels, channel)
			continue
		}
		if sub.had {
			sub.had = false
			sub.effective = make(chan struct{})
		}
		s.dirty = append(s.dirty, channel)
	}
	if len(s.dirty) > 0 {
		s.signal()
	}
}

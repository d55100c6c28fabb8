package engine

import (
	"log/slog"
	"reflect"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/zishang520/socket.io/v3/pkg/types"
)

// emitter implements the library's EventEmitter for a handful of listeners, in little memory. Listeners are called in
// the order in which they were added and without a lock held. One that panics is logged and does not keep the others
// from being called: it is the application's code, and one bad message must not end the broker.
//
// Functions can't be compared in Go: like the library, it identifies a listener by its code, so that two closures of
// one function are the same listener to RemoveListener.
type emitter struct {
	log *slog.Logger // static

	mu        sync.Mutex
	listeners []listener
}

type listener struct {
	event types.EventName
	fn    types.EventListener
	once  bool
}

func codeOf(fn types.EventListener) uintptr { return reflect.ValueOf(fn).Pointer() }

func (e *emitter) add(event types.EventName, once bool, fns []types.EventListener) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, fn := range fns {
		if fn != nil {
			e.listeners = append(e.listeners, listener{event, fn, once})
		}
	}
}

// On adds listeners of event. The error is always nil.
func (e *emitter) On(event types.EventName, fns ...types.EventListener) error {
	e.add(event, false, fns)
	return nil
}

// AddListener is On.
func (e *emitter) AddListener(event types.EventName, fns ...types.EventListener) error {
	return e.On(event, fns...)
}

// Once adds listeners that are removed before they are called for the first time. The error is always nil.
func (e *emitter) Once(event types.EventName, fns ...types.EventListener) error {
	e.add(event, true, fns)
	return nil
}

// Emit calls the listeners of event, in order, on the calling goroutine.
func (e *emitter) Emit(event types.EventName, args ...any) {
	var few [4]types.EventListener
	for _, fn := range e.take(event, few[:0]) {
		e.call(event, fn, args)
	}
}

// take appends the listeners of event to fns and removes those that are to be called once.
func (e *emitter) take(event types.EventName, fns []types.EventListener) []types.EventListener {
	e.mu.Lock()
	defer e.mu.Unlock()
	once := false
	for _, l := range e.listeners {
		if l.event == event {
			fns = append(fns, l.fn)
			once = once || l.once
		}
	}
	if once {
		e.listeners = slices.DeleteFunc(e.listeners, func(l listener) bool { return l.event == event && l.once })
	}
	return fns
}

func (e *emitter) call(event types.EventName, fn types.EventListener, args []any) {
	defer func() {
		if v := recover(); v != nil {
			e.log.Error("engine: listener panicked", "event", string(event), "panic", v, "stack", string(debug.Stack()))
		}
	}()
	fn(args...)
}

// EventNames returns the events that have listeners.
func (e *emitter) EventNames() []types.EventName {
	e.mu.Lock()
	defer e.mu.Unlock()
	var names []types.EventName
	for _, l := range e.listeners {
		if !slices.Contains(names, l.event) {
			names = append(names, l.event)
		}
	}
	return names
}

// ListenerCount returns the number of listeners of event.
func (e *emitter) ListenerCount(event types.EventName) int { return len(e.Listeners(event)) }

// Listeners returns the listeners of event.
func (e *emitter) Listeners(event types.EventName) []types.EventListener {
	e.mu.Lock()
	defer e.mu.Unlock()
	var fns []types.EventListener
	for _, l := range e.listeners {
		if l.event == event {
			fns = append(fns, l.fn)
		}
	}
	return fns
}

// RemoveListener removes fn from the listeners of event and reports whether it was one.
func (e *emitter) RemoveListener(event types.EventName, fn types.EventListener) bool {
	if fn == nil {
		return false
	}
	code := codeOf(fn)
	return e.remove(func(l listener) bool { return l.event == event && codeOf(l.fn) == code })
}

// RemoveAllListeners removes the listeners of event and reports whether there were any.
func (e *emitter) RemoveAllListeners(event types.EventName) bool {
	return e.remove(func(l listener) bool { return l.event == event })
}

func (e *emitter) remove(match func(listener) bool) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	before := len(e.listeners)
	e.listeners = slices.DeleteFunc(e.listeners, match)
	return len(e.listeners) < before
}

// Clear removes all listeners.
func (e *emitter) Clear() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.listeners = nil
}

// Len returns the number of events that have listeners.
func (e *emitter) Len() int { return len(e.EventNames()) }

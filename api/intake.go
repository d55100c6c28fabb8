package api

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/api/auth"
)

// What requests may take together, as shares of the memory limit.
const (
	// receivingShare is for requests that arrive and aren't decoded yet, and
	// decodingShare for those that are decoded and handled.
	receivingShare = 12
	decodingShare  = 8
	// assumedMemory stands for the limit where there is none.
	assumedMemory = 2 << 30
	// minDecoding is how many times the largest request each key may decode
	// however little memory there is.
	minDecoding = 4
	// smallCost is up to what a request is decoded without being counted: each call
	// decodes one or two at a time.
	smallCost = 16 << 10
	// streamWindow is how much of a request a caller may send before the call
	// asks for it, and connectionWindow how much may be under way on a connection.
	streamWindow     = 64 << 10
	connectionWindow = 1 << 20
	// minCalls and maxCalls bound how many calls are in flight, so that their
	// windows take another such share. Each key has half of them.
	windowShare = 8
	minCalls    = 512
	maxCalls    = 4096
	// maxGuestStreams and maxGuestRequest bound the calls that need no key: health
	// checks that are watched, reflection.
	maxGuestStreams = 256
	maxGuestRequest = 16 << 10
)

// intake is what bounds the requests of all callers before they are decoded.
type intake struct {
	// Static.
	maxRequest int64
	// maxReceived is from how many bytes on a message ends its stream. It is larger
	// than maxRequest, since a backend that returns what a client has sent must not
	// lose its stream by that.
	maxReceived int64
	maxCalls    int64         // of each key; twice as many in all
	maxUnread   int64         // bytes of answers that their callers don't read
	patience    time.Duration // of requests that wait for room
	arriving    time.Duration // how long a request, or a piece of a large message, may take to arrive
	receiving   *budget
	decoding    *budget
	shapes      shapes

	calls atomic.Int64 // in flight, those of guests left out
}

// newIntake fits the bounds into a memory limit, 0 for none.
func newIntake(memory, maxRequest int64) (*intake, error) {
	known, err := newShapes()
	if err != nil {
		return nil, err
	}
	if memory <= 0 {
		memory = assumedMemory
	}
	return &intake{
		maxRequest:  maxRequest,
		maxReceived: maxListing*(maxRequest-maxOverhead) + maxOverhead,
		maxCalls:    min(max(memory/windowShare/streamWindow, minCalls), maxCalls) / 2,
		maxUnread:   memory / unreadShare,
		patience:    bodyTimeout,
		arriving:    bodyTimeout,
		receiving:   newBudget(memory/receivingShare, 2*maxRequest),
		decoding:    newBudget(memory/decodingShare, minDecoding*maxRequest),
		shapes:      known,
	}, nil
}

// arrival is the context of a call from the network. It ends with the stream, or
// when the request is too long in coming.
type arrival struct {
	context.Context
	cancel context.CancelCauseFunc
	caller *auth.Caller
	late   atomic.Bool
}

// arrivalKey is the context key of the *arrival.
type arrivalKey struct{}

// Value implements context.Context.
func (a *arrival) Value(key any) any {
	if key == (arrivalKey{}) {
		return a
	}
	return a.Context.Value(key)
}

// Err implements context.Context.
func (a *arrival) Err() error {
	if a.late.Load() {
		return context.DeadlineExceeded
	}
	return a.Context.Err()
}

// expire ends the call.
func (a *arrival) expire() {
	a.late.Store(true)
	a.cancel(context.DeadlineExceeded)
}

// sizeOf is how many bytes a message has.
func sizeOf(m any) int {
	switch m := m.(type) {
	case encoded:
		return m.Len()
	case proto.Message:
		return proto.Size(m)
	}
	return 0
}

package api

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/api/auth"
)

// The shares of all requests together, as divisors of the memory limit.
const (
	// receivingShare is for requests that arrive, decodingShare for requests that are
	// decoded and handled.
	receivingShare = 12
	decodingShare  = 8
	// answersShare is for answers over REST until they are written. answerCopies is how often
	// one is in memory while it is encoded, by its size as a message.
	answersShare = 8
	answerCopies = 4
	// assumedMemory is the limit if none is configured.
	assumedMemory = 2 << 30
	// minDecoding is how many of the largest requests each key may decode, however small
	// the limit.
	minDecoding = 4
	// maxPageCost is what a page of 3 MiB takes until it is answered: what is read, its message, and
	// that as bytes. Each key may have minPages at the same time, however small the limit.
	maxPageCost = 3 * 3 << 20
	minPages    = 4
	// smallCost is the cost up to which a request isn't counted: each call decodes one or
	// two at a time.
	smallCost = 16 << 10
	// streamWindow is how much a caller may send on a stream before the call reads it, and
	// connectionWindow how much may be in transit on a connection.
	streamWindow     = 64 << 10
	connectionWindow = 1 << 20
	// windowShare is for the windows of the calls in flight, minCalls to maxCalls of them.
	// Each key may have half of the calls.
	windowShare = 8
	minCalls    = 512
	maxCalls    = 4096
	// maxGuestStreams and maxGuestRequest bound calls without a key: watched health
	// checks, reflection.
	maxGuestStreams = 256
	maxGuestRequest = 16 << 10
)

// intake has the limits of requests.
type intake struct {
	// Static.
	maxRequest int64
	// maxReceived is the size above which a message ends its stream. It is larger than
	// maxRequest, so that a backend that echoes what a client has sent keeps its stream.
	maxReceived int64
	maxCalls    int64         // of each key; twice as many in all
	maxUnread   int64         // bytes of unread answers over gRPC of each key
	patience    time.Duration // how long requests wait for room
	arriving    time.Duration // how long a request, or a piece of a large message, may take to arrive
	receiving   *budget
	decoding    *budget
	answers     *budget
	shapes      shapes

	calls atomic.Int64 // in flight, except those without a key
}

// newIntake derives the limits from a memory limit in bytes, 0 for none.
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
		maxUnread:   max(memory/unreadShare, minDecoding*maxRequest),
		patience:    bodyTimeout,
		arriving:    bodyTimeout,
		receiving:   newBudget(memory/receivingShare, 2*maxRequest),
		decoding:    newBudget(memory/decodingShare, minDecoding*maxRequest),
		answers:     newBudget(memory/answersShare, answerCopies*maxRequest),
		shapes:      known,
	}, nil
}

// arrival is the context of a call from the network. It ends with the stream, or when the
// request takes too long to arrive.
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

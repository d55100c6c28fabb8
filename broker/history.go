package broker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/salabroker/sala/broker/history"
)

// MessagesQuery says which messages [Broker.Messages] reads: the Last ones, or those
// Since a position. Without both, reading begins at the oldest message that is kept or,
// backward, at the newest.
type MessagesQuery struct {
	// Namespace and Room name the room; an empty namespace means "/".
	Namespace, Room string
	// Last is how many of the newest messages to read; zero if it isn't used. It excludes
	// Since, Backward and Limit.
	Last int
	// Since is the position after which or, backward, before which to read; nil for none.
	Since *history.Position
	// Backward reads from newer to older messages.
	Backward bool
	// Limit bounds the messages of the page; zero means 100.
	Limit int
}

// maxMessagesPage bounds Last and Limit of a [MessagesQuery].
const maxMessagesPage = 1000

// MessagesPage is a part of a room's history.
type MessagesPage struct {
	// Messages are in the order of reading. A page is bounded in bytes, too, so there may
	// be fewer than the query asks for.
	Messages []RoomMessage
	// Position is where to read on; it is the Since of the next query.
	history.Position
	// Complete says that nothing is missing between the query's Since and the messages.
	// Without Since it is always true.
	Complete bool
}

// RoomMessage is one message in the history of a room.
type RoomMessage struct {
	// Offset is that of the message, in the epoch of the page.
	Offset uint64
	// Event is the event's name.
	Event string
	// Args is the text of a JSON array; empty for no arguments.
	Args json.RawMessage
	// Attachments holds the binary data that Args refers to by placeholders.
	Attachments [][]byte
	// Time is when the broker accepted the message.
	Time time.Time
	// IdempotencyKey is that of the message; empty if it had none.
	IdempotencyKey string
}

func (q *MessagesQuery) validate() error {
	var v violations
	validateRoom(&v, "room", q.Room)
	if q.Last < 0 || q.Last > maxMessagesPage {
		v.add("last", "%d is not between 1 and %d", q.Last, maxMessagesPage)
	}
	if q.Limit < 0 || q.Limit > maxMessagesPage {
		v.add("limit", "%d is not between 1 and %d", q.Limit, maxMessagesPage)
	}
	if q.Last > 0 {
		const only = "is only allowed without last, which reads the newest messages, oldest first"
		if q.Since != nil {
			v.add("since", only)
		}
		if q.Backward {
			v.add("direction", only)
		}
		if q.Limit != 0 {
			v.add("limit", only)
		}
	}
	if q.Since != nil {
		validateName(&v, "since.epoch", "an epoch", q.Since.Epoch)
	}
	return v.err()
}

// Messages reads the history of a room. It may be called concurrently. The error is a
// *[Error]: with the reason HISTORY_DISABLED if the room has no history, and
// HISTORY_UNAVAILABLE if it can't be read at the moment.
func (b *Broker) Messages(ctx context.Context, q MessagesQuery) (MessagesPage, error) {
	if err := q.validate(); err != nil {
		return MessagesPage{}, err
	}
	room, err := b.roomWithHistory(q.Namespace, q.Room)
	if err != nil {
		return MessagesPage{}, err
	}
	page, err := b.recorder.Engine().Read(ctx, room, q.toEngine())
	if err != nil {
		return MessagesPage{}, historyFailed(err)
	}
	return q.result(page), nil
}

// maxMessagesBytes bounds the messages of a page. By default, gRPC clients accept
// responses of up to 4 MiB. A page always has one message, however large.
const maxMessagesBytes = 3 << 20

// toEngine returns the query as engines take it.
func (q *MessagesQuery) toEngine() history.Query {
	query := history.Query{Limit: cmp.Or(q.Last, q.Limit, defaultPageSize), Bytes: maxMessagesBytes}
	switch {
	case q.Last > 0:
	case q.Backward:
		query.Before = q.Since
	case q.Since == nil:
		query.Since = new(history.Position)
	default:
		query.Since = q.Since
	}
	return query
}

// result returns what an engine has read in the order of the query.
func (q *MessagesQuery) result(page history.Page) MessagesPage {
	result := MessagesPage{
		Messages: make([]RoomMessage, len(page.Entries)),
		Position: page.End,
		Complete: page.Complete || q.Since == nil,
	}
	for i := range page.Entries {
		e := page.Entries[i].Entry()
		result.Messages[i] = RoomMessage{
			Offset: page.Entries[i].Offset, Event: e.Event, Args: e.Args, Attachments: e.Attachments,
			Time: e.Time, IdempotencyKey: e.IdempotencyKey,
		}
	}
	if q.Backward {
		slices.Reverse(result.Messages)
	}
	switch n := len(page.Entries); {
	case n > 0:
		result.Offset = result.Messages[n-1].Offset
	case q.Backward && q.Since != nil && q.Since.Epoch == page.End.Epoch:
		result.Position = *q.Since // there is nothing older
	}
	return result
}

// roomWithHistory returns the room that a call names.
func (b *Broker) roomWithHistory(namespace, name string) (history.Room, error) {
	ns, err := b.namespace(namespace)
	if err != nil {
		return history.Room{}, err
	}
	room, ok := b.recorder.Room(ns.name, name)
	if !ok {
		return history.Room{}, historyDisabled(ns.name, name)
	}
	return room, nil
}

// historyFailed returns the error for one of an engine.
func historyFailed(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return historyUnavailable("the history can't be reached at the moment; try again later")
}

// ClearMessages forgets the history of a room, whose next message begins a new epoch. It
// may be called concurrently. The error is a *[Error]: with the reason HISTORY_DISABLED
// if the room has no history.
func (b *Broker) ClearMessages(ctx context.Context, namespace, room string) error {
	var v violations
	validateRoom(&v, "room", room)
	if err := v.err(); err != nil {
		return err
	}
	r, err := b.roomWithHistory(namespace, room)
	if err != nil {
		return err
	}
	if err := b.recorder.Engine().Clear(ctx, r); err != nil {
		return historyFailed(err)
	}
	return nil
}

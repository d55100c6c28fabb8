package recording

import (
	"slices"
	"strconv"
	"time"

	"github.com/salabroker/sala/broker/history"
	"github.com/salabroker/sala/broker/socketio"
)

// maxAttachments bounds the attachments in the answer to a join. Stock clients close the connection
// over a packet that has more (socket.io-parser 4.2.6 and later).
const maxAttachments = 10

// Answer is what a client that joins a room gets of its history: the newest messages that it asks
// for.
type Answer struct{ history.Page }

// LimitAttachments leaves out the oldest messages if there are too many attachments. So it does if a
// message without attachments has what looks like a placeholder, because a packet either has
// placeholders or it doesn't.
func (a *Answer) LimitAttachments() {
	if !slices.ContainsFunc(a.Entries, func(e history.Recorded) bool { return e.Attachments() != nil }) {
		return
	}
	attachments, alike := 0, false
	for i := len(a.Entries) - 1; i >= 0; i-- {
		e := &a.Entries[i]
		own := len(e.Attachments())
		attachments += own
		if own == 0 && !alike {
			_, args := e.Message()
			alike = socketio.HasPlaceholders(args)
		}
		if attachments > maxAttachments || attachments > 0 && alike {
			a.Entries, a.Complete = a.Entries[i+1:], false
			return
		}
	}
}

// Mark returns what the client has once it has got the answer.
func (a *Answer) Mark() Mark {
	m := Mark{Epoch: a.End.Epoch, First: a.End.Offset + 1, Last: a.End.Offset}
	if len(a.Entries) > 0 {
		m.First = a.Entries[0].Offset
	}
	recent := time.Now().Add(-recentTime)
	for i := len(a.Entries) - 1; i >= 0 && len(m.Recent) < maxRecent && a.Entries[i].Time().After(recent); i-- {
		m.Recent = append(m.Recent, a.Entries[i].Hash())
	}
	return m
}

// Packet returns the text and the attachments of the ack that answers a join: {ok, messages:
// [{offset, event, args}], epoch, offset, complete}, and the further members of an object, whose text
// is empty if there are none.
func (a *Answer) Packet(namespace string, ack uint64, members []byte) (text []byte, attachments [][]byte) {
	size := 160 + len(namespace) + len(members)
	for i := range a.Entries {
		e := &a.Entries[i]
		size += 40 + e.Size()
		attachments = append(attachments, e.Attachments()...)
	}
	text = socketio.AppendAckStart(make([]byte, 0, size), namespace, ack, len(attachments))
	text = append(text, `{"ok":true,"messages":[`...)
	before := 0
	for i := range a.Entries {
		if i > 0 {
			text = append(text, ',')
		}
		text, before = appendMessage(text, &a.Entries[i], before)
	}
	text = append(text, `],"epoch":`...)
	text = socketio.AppendString(text, a.End.Epoch)
	text = append(text, `,"offset":`...)
	text = strconv.AppendUint(text, a.End.Offset, 10)
	text = append(text, `,"complete":`...)
	text = strconv.AppendBool(text, a.Complete)
	if len(members) > 0 {
		text = append(text, ',')
		text = append(text, members...)
	}
	return append(text, "}]"...), attachments
}

// appendMessage appends a message after others that have so many attachments, and returns how many
// there are now.
func appendMessage(text []byte, e *history.Recorded, before int) (longer []byte, attachments int) {
	event, args := e.Message()
	text = append(text, `{"offset":`...)
	text = strconv.AppendUint(text, e.Offset, 10)
	text = append(text, `,"event":`...)
	text = socketio.AppendString(text, event)
	text = append(text, `,"args":`...)
	own := e.Attachments()
	text = socketio.AppendShifted(text, socketio.Payload{Args: args, Attachments: own}, before)
	return append(text, '}'), before + len(own)
}

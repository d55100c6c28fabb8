package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// printTail prints an event of a tail. As JSON, a client's event has the fields that Subscribe
// gives it, and its node and outcome. As text, the outcome of a client's event is a line of its
// own.
func (p *eventPrinter) printTail(e *salav1.TailEvent) error {
	client := clientEvent(e)
	if p.asJSON {
		return p.printTailJSON(e, client)
	}
	if client != nil {
		if err := p.print(client); err != nil {
			return err
		}
	}
	if e.GetOutcome() == nil {
		return nil
	}
	_, err := fmt.Fprintln(p.out, p.outcome(e))
	return err
}

// clientEvent returns what an event is in the words of Subscribe; nil for kinds that backends
// can't subscribe to.
func clientEvent(e *salav1.TailEvent) *salav1.ClientEvent {
	if e.GetKind() >= salav1.EventKind_EVENT_KIND_REFUSED {
		return nil
	}
	return &salav1.ClientEvent{
		Kind: e.GetKind(), Time: e.GetTime(), Namespace: e.GetNamespace(), Socket: e.GetSocket(), User: e.GetUser(), Room: clientRoom(e),
		DeliveryId: e.GetDeliveryId(), Event: e.GetEvent(), ArgsJson: e.GetArgsJson(), Attachments: e.GetAttachments(), Reason: e.GetReason(),
		PreviousSocketId: e.GetPreviousSocketId(), NotRecovered: e.GetNotRecovered(),
	}
}

// clientRoom returns the room of an event; messages have none for Subscribe.
func clientRoom(e *salav1.TailEvent) string {
	if e.GetKind() == salav1.EventKind_EVENT_KIND_MESSAGE {
		return ""
	}
	return e.GetRoom()
}

func (p *eventPrinter) printTailJSON(e *salav1.TailEvent, client *salav1.ClientEvent) error {
	options := protojson.MarshalOptions{EmitUnpopulated: true}
	body, err := options.Marshal(e)
	if err != nil {
		return err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(body, &all); err != nil {
		return err
	}
	if client != nil {
		if body, err = options.Marshal(client); err != nil {
			return err
		}
		if err := json.Unmarshal(body, &all); err != nil { // adds the fields that only Subscribe has
			return err
		}
		room, _ := json.Marshal(e.GetRoom()) // text always encodes
		all["room"] = room
	}
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(all); err != nil {
		return err
	}
	_, err = p.out.Write(line.Bytes())
	return err
}

// outcome returns what became of something, for people: time, kind, namespace, who, what, and the
// result.
func (p *eventPrinter) outcome(e *salav1.TailEvent) string {
	kind := e.GetKind()
	word, colour := kindName(kind), kindColour(kind)
	if kind == salav1.EventKind_EVENT_KIND_MESSAGE {
		word = "outcome"
	}
	if e.GetOutcome().GetCode() != "" || kind == salav1.EventKind_EVENT_KIND_DROP {
		colour = red
	}
	parts := []string{
		p.paint(faint, e.GetTime().AsTime().Local().Format("15:04:05.000")),
		p.paint(colour, fmt.Sprintf("%-11s", word)),
		cell(e.GetNamespace()),
	}
	switch {
	case kind == salav1.EventKind_EVENT_KIND_EMIT:
		parts = append(parts, p.paint(bold, cell(e.GetKey())))
	case e.GetSocket() != nil:
		parts = append(parts, p.paint(bold, cell(e.GetSocket().GetUser())), p.paint(faint, cell(e.GetSocket().GetId())))
	default:
		parts = append(parts, p.paint(bold, cell(e.GetUser())), cell(e.GetAddress()))
	}
	if e.GetLimit() != "" {
		parts = append(parts, cell(e.GetLimit()))
	}
	if e.GetEvent() != "" {
		parts = append(parts, cell(e.GetEvent()))
	}
	if e.GetTarget() != nil {
		parts = append(parts, "to", targetWords(e.GetTarget()))
	} else if e.GetRoom() != "" {
		parts = append(parts, cell(e.GetRoom()))
	}
	return strings.Join(append(parts, "->", resultWords(e)), " ")
}

// resultWords says what became of an event.
func resultWords(e *salav1.TailEvent) string {
	o := e.GetOutcome()
	switch o.GetResult() {
	case salav1.OutcomeResult_OUTCOME_RESULT_REFUSED:
		return "refused " + cell(o.GetCode()) + ": " + line(o.GetMessage())
	case salav1.OutcomeResult_OUTCOME_RESULT_RELAYED:
		return "relayed to " + countWords(o)
	case salav1.OutcomeResult_OUTCOME_RESULT_SENT:
		return "sent to " + countWords(o)
	case salav1.OutcomeResult_OUTCOME_RESULT_HANDED_OVER:
		words := "handled by " + groupWords(o.GetGroups())
		if e.GetWantsAck() {
			words += ", the client waits for an answer"
		}
		return words
	case salav1.OutcomeResult_OUTCOME_RESULT_ANSWERED:
		return "answered after " + o.GetTook().AsDuration().Round(100_000).String()
	case salav1.OutcomeResult_OUTCOME_RESULT_DONE:
		return "done"
	case salav1.OutcomeResult_OUTCOME_RESULT_DROPPED:
		return "dropped " + messages(o.GetDropped()) + ": " + line(o.GetMessage())
	}
	return "unknown"
}

func messages(n uint32) string {
	if n == 1 {
		return "1 message"
	}
	return count(n) + " messages"
}

// countWords counts the sockets of a message.
func countWords(o *salav1.Outcome) string {
	words := sockets(o.GetQueued())
	if o.GetMatched() != o.GetQueued() {
		words += " of " + count(o.GetMatched())
	}
	if o.GetKept() > 0 {
		words += ", kept for " + count(o.GetKept())
	}
	if o.GetDropped() > 0 {
		words += ", dropped for " + count(o.GetDropped())
	}
	if o.GetOtherNodes() {
		words += " here, and to other nodes"
	}
	if o.GetPartial() {
		words += ", not all nodes reported"
	}
	return words
}

func groupWords(groups []string) string {
	names := make([]string, len(groups))
	for i, g := range groups {
		names[i] = "group " + cell(g)
		if g == "" {
			names[i] = "a backend without a group"
		}
	}
	return strings.Join(names, ", ")
}

// targetWords names whom a message was for.
func targetWords(t *salav1.EmitTarget) string {
	if t.GetEveryone() {
		return "everyone"
	}
	var names []string
	for _, part := range []struct {
		kind  string
		names []string
	}{{"room", t.GetRooms()}, {"user", t.GetUsers()}, {"socket", t.GetSockets()}} {
		for _, name := range part.names {
			names = append(names, part.kind+" "+cell(name))
		}
	}
	if t.GetMore() > 0 {
		names = append(names, count(t.GetMore())+" more")
	}
	if len(names) == 0 {
		return "-"
	}
	return strings.Join(names, ", ")
}

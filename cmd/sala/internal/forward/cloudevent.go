package forward

import (
	"encoding/json"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// contentType is that of the structured mode: the whole event is one JSON object in the body.
// https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
const contentType = "application/cloudevents+json; charset=utf-8"

// cloudEvent is an event in CloudEvents 1.0. traceparent is the extension for distributed tracing.
type cloudEvent struct {
	SpecVersion     string    `json:"specversion"`
	ID              string    `json:"id"`
	Source          string    `json:"source"`
	Type            string    `json:"type"`
	Subject         string    `json:"subject,omitempty"`
	Time            string    `json:"time,omitempty"`
	TraceParent     string    `json:"traceparent,omitempty"`
	DataContentType string    `json:"datacontenttype"`
	Data            eventData `json:"data"`
}

// eventData is a salav1.ClientEvent for programs without its proto: its arguments are JSON.
type eventData struct {
	Kind             string          `json:"kind"`
	Namespace        string          `json:"namespace"`
	Event            string          `json:"event,omitempty"`
	Args             json.RawMessage `json:"args,omitempty"`
	Attachments      [][]byte        `json:"attachments,omitempty"`
	NeedsAck         bool            `json:"needsAck"`
	NeedsDecision    bool            `json:"needsDecision"`
	Redelivered      bool            `json:"redelivered"`
	Socket           json.RawMessage `json:"socket,omitempty"`
	Room             string          `json:"room,omitempty"`
	User             string          `json:"user,omitempty"`
	Reason           string          `json:"reason,omitempty"`
	PreviousSocketID string          `json:"previousSocketId,omitempty"`
	NotRecovered     string          `json:"notRecovered,omitempty"`
}

// encode returns the body of the request for an event.
func encode(e *salav1.ClientEvent, source string) ([]byte, error) {
	kind := kindName(e)
	event := cloudEvent{
		SpecVersion:     "1.0",
		ID:              e.GetDeliveryId(),
		Source:          source,
		Type:            "sala." + kind,
		Subject:         subject(e),
		TraceParent:     e.GetTraceContext(),
		DataContentType: "application/json",
		Data: eventData{
			Kind:             kind,
			Namespace:        e.GetNamespace(),
			Event:            e.GetEvent(),
			Args:             json.RawMessage(e.GetArgsJson()),
			Attachments:      e.GetAttachments(),
			NeedsAck:         e.GetNeedsAck(),
			NeedsDecision:    e.GetNeedsDecision(),
			Redelivered:      e.GetRedelivered(),
			Room:             e.GetRoom(),
			User:             e.GetUser(),
			Reason:           e.GetReason(),
			PreviousSocketID: e.GetPreviousSocketId(),
			NotRecovered:     e.GetNotRecovered(),
		},
	}
	if e.GetTime() != nil {
		event.Time = e.GetTime().AsTime().Format(time.RFC3339Nano)
	}
	if s := e.GetSocket(); s != nil {
		body, err := encodeSocket(s)
		if err != nil {
			return nil, err
		}
		event.Data.Socket = body
	}
	return json.Marshal(event)
}

// kindName is the kind of an event as docs/events.md and the other commands write it: message.
func kindName(e *salav1.ClientEvent) string {
	return strings.ToLower(strings.TrimPrefix(e.GetKind().String(), "EVENT_KIND_"))
}

// encodeSocket is the socket as the REST API shows it, with its auth as JSON.
func encodeSocket(s *salav1.EventSocket) ([]byte, error) {
	auth := s.GetAuthJson()
	s = proto.CloneOf(s)
	s.AuthJson = ""
	body, err := protojson.Marshal(s)
	if err != nil || auth == "" {
		return body, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, err
	}
	fields["auth"] = json.RawMessage(auth)
	return json.Marshal(fields)
}

// subject is what the event is about: a socket, a user or a room.
func subject(e *salav1.ClientEvent) string {
	switch {
	case e.GetSocket().GetId() != "":
		return e.GetSocket().GetId()
	case e.GetUser() != "":
		return e.GetUser()
	}
	return e.GetRoom()
}

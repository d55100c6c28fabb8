package forward

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// Codes of the errors that clients get instead of an answer.
const (
	codeFailed      = "HANDLER_FAILED"
	codeUnavailable = "HANDLER_UNAVAILABLE"
)

// Limits of errors, as event.proto has them.
const (
	maxCodeBytes    = 255
	maxMessageBytes = 1024
)

// answer is the body with which a target answers an event. docs/events.md describes it.
type answer struct {
	Args        json.RawMessage `json:"args"`
	Attachments [][]byte        `json:"attachments"`
	Error       *problem        `json:"error"`
	Accept      *acceptance     `json:"accept"`
	Refuse      *problem        `json:"refuse"`
}

type problem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// check refuses what the broker would refuse.
func (p *problem) check() error {
	if p.Code == "" || len(p.Code) > maxCodeBytes || len(p.Message) > maxMessageBytes {
		return errors.New("an error needs a code of at most 255 bytes and a message of at most 1024")
	}
	return nil
}

type acceptance struct {
	Rooms []string        `json:"rooms"`
	Data  json.RawMessage `json:"data"`
}

func (p *problem) proto() *salav1.EventError {
	return &salav1.EventError{Code: p.Code, Message: p.Message}
}

// parseAnswer returns the request that answers an event, nil for an event that needs no answer.
func parseAnswer(e *salav1.ClientEvent, body []byte) (*salav1.SubscribeRequest, error) {
	if !e.GetNeedsAck() && !e.GetNeedsDecision() {
		return nil, nil
	}
	var a answer
	if len(bytes.TrimSpace(body)) > 0 {
		decoder := json.NewDecoder(bytes.NewReader(body))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&a); err != nil {
			return nil, errors.New("the body isn't a JSON object with the fields of an answer")
		}
		if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
			return nil, errors.New("the body has more than one JSON object")
		}
	}
	if e.GetNeedsDecision() {
		return a.decision(e)
	}
	return a.reply(e)
}

func (a *answer) reply(e *salav1.ClientEvent) (*salav1.SubscribeRequest, error) {
	switch {
	case a.Accept != nil || a.Refuse != nil:
		return nil, errors.New("the event needs args or an error, not a decision")
	case a.Error != nil && a.Args != nil:
		return nil, errors.New("the answer has both args and an error")
	case a.Error != nil:
		return replyError(e, a.Error), a.Error.check()
	}
	args := "[]"
	if a.Args != nil {
		args = strings.ToValidUTF8(string(a.Args), "\uFFFD") // otherwise gRPC ends the stream
	}
	if !strings.HasPrefix(args, "[") {
		return nil, errors.New("args must be a list")
	}
	return reply(&salav1.EventReply{DeliveryId: e.GetDeliveryId(), ArgsJson: args, Attachments: a.Attachments}), nil
}

// decision demands a clear word: a page that answers everything with 200 must not let anybody in.
func (a *answer) decision(e *salav1.ClientEvent) (*salav1.SubscribeRequest, error) {
	switch {
	case a.Args != nil || a.Error != nil:
		return nil, errors.New("the event needs accept or refuse, not args or an error")
	case (a.Accept == nil) == (a.Refuse == nil):
		return nil, errors.New("the answer must have either accept or refuse")
	case a.Refuse != nil:
		return refuse(e, a.Refuse), a.Refuse.check()
	}
	accept := &salav1.EventAccept{Rooms: a.Accept.Rooms}
	if a.Accept.Data != nil {
		accept.Data = &structpb.Value{}
		if err := protojson.Unmarshal(a.Accept.Data, accept.Data); err != nil {
			return nil, errors.New("accept.data can't be read")
		}
	}
	return decision(&salav1.EventDecision{DeliveryId: e.GetDeliveryId(), Decision: &salav1.EventDecision_Accept{Accept: accept}}), nil
}

// failure returns the request that tells the client that there is no answer, nil if it needs none.
func failure(e *salav1.ClientEvent, code string) *salav1.SubscribeRequest {
	p := &problem{Code: code, Message: "the event could not be handled"}
	switch {
	case e.GetNeedsDecision():
		return refuse(e, p)
	case e.GetNeedsAck():
		return replyError(e, p)
	}
	return nil
}

func replyError(e *salav1.ClientEvent, p *problem) *salav1.SubscribeRequest {
	return reply(&salav1.EventReply{DeliveryId: e.GetDeliveryId(), Error: p.proto()})
}

func refuse(e *salav1.ClientEvent, p *problem) *salav1.SubscribeRequest {
	return decision(&salav1.EventDecision{DeliveryId: e.GetDeliveryId(), Decision: &salav1.EventDecision_Refuse{Refuse: p.proto()}})
}

func reply(r *salav1.EventReply) *salav1.SubscribeRequest {
	return &salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Reply{Reply: r}}
}

func decision(d *salav1.EventDecision) *salav1.SubscribeRequest {
	return &salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Decision{Decision: d}}
}

package api

import (
	"fmt"
	"strconv"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/eventhub"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// eventKind maps a kind of event to its enum in the protos.
func eventKind(k eventhub.Kind) salav1.EventKind {
	switch k {
	case eventhub.Connect:
		return salav1.EventKind_EVENT_KIND_CONNECT
	case eventhub.Disconnect:
		return salav1.EventKind_EVENT_KIND_DISCONNECT
	case eventhub.Join:
		return salav1.EventKind_EVENT_KIND_JOIN
	case eventhub.Leave:
		return salav1.EventKind_EVENT_KIND_LEAVE
	case eventhub.Message:
		return salav1.EventKind_EVENT_KIND_MESSAGE
	case eventhub.RoomOpened:
		return salav1.EventKind_EVENT_KIND_ROOM_OPENED
	case eventhub.RoomClosed:
		return salav1.EventKind_EVENT_KIND_ROOM_CLOSED
	case eventhub.Away:
		return salav1.EventKind_EVENT_KIND_AWAY
	case eventhub.Resumed:
		return salav1.EventKind_EVENT_KIND_RESUMED
	case eventhub.UserOnline:
		return salav1.EventKind_EVENT_KIND_USER_ONLINE
	case eventhub.UserOffline:
		return salav1.EventKind_EVENT_KIND_USER_OFFLINE
	case eventhub.UserJoined:
		return salav1.EventKind_EVENT_KIND_USER_JOINED
	case eventhub.UserLeft:
		return salav1.EventKind_EVENT_KIND_USER_LEFT
	}
	return salav1.EventKind_EVENT_KIND_UNSPECIFIED
}

// eventKinds maps the kinds of a start. The error names those that don't exist.
func eventKinds(wanted []salav1.EventKind) ([]eventhub.Kind, error) {
	known := make(map[salav1.EventKind]eventhub.Kind)
	for _, k := range eventhub.Kinds() {
		known[eventKind(k)] = k
	}
	var kinds []eventhub.Kind
	var faults []broker.FieldViolation
	for i, w := range wanted {
		if k, ok := known[w]; ok {
			kinds = append(kinds, k)
			continue
		}
		if len(faults) < maxKindFaults {
			faults = append(faults, broker.FieldViolation{
				Field:       fmt.Sprintf("start.kinds[%d]", i),
				Description: fmt.Sprintf("%s is no kind of event; leave kinds empty for all", w),
			})
		}
	}
	if len(faults) > 0 {
		return nil, apierror.Invalid(faults...)
	}
	return kinds, nil
}

// maxKindFaults bounds how many wrong kinds an error names.
const maxKindFaults = 10

// deliveryID parses ClientEvent.delivery_id.
func deliveryID(text string) (uint64, error) {
	id, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, &broker.Error{
			Code:    broker.CodeNotFound,
			Reason:  eventhub.ReasonDeliveryNotFound,
			Message: "no event had this delivery_id; send back the one of the event, unchanged",
		}
	}
	return id, nil
}

func eventFailure(e *salav1.EventError) *eventhub.Failure {
	if e == nil {
		return nil
	}
	return &eventhub.Failure{Code: e.GetCode(), Message: e.GetMessage()}
}

// maxSocketMessages bounds a socketMessages.
const maxSocketMessages = 1024

// socketMessages caches the messages of sockets, which a stream sends with every event.
type socketMessages map[*eventhub.Socket]*salav1.EventSocket

// deliveryMessage is the message of a delivery. A stream has one for all its deliveries, since gRPC
// encodes each before it returns from Send.
type deliveryMessage struct {
	sockets  socketMessages
	response salav1.SubscribeResponse
	kind     salav1.SubscribeResponse_Event
	event    salav1.ClientEvent
	time     timestamppb.Timestamp
}

func newDeliveryMessage() *deliveryMessage {
	m := &deliveryMessage{sockets: socketMessages{}}
	m.response.Response, m.kind.Event = &m.kind, &m.event
	return m
}

// of returns the message of a delivery. It is valid until the next call.
func (m *deliveryMessage) of(d eventhub.Delivery) *salav1.SubscribeResponse {
	e, to := d.Event, &m.event
	to.DeliveryId = strconv.FormatUint(d.ID, 10)
	to.Kind = eventKind(e.Kind)
	to.Namespace = e.Namespace
	to.Socket = m.sockets.socket(e.Socket)
	to.Event = e.Name
	to.ArgsJson = string(e.Args)
	to.Attachments = e.Attachments
	to.Room = e.Room
	to.User = e.User
	to.Reason = e.Reason
	to.Time = nil
	if !e.Time.IsZero() {
		m.time.Seconds, m.time.Nanos = e.Time.Unix(), int32(e.Time.Nanosecond()) //nolint:gosec // below 1e9
		to.Time = &m.time
	}
	to.NeedsAck = d.NeedsAck
	to.NeedsDecision = d.NeedsDecision
	to.Redelivered = d.Redelivered
	to.PreviousSocketId = e.PreviousSocketID
	to.NotRecovered = e.NotRecovered
	to.TraceContext = e.TraceParent
	return &m.response
}

func (m socketMessages) socket(s *eventhub.Socket) *salav1.EventSocket {
	if s == nil {
		return nil
	}
	if known, ok := m[s]; ok {
		return known
	}
	if len(m) >= maxSocketMessages {
		clear(m)
	}
	message := &salav1.EventSocket{
		Id:          s.ID,
		User:        s.User,
		Namespace:   s.Namespace,
		AuthJson:    string(s.Auth),
		Data:        jsonValue(s.Data),
		Address:     s.Address,
		Transport:   s.Transport,
		ConnectTime: timestamp(s.ConnectTime),
	}
	m[s] = message
	return message
}

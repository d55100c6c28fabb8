package forward

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub"
)

// infoTo describes a subscription to other nodes.
func infoTo(s *eventhub.Subscription) *wire.SubscriptionInfo {
	o := s.Options()
	info := &wire.SubscriptionInfo{
		Id:         s.ID(),
		Group:      o.Group,
		Namespaces: o.Filter.Namespaces,
		Names:      o.Filter.Names,
		Decide:     o.Decide,
		Observe:    o.Observe,
		NewestKind: uint32(newestKind()),
	}
	for _, k := range o.Filter.Kinds {
		info.Kinds = append(info.Kinds, uint32(k))
	}
	return info
}

// optionsFrom returns the options of a representative, whose credits are the window.
func optionsFrom(info *wire.SubscriptionInfo) eventhub.SubscribeOptions {
	o := eventhub.SubscribeOptions{
		Group:   info.GetGroup(),
		Filter:  eventhub.Filter{Namespaces: info.GetNamespaces(), Names: info.GetNames()},
		Decide:  info.GetDecide(),
		Observe: info.GetObserve(),
		Credits: window,
	}
	for _, k := range info.GetKinds() {
		o.Filter.Kinds = append(o.Filter.Kinds, kindFrom(k))
	}
	newest := kindFrom(cmp.Or(info.GetNewestKind(), uint32(eventhub.RoomClosed)))
	if len(info.GetKinds()) == 0 && newest < newestKind() {
		o.Filter.Kinds = slices.DeleteFunc(eventhub.Kinds(), func(k eventhub.Kind) bool { return k > newest })
	}
	return o
}

// newestKind returns the kind with the highest number.
func newestKind() eventhub.Kind { return slices.Max(eventhub.Kinds()) }

func eventTo(d *eventhub.Delivery) *wire.ClientEvent {
	e := d.Event
	return &wire.ClientEvent{
		Id:            d.ID,
		Kind:          uint32(e.Kind),
		Namespace:     e.Namespace,
		Name:          e.Name,
		Room:          e.Room,
		User:          e.User,
		Reason:        e.Reason,
		Args:          e.Args,
		Attachments:   e.Attachments,
		TimeUnixNs:    e.Time.UnixNano(),
		NeedsAck:      d.NeedsAck,
		NeedsDecision: d.NeedsDecision,
		Redelivered:   d.Redelivered,

		PreviousSocketId: e.PreviousSocketID,
		NotRecovered:     e.NotRecovered,
		TraceParent:      e.TraceParent,
	}
}

func deliveryFrom(w *wire.ClientEvent, sockets []*eventhub.Socket) eventhub.Delivery {
	e := &eventhub.Event{
		Kind:        kindFrom(w.GetKind()),
		Namespace:   w.GetNamespace(),
		Name:        w.GetName(),
		Room:        w.GetRoom(),
		User:        w.GetUser(),
		Reason:      w.GetReason(),
		Args:        w.GetArgs(),
		Attachments: w.GetAttachments(),
		Time:        time.Unix(0, w.GetTimeUnixNs()),

		PreviousSocketID: w.GetPreviousSocketId(),
		NotRecovered:     w.GetNotRecovered(),
		TraceParent:      w.GetTraceParent(),
	}
	if i := int(w.GetSocket()); i > 0 && i <= len(sockets) {
		e.Socket = sockets[i-1]
	}
	return eventhub.Delivery{
		ID:            w.GetId(),
		Event:         e,
		NeedsAck:      w.GetNeedsAck(),
		NeedsDecision: w.GetNeedsDecision(),
		Redelivered:   w.GetRedelivered(),
	}
}

// kindFrom returns a kind. A number that isn't known here yields a kind that isn't valid.
func kindFrom(number uint32) eventhub.Kind {
	return eventhub.Kind(min(number, math.MaxUint8))
}

func answerTo(subscription uint64, a *eventhub.Answer) *wire.EventAnswer {
	w := &wire.EventAnswer{Subscription: subscription, Id: a.ID}
	if a.IsDecision {
		w.Answer = &wire.EventAnswer_Decision{Decision: &wire.ConnectDecision{
			Refusal: failureTo(a.Decision.Refusal), Rooms: a.Decision.Rooms, Data: a.Decision.Data,
		}}
	} else {
		w.Answer = &wire.EventAnswer_Reply{Reply: &wire.AckReply{
			Error: failureTo(a.Reply.Error), Args: a.Reply.Args, Attachments: a.Reply.Attachments,
		}}
	}
	return w
}

func answerFrom(w *wire.EventAnswer) eventhub.Answer {
	a := eventhub.Answer{ID: w.GetId()}
	if d := w.GetDecision(); d != nil {
		a.IsDecision = true
		a.Decision = eventhub.Decision{Refusal: failureFrom(d.GetRefusal()), Rooms: d.GetRooms(), Data: d.GetData()}
		return a
	}
	r := w.GetReply()
	a.Reply = eventhub.Reply{Error: failureFrom(r.GetError()), Args: r.GetArgs(), Attachments: r.GetAttachments()}
	return a
}

func failureTo(f *eventhub.Failure) *wire.EventFailure {
	if f == nil {
		return nil
	}
	return &wire.EventFailure{Code: f.Code, Message: f.Message}
}

func failureFrom(w *wire.EventFailure) *eventhub.Failure {
	if w == nil {
		return nil
	}
	return &eventhub.Failure{Code: w.GetCode(), Message: w.GetMessage()}
}

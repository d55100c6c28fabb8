package broker_test

import (
	"strings"
	"testing"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/token"
)

// TestBrokerEventsAreReserved: nobody else can send an event that looks like the
// broker's own, such as sala:disconnect.
func TestBrokerEventsAreReserved(t *testing.T) {
	node := brokertest.Start(t, chat())
	c := node.JoinAs(node.Token("ana", broker.Permissions{Rooms: []string{"a"}, Publish: []string{"**"}, Broadcast: true}))
	for _, event := range []string{"sala:disconnect", "sala:", "sala:anything"} {
		m := broker.Message{Event: event}
		target := broker.Target{Rooms: []string{"a"}}
		_, err := node.Emit(t.Context(), target, m)
		wantReason(t, err, broker.CodeInvalidArgument, broker.ReasonInvalidArgument)
		_, err = node.Emit(t.Context(), broker.Target{Everyone: true}, m)
		wantReason(t, err, broker.CodeInvalidArgument, broker.ReasonInvalidArgument)
		_, err = node.EmitWithAck(t.Context(), target, m, broker.AckOptions{}, func(broker.Ack) error { return nil })
		wantReason(t, err, broker.CodeInvalidArgument, broker.ReasonInvalidArgument)
		_, err = node.ClearRoom(t.Context(), broker.ClearRoom{Room: "a", Notice: &m})
		wantReason(t, err, broker.CodeInvalidArgument, broker.ReasonInvalidArgument)
		if got := c.Call(event, "x"); !strings.Contains(got, `"code":"INVALID_ARGUMENT"`) {
			t.Errorf("a client's %s: %s", event, got)
		}
		for name, o := range map[string]broker.Options{
			"relayed":    {Relay: []broker.RelayRule{{Event: event, To: broker.RelayToBroadcast}}},
			"relayed as": {Relay: []broker.RelayRule{{Event: "x", Emit: event, To: broker.RelayToRoom}}},
			"join":       {Rooms: broker.RoomEvents{JoinEvent: event}},
			"leave":      {Rooms: broker.RoomEvents{LeaveEvent: event}},
			"announced":  {Rooms: broker.RoomEvents{Announce: &broker.Announcement{Event: event, Joined: "x"}}},
		} {
			o.Tokens = brokertest.Keyring(t, token.Options{})
			_, err := broker.New(o)
			if err == nil {
				t.Errorf("%s is %s", event, name)
				continue
			}
			wantReason(t, err, broker.CodeInvalidArgument, broker.ReasonInvalidArgument)
		}
	}
	for _, event := range []string{"sala", "salad:x", "Sala:x", "x:sala:"} {
		if _, err := node.Emit(t.Context(), broker.Target{Rooms: []string{"a"}}, broker.Message{Event: event}); err != nil {
			t.Errorf("%s: %v", event, err)
		}
		c.Expect(event, "[]")
	}
	c.ExpectNothing()
}

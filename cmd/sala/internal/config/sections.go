package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/history"
	"github.com/salabroker/sala/broker/room"
)

// Sections are the settings that only the YAML file can contain.
type Sections struct {
	// Anonymous are the permissions of clients without a token.
	Anonymous *Permissions `yaml:"anonymous,omitempty"`
	// DefaultPermissions are the permissions of tokens that were issued elsewhere and carry none
	// of Sala's.
	DefaultPermissions *Permissions `yaml:"default_permissions,omitempty"`
	// Relay forwards events from clients to other clients.
	Relay []RelayRule `yaml:"relay,omitempty"`
	// History gives rooms a history.
	History []HistoryRule `yaml:"history,omitempty"`
	// Rooms names the events with which clients join and leave rooms.
	Rooms Rooms `yaml:"rooms"`
}

// Permissions is [broker.Permissions] in the file.
type Permissions struct {
	Namespaces []string `yaml:"namespaces,omitempty,flow"`
	Rooms      []string `yaml:"rooms,omitempty,flow"`
	Join       []string `yaml:"join,omitempty,flow"`
	Publish    []string `yaml:"publish,omitempty,flow"`
	History    []string `yaml:"history,omitempty,flow"`
	Presence   []string `yaml:"presence,omitempty,flow"`
	Broadcast  bool     `yaml:"broadcast"`
}

// RelayRule is [broker.RelayRule] in the file.
type RelayRule struct {
	Event     string `yaml:"event"`
	Emit      string `yaml:"emit,omitempty"`
	To        string `yaml:"to"`
	RoomField string `yaml:"room_field,omitempty"`
	// IncludeSender overrides the default of To if it is set.
	IncludeSender *bool `yaml:"include_sender,omitempty"`
	Conflate      bool  `yaml:"conflate,omitempty"`
	SkipHistory   bool  `yaml:"skip_history,omitempty"`
	// Args replace the client's arguments if they are set.
	Args *[]any `yaml:"args,omitempty,flow"`
	// Ack is the answer to the client's ack if it is set.
	Ack any `yaml:"ack,omitempty,flow"`
}

// HistoryRule is [history.Rule] in the file.
type HistoryRule struct {
	Namespace string `yaml:"namespace,omitempty"`
	Rooms     string `yaml:"rooms"`
	Messages  int    `yaml:"messages"`
	TTL       string `yaml:"ttl"`
}

// Rooms is [broker.RoomEvents] in the file.
type Rooms struct {
	JoinEvent  string    `yaml:"join_event"`
	LeaveEvent string    `yaml:"leave_event"`
	Announce   *Announce `yaml:"announce,omitempty"`
	// PresenceEvent and PresenceRooms are those of [broker.RoomEvents].
	PresenceEvent string   `yaml:"presence_event,omitempty"`
	PresenceRooms []string `yaml:"presence_rooms,omitempty,flow"`
}

// Announce is [broker.Announcement] in the file.
type Announce struct {
	Event  string `yaml:"event"`
	Joined string `yaml:"joined,omitempty"`
	Left   string `yaml:"left,omitempty"`
}

func defaultSections() Sections {
	return Sections{Rooms: Rooms{JoinEvent: "join", LeaveEvent: "leave"}}
}

// applyDevDefaults adds the defaults of --dev where the file has no setting, so that clients can
// talk to each other in the console.
func (s *Sections) applyDevDefaults() {
	if s.Relay == nil {
		s.Relay = []RelayRule{
			{Event: "my_event", Emit: "my_response", To: string(broker.RelayToRoom)},
			{Event: "shout", Emit: "my_response", To: string(broker.RelayToBroadcast)},
		}
	}
	if s.Rooms.Announce == nil {
		s.Rooms.Announce = &Announce{
			Event:  "message",
			Joined: "{username} has joined the room {room}.",
			Left:   "{username} has left the room {room}.",
		}
	}
}

// sectionKeys are the keys of [Sections].
func sectionKeys() map[string]bool {
	keys := make(map[string]bool)
	t := reflect.TypeFor[Sections]()
	for i := range t.NumField() {
		keys[yamlName(t.Field(i))] = true
	}
	return keys
}

func (p *Permissions) toBroker() broker.Permissions {
	if p == nil {
		return broker.Permissions{}
	}
	return broker.Permissions(*p)
}

// relay returns the rules. A value that JSON can't represent is a problem.
func (s *Sections) relay(p *problems) []broker.RelayRule {
	rules := make([]broker.RelayRule, len(s.Relay))
	for i, r := range s.Relay {
		rules[i] = broker.RelayRule{
			Event: r.Event, Emit: r.Emit, To: broker.RelayScope(r.To), RoomField: r.RoomField, IncludeSender: r.IncludeSender, Conflate: r.Conflate, SkipHistory: r.SkipHistory,
		}
		if r.Args != nil {
			rules[i].Args = jsonText(p, fmt.Sprintf("relay[%d].args", i), *r.Args)
		}
		if r.Ack != nil {
			rules[i].Ack = jsonText(p, fmt.Sprintf("relay[%d].ack", i), r.Ack)
		}
	}
	return rules
}

// jsonText encodes the value at key as JSON.
func jsonText(p *problems, key string, value any) json.RawMessage {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		p.addf("%s: clients get JSON, which can't represent this value: %s", key, err)
		return nil
	}
	return bytes.TrimSpace(text.Bytes())
}

// history returns the rules, nil if there are none. A TTL that isn't a duration is a problem.
func (s *Sections) history(p *problems) *broker.HistoryOptions {
	if len(s.History) == 0 {
		return nil
	}
	rules := make(history.Rules, len(s.History))
	for i, r := range s.History {
		ttl, err := parseDuration(r.TTL)
		switch {
		case r.TTL == "":
			p.addf("history[%d].ttl: is missing; it is how long a message is kept, for example 5m", i)
		case err != nil:
			p.addf("history[%d].ttl: %s", i, err)
		}
		rules[i] = history.Rule{Namespace: r.Namespace, Rooms: room.Pattern(r.Rooms), Messages: r.Messages, TTL: ttl}
	}
	return &broker.HistoryOptions{Rules: rules}
}

func (s *Sections) roomEvents() broker.RoomEvents {
	events := broker.RoomEvents{
		JoinEvent: s.Rooms.JoinEvent, LeaveEvent: s.Rooms.LeaveEvent,
		PresenceEvent: s.Rooms.PresenceEvent, PresenceRooms: s.Rooms.PresenceRooms,
	}
	if s.Rooms.Announce != nil {
		announcement := broker.Announcement(*s.Rooms.Announce)
		events.Announce = &announcement
	}
	return events
}

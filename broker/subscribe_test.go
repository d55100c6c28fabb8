package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"

	"github.com/salabroker/sala/broker/events"
)

// fieldsOf returns the fields that an error names, "" for no error.
func fieldsOf(err error) string {
	if err == nil {
		return ""
	}
	var failed *Error
	if !errors.As(err, &failed) || failed.Code != CodeInvalidArgument || failed.Reason != ReasonInvalidArgument {
		return fmt.Sprint("no violation: ", err)
	}
	var fields []string
	for _, f := range failed.Fields {
		fields = append(fields, f.Field)
	}
	return strings.Join(fields, " ")
}

func TestSubscribeOptions(t *testing.T) {
	b := &Broker{namespaceNames: []string{"/", "/chat"}, events: events.New(events.Options{})}
	defer func() { _ = b.events.Close(t.Context()) }()
	long := strings.Repeat("n", 256)
	for _, tt := range []struct {
		name    string
		options SubscribeOptions
		fields  string
	}{
		{"nothing", SubscribeOptions{}, ""},
		{"all", SubscribeOptions{Group: "g", Namespaces: []string{"/chat"}, Events: []string{"e"}, Kinds: []events.Kind{events.Message, events.Connect}, Credits: 100_000, Decide: true}, ""},
		{"names", SubscribeOptions{Group: long, Namespaces: []string{"/", "/nope"}, Events: []string{""}}, "group namespaces[1] events[0]"},
		{"many", SubscribeOptions{Events: make([]string, maxTargets+1)}, "events"},
		{"no messages", SubscribeOptions{Events: []string{"e"}, Kinds: []events.Kind{events.Join}}, "events"},
		{"credits", SubscribeOptions{Credits: 100_001}, "credits"},
		{"decides without connect", SubscribeOptions{Decide: true, Kinds: []events.Kind{events.Join}}, "decide"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sub, err := b.Subscribe(tt.options)
			if got := fieldsOf(err); got != tt.fields {
				t.Errorf("the fields at fault are %q, want %q", got, tt.fields)
			}
			if err == nil {
				sub.Close()
			}
		})
	}
}

// subscription returns one of a hub that decides, and the hub.
func subscription(t *testing.T) (*Subscription, *events.Hub) {
	t.Helper()
	hub := events.New(events.Options{})
	sub, err := hub.Subscribe(events.Start{Decide: true, Credits: 100})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		sub.Close()
		if err := hub.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return NewSubscription(sub, MessageLimits{Bytes: 1000, Attachments: 64}), hub
}

func takeOne(t *testing.T, sub *Subscription) events.Delivery {
	t.Helper()
	<-sub.Ready()
	var into [1]events.Delivery
	if n, err := sub.Take(into[:]); n != 1 || err != nil {
		t.Fatalf("Take = %d, %v", n, err)
	}
	return into[0]
}

func TestReplyIsChecked(t *testing.T) {
	sub, hub := subscription(t)
	replies := make(chan events.Reply, 1)
	hub.Ask(&events.Event{Kind: events.Message, Namespace: "/", Name: "e"}, func(r events.Reply) { replies <- r })
	id := takeOne(t, sub).ID
	for _, tt := range []struct {
		reply  events.Reply
		fields string
	}{
		{events.Reply{Args: json.RawMessage(`{}`)}, "args"},
		{events.Reply{Args: json.RawMessage(`["` + strings.Repeat("x", 1000) + `"]`)}, "args"},
		{events.Reply{Attachments: [][]byte{{1}}}, "attachments"},
		{events.Reply{Error: &events.Failure{}}, "error.code"},
		{events.Reply{Error: &events.Failure{Code: "NO", Message: strings.Repeat("x", 1025)}, Args: json.RawMessage(`[]`)}, "error.message error"},
		{events.Reply{Args: json.RawMessage(`[{"_placeholder":true,"num":0}]`), Attachments: [][]byte{{1}}}, ""},
	} {
		if got := fieldsOf(sub.Reply(id, tt.reply)); got != tt.fields {
			t.Errorf("%+v: the fields at fault are %q, want %q", tt.reply, got, tt.fields)
		}
	}
	if r := <-replies; r.Error != nil || len(r.Attachments) != 1 {
		t.Errorf("the reply is %+v", r)
	}
}

func TestDecisionIsChecked(t *testing.T) {
	sub, hub := subscription(t)
	decided := make(chan events.Decision, 1)
	go func() {
		d, err := hub.Decide(&events.Event{Kind: events.Connect, Namespace: "/"}, nil)
		if err != nil {
			t.Error(err)
		}
		decided <- d
	}()
	id := takeOne(t, sub).ID
	for _, tt := range []struct {
		decision events.Decision
		fields   string
	}{
		{events.Decision{Refusal: &events.Failure{Message: "why"}}, "refuse.code"},
		{events.Decision{Rooms: []string{"a", ""}, Data: json.RawMessage(`{`)}, "accept.rooms[1] accept.data"},
		{events.Decision{Rooms: make([]string, 101), Data: json.RawMessage(strings.Repeat(" ", 4097))}, "accept.rooms accept.data"},
		{events.Decision{Rooms: []string{"a"}, Data: json.RawMessage(`1`)}, ""},
	} {
		if got := fieldsOf(sub.Decide(id, tt.decision)); got != tt.fields {
			t.Errorf("%+v: the fields at fault are %q, want %q", tt.decision, got, tt.fields)
		}
	}
	if d := <-decided; !slices.Equal(d.Rooms, []string{"a"}) || string(d.Data) != "1" {
		t.Errorf("the decision is %+v", d)
	}
}

// Every reason of the hub has a class.
func TestReasonsOfEvents(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "events/errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	reasons := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Reason") {
			return true
		}
		reasons++
		reason := strings.Trim(spec.Values[0].(*ast.BasicLit).Value, `"`)
		var failed *Error
		if !errors.As(eventsError(&events.Error{Reason: reason, Message: "m"}), &failed) || failed.Code == CodeInternal || failed.Reason != reason {
			t.Errorf("%s becomes %+v", reason, failed)
		}
		return true
	})
	if reasons < 10 {
		t.Errorf("only %d reasons were found", reasons)
	}
}

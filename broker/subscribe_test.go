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

	"github.com/salabroker/sala/broker/eventhub"
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
	b := &Broker{namespaceNames: []string{"/", "/chat"}, events: eventhub.New(eventhub.Options{})}
	defer func() { _ = b.events.Close(t.Context()) }()
	long := strings.Repeat("n", 256)
	for _, tt := range []struct {
		name    string
		options SubscribeOptions
		fields  string
	}{
		{"nothing", SubscribeOptions{}, ""},
		{"all", SubscribeOptions{Group: "g", Namespaces: []string{"/chat"}, Events: []string{"e"}, Kinds: []eventhub.Kind{eventhub.Message, eventhub.Connect}, Credits: 100_000, Decide: true}, ""},
		{"names", SubscribeOptions{Group: long, Namespaces: []string{"/", "/nope"}, Events: []string{""}}, "group namespaces[1] events[0]"},
		{"many", SubscribeOptions{Events: make([]string, maxTargets+1)}, "events"},
		{"no messages", SubscribeOptions{Events: []string{"e"}, Kinds: []eventhub.Kind{eventhub.Join}}, "events"},
		{"credits", SubscribeOptions{Credits: 100_001}, "credits"},
		{"decides without connect", SubscribeOptions{Decide: true, Kinds: []eventhub.Kind{eventhub.Join}}, "decide"},
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
func subscription(t *testing.T) (*Subscription, *eventhub.Hub) {
	t.Helper()
	hub := eventhub.New(eventhub.Options{})
	sub, err := hub.Subscribe(eventhub.SubscribeOptions{Decide: true, Credits: 100})
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

func takeOne(t *testing.T, sub *Subscription) eventhub.Delivery {
	t.Helper()
	<-sub.Ready()
	var into [1]eventhub.Delivery
	if n, err := sub.Take(into[:]); n != 1 || err != nil {
		t.Fatalf("Take = %d, %v", n, err)
	}
	return into[0]
}

func TestReplyIsChecked(t *testing.T) {
	sub, hub := subscription(t)
	replies := make(chan eventhub.Reply, 1)
	hub.Ask(&eventhub.Event{Kind: eventhub.Message, Namespace: "/", Name: "e"}, func(r eventhub.Reply) { replies <- r })
	id := takeOne(t, sub).ID
	for _, tt := range []struct {
		reply  eventhub.Reply
		fields string
	}{
		{eventhub.Reply{Args: json.RawMessage(`{}`)}, "args"},
		{eventhub.Reply{Args: json.RawMessage(`["` + strings.Repeat("x", 1000) + `"]`)}, "args"},
		{eventhub.Reply{Attachments: [][]byte{{1}}}, "attachments"},
		{eventhub.Reply{Error: &eventhub.Failure{}}, "error.code"},
		{eventhub.Reply{Error: &eventhub.Failure{Code: "NO", Message: strings.Repeat("x", 1025)}, Args: json.RawMessage(`[]`)}, "error.message error"},
		{eventhub.Reply{Args: json.RawMessage(`[{"_placeholder":true,"num":0}]`), Attachments: [][]byte{{1}}}, ""},
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
	decided := make(chan eventhub.Decision, 1)
	go func() {
		d, err := hub.Decide(&eventhub.Event{Kind: eventhub.Connect, Namespace: "/"}, nil)
		if err != nil {
			t.Error(err)
		}
		decided <- d
	}()
	id := takeOne(t, sub).ID
	for _, tt := range []struct {
		decision eventhub.Decision
		fields   string
	}{
		{eventhub.Decision{Refusal: &eventhub.Failure{Message: "why"}}, "refuse.code"},
		{eventhub.Decision{Rooms: []string{"a", ""}, Data: json.RawMessage(`{`)}, "accept.rooms[1] accept.data"},
		{eventhub.Decision{Rooms: make([]string, 101), Data: json.RawMessage(strings.Repeat(" ", 4097))}, "accept.rooms accept.data"},
		{eventhub.Decision{Rooms: []string{"a"}, Data: json.RawMessage(`1`)}, ""},
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
	file, err := parser.ParseFile(token.NewFileSet(), "eventhub/errors.go", nil, 0)
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
		if !errors.As(eventsError(&eventhub.Error{Reason: reason, Message: "m"}), &failed) || failed.Code == CodeInternal || failed.Reason != reason {
			t.Errorf("%s becomes %+v", reason, failed)
		}
		return true
	})
	if reasons < 10 {
		t.Errorf("only %d reasons were found", reasons)
	}
}

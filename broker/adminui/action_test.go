package adminui

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/salabroker/sala/broker/eventhub"
)

func TestRequests(t *testing.T) {
	m := newMirror()
	one, other := socketOf("a"), socketOf("b")
	other.Namespace = "/chat"
	m.reconcile([]eventhub.Socket{one, other}, true)
	s := New(Options{})
	s.mirror = m
	for _, tt := range []struct{ event, args, want string }{
		{"join", `["/","chat","a"]`, `join chat [{/ false [] [a]}]`},
		{"join", `["/","chat","lobby"]`, `join chat [{/ false [lobby] []}]`},
		{"join", `["/","chat"]`, `join chat [{/ true [] []}]`},
		{"join", `["/chat","chat","a"]`, `join chat [{/chat false [a] []}]`},
		{"leave", `["/","chat",null]`, `leave chat [{/ false [chat] []}]`},
		{"leave", `["/","chat","a"]`, `leave chat [{/ false [] [a]}]`},
		{"_disconnect", `["/",false,"a"]`, `disconnect [{/ false [] [a]}]`},
		{"_disconnect", `["/",true,"chat"]`, `disconnect [{/ false [chat] []}]`},
		{"_disconnect", `["/",false]`, `disconnect [{/ true [] []}]`},
		{"emit", `["/","chat","news",1e400,{"b":1}]`, `emit news [1e400,{"b":1}] [{/ false [chat] []}]`},
		{"emit", `["/",null,"news"]`, `emit news [] [{/ true [] []}]`},
	} {
		r, err := parseRequest(tt.event, json.RawMessage(tt.args))
		if err != nil {
			t.Errorf("%s %s: %v", tt.event, tt.args, err)
			continue
		}
		got := map[ActionKind]string{Emit: "emit ", Join: "join ", Leave: "leave ", Disconnect: "disconnect "}[r.Kind]
		switch {
		case r.Room != "":
			got += r.Room + " "
		case r.Event != "":
			got += r.Event + " " + string(r.Args) + " "
		}
		var targets []string
		for _, target := range s.targets(r) {
			targets = append(targets, fmt.Sprintf("{%s %t %s %s}", target.Namespace, target.Everyone, target.Rooms, target.Sockets))
		}
		if got += fmt.Sprint(targets); got != tt.want {
			t.Errorf("%s %s: %s, want %s", tt.event, tt.args, got, tt.want)
		}
	}
	closing, err := parseRequest("_disconnect", json.RawMessage(`["/",true,"a"]`))
	if err != nil || len(s.targets(closing)) != 2 {
		t.Errorf("%v, %v: want both sockets of the connection", s.targets(closing), err)
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	for _, tt := range []struct{ event, args string }{
		{"shutdown", `["/"]`}, {"join", `[7,"chat"]`}, {"join", `["/",{}]`}, {"_disconnect", `["/","yes"]`}, {"emit", `["/","chat",7]`}, {"emit", `no`},
	} {
		if r, err := parseRequest(tt.event, json.RawMessage(tt.args)); err == nil {
			t.Errorf("%s %s: %+v, want an error", tt.event, tt.args, r)
		}
	}
}

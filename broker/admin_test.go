package broker_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/adminui"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/token"
)

// adminKeys lets those in whose key is their name, read what they may read, and have what they
// want done by the broker.
type adminKeys struct {
	sees map[string][]string // namespaces by name; all for others

	ended chan struct{} // the end of all keys; may be nil

	mu   sync.Mutex
	node *brokertest.Node
	did  []adminui.Action
}

func (k *adminKeys) SignIn(_ context.Context, name, key, _ string) (adminui.Account, error) {
	if name == "" || name != key {
		return nil, errors.New("wrong")
	}
	return adminAccount{k, name}, nil
}

func (k *adminKeys) Resume(_ context.Context, name string, digest, proof []byte, _ string) (adminui.Account, error) {
	if name == "" || !hmac.Equal((adminAccount{k, name}).Proof(digest), proof) {
		return nil, errors.New("wrong")
	}
	return adminAccount{k, name}, nil
}

type adminAccount struct {
	keys *adminKeys
	name string
}

func (a adminAccount) Name() string { return a.name }

func (a adminAccount) Proof(digest []byte) []byte {
	mac := hmac.New(sha256.New, []byte(a.name))
	mac.Write(digest)
	return mac.Sum(nil)
}

func (a adminAccount) Ended() <-chan struct{} { return a.keys.ended }

func (a adminAccount) Sees(namespace string) bool {
	names, limited := a.keys.sees[a.name]
	return !limited || strings.Contains(strings.Join(names, " ")+" ", namespace+" ")
}

func (a adminAccount) SeesEvents(namespace string) bool { return a.Sees(namespace) }
func (a adminAccount) Acts() bool                       { return a.name != "reader" }
func (a adminAccount) Emits() bool                      { return a.name != "reader" }

func (a adminAccount) Do(ctx context.Context, action adminui.Action) (err error) {
	a.keys.mu.Lock()
	a.keys.did = append(a.keys.did, action)
	node := a.keys.node
	a.keys.mu.Unlock()
	switch action.Kind {
	case adminui.Emit:
		_, err = node.Emit(ctx, action.Target, broker.Message{Event: action.Event, Args: action.Args})
	case adminui.Join:
		_, err = node.Broker.Join(ctx, action.Target, []string{action.Room})
	case adminui.Leave:
		_, err = node.Leave(ctx, action.Target, []string{action.Room})
	case adminui.Disconnect:
		_, err = node.Disconnect(ctx, action.Target, "")
	}
	return err
}

// withAdmin returns options with the Admin UI.
func withAdmin(keys *adminKeys) broker.Options {
	return broker.Options{
		Namespaces: []string{"/", "/chat"},
		AdminUI:    &broker.AdminUIOptions{Keys: keys},
		Rooms:      broker.RoomEvents{JoinEvent: "join", LeaveEvent: "leave"},
	}
}

// page is the page of an admin.
type page struct {
	*brokertest.Client
	t *testing.T
}

// signIn signs in with a name, and returns the page and its session.
func signIn(t *testing.T, node *brokertest.Node, name string) (p page, session string) {
	t.Helper()
	p = page{node.Dial(nil), t}
	if answer := p.Connect(adminui.Namespace, map[string]string{"username": name, "password": name}); !strings.HasPrefix(answer, "40/admin,{") {
		t.Fatalf("signing in is answered with %s", answer)
	}
	e := p.Next() // right after the CONNECT: before it, the page would miss it
	if _, err := fmt.Sscanf(e.Args, "[%q]", &session); e.Name != "session" || err != nil {
		t.Fatalf("the first event is %s %s, %v; want the session", e.Name, e.Args, err)
	}
	return p, session
}

// await returns the arguments of the next event with the name whose arguments contain the words.
func (p page) await(name string, words ...string) string {
	p.t.Helper()
	for {
		e := p.Next()
		found := e.Namespace == adminui.Namespace && e.Name == name
		for _, word := range words {
			found = found && strings.Contains(e.Args, word)
		}
		if found {
			return e.Args
		}
	}
}

func TestAdminSignsIn(t *testing.T) {
	node := brokertest.Start(t, withAdmin(&adminKeys{}))
	const refused = `44/admin,{"message":"invalid credentials","data":{"code":"ADMIN_REFUSED","message":"invalid credentials"}}`
	stranger := node.Dial(nil)
	for _, auth := range []any{
		nil, map[string]string{"username": "ops", "password": "wrong"}, map[string]string{"token": node.Token("ana", brokertest.Everything)},
		map[string]string{"sessionId": "made up"}, map[string]int{"username": 7},
	} {
		if answer := stranger.Connect(adminui.Namespace, auth); answer != refused {
			t.Errorf("%v is answered with %s, want %s", auth, answer, refused)
		}
	}
	ops, session := signIn(t, node, "ops")
	if got, want := ops.await("config"), `[{"supportedFeatures":["EMIT","JOIN","LEAVE","DISCONNECT","MJOIN","MLEAVE","MDISCONNECT","AGGREGATED_EVENTS","ALL_EVENTS"]}]`; got != want {
		t.Errorf("the config is %s, want %s", got, want)
	}
	reader, _ := signIn(t, node, "reader")
	if got, want := reader.await("config"), `[{"supportedFeatures":["AGGREGATED_EVENTS","ALL_EVENTS"]}]`; got != want {
		t.Errorf("the config of a reader is %s, want %s", got, want)
	}
	again := page{node.Dial(nil), t}
	if answer := again.Connect(adminui.Namespace, map[string]string{"sessionId": session}); !strings.HasPrefix(answer, "40/admin,{") {
		t.Errorf("the session is answered with %s", answer)
	}
	if e := again.Next(); e.Name == "session" {
		t.Error("a session begins another one")
	}
	again.await("all_sockets")
}

// Without the option there is no such namespace, and with it none for clients.
func TestAdminNamespace(t *testing.T) {
	plain := brokertest.Start(t, broker.Options{})
	auth := map[string]string{"username": "ops", "password": "ops"}
	if answer := plain.Dial(nil).Connect(adminui.Namespace, auth); !strings.Contains(answer, "Invalid namespace") {
		t.Errorf("without the option the answer is %s", answer)
	}
	o := withAdmin(&adminKeys{})
	o.Tokens = brokertest.Keyring(t, token.Options{})
	o.Namespaces = append(o.Namespaces, adminui.Namespace)
	if _, err := broker.New(o); err == nil || !strings.Contains(err.Error(), "namespaces[2]") {
		t.Errorf("the namespace is listed for clients too: %v", err)
	}
}

// An admin isn't a client: it isn't counted, listed or reached, and has no other namespace.
func TestAdminIsNoClient(t *testing.T) {
	node := brokertest.Start(t, withAdmin(&adminKeys{}))
	ops, _ := signIn(t, node, "ops")
	stats := ops.await("server_stats")
	if !strings.Contains(stats, `"clientsCount":0`) || !strings.Contains(stats, `{"name":"/","socketsCount":0}`) || strings.Contains(stats, "/admin") {
		t.Errorf("the stats count the admin: %s", stats)
	}
	list, err := node.ListSockets(t.Context(), broker.SocketQuery{})
	if err != nil || len(list.Sockets) > 0 {
		t.Errorf("the sockets are %v, %v", list, err)
	}
	report, err := node.Emit(t.Context(), broker.Target{Everyone: true}, broker.Message{Event: "news"})
	if err != nil || report.Matched > 0 {
		t.Errorf("a broadcast reaches %+v, %v", report, err)
	}
	token := map[string]string{"token": node.Token("ana", brokertest.Everything)}
	ops.Send("40" + `{"token":"` + token["token"] + `"}`)
	if answer := ops.Await("44{"); !strings.Contains(answer, "NAMESPACE_DENIED") {
		t.Errorf("an admin's connect to a namespace is answered with %s", answer)
	}
	ana := node.Join("ana")
	ana.Send(`40/admin,{"username":"ops","password":"ops"}`)
	if answer := ana.Await("44/admin,"); !strings.Contains(answer, "NAMESPACE_DENIED") {
		t.Errorf("a client that signs in as well gets %s", answer)
	}
}

func TestAdminSeesClients(t *testing.T) {
	keys := &adminKeys{sees: map[string][]string{"chatter": {"/chat"}, "nobody": {}}}
	node := brokertest.Start(t, withAdmin(keys))
	ben := node.Join("ben")
	ops, _ := signIn(t, node, "ops")
	ops.await("all_sockets", ben.ID, `"user":"ben"`, `"rooms":["`+ben.ID+`"]`)
	chatter, _ := signIn(t, node, "chatter")
	if got := chatter.await("all_sockets"); got != "[[]]" {
		t.Errorf("one who sees another namespace gets %s", got)
	}
	nobody, _ := signIn(t, node, "nobody")
	if got := nobody.await("config"); strings.Contains(got, "ALL_EVENTS") {
		t.Errorf("one who sees no sockets gets %s", got)
	}
	if got := nobody.await("server_stats"); !strings.Contains(got, `"namespaces":[]`) {
		t.Errorf("one who sees no sockets gets %s", got)
	}

	ana := node.Join("ana")
	ops.await("socket_connected", ana.ID)
	ana.Call("join", "lobby")
	ops.await("room_joined", `"/","lobby","`+ana.ID)
	ana.Emit("say", "hello", 1)
	ops.await("event_received", `"/","`+ana.ID+`",["say","hello",1]`)
	ana.Call("leave", "lobby")
	ops.await("room_left", `"/","lobby","`+ana.ID)
	ana.Close()
	ops.await("room_left", `"/","`+ana.ID+`","`+ana.ID)
	ops.await("socket_disconnected", `"/","`+ana.ID)

	chat := node.Dial(nil)
	chat.Connect("/chat", map[string]string{"token": node.Token("cleo", brokertest.Everything)})
	// The page chooses a namespace from the list, which was empty so far.
	if got := chatter.await("all_sockets"); !strings.Contains(got, chat.ID) {
		t.Errorf("the first socket that one sees comes as %s", got)
	}
	if e := chatter.await("socket_connected"); !strings.Contains(e, chat.ID) {
		t.Errorf("one sees the socket of another namespace: %s", e)
	}
}

func TestAdminActs(t *testing.T) {
	keys := &adminKeys{}
	node := brokertest.Start(t, withAdmin(keys))
	keys.node = node
	ana := node.Join("ana")
	ops, _ := signIn(t, node, "ops")
	ops.await("all_sockets", ana.ID)
	ops.Send(`42/admin,["join","/","lobby","` + ana.ID + `"]`)
	ops.await("room_joined", "lobby", ana.ID)
	ops.Send(`42/admin,["emit","/","lobby","news",{"n":1e400}]`)
	ana.Expect("news", `[{"n":1e400}]`)
	ops.Send(`42/admin,["nonsense",1]`)
	ops.Send(`42/admin,["leave","/","lobby"]`)
	ops.await("room_left", "lobby", ana.ID)
	ops.Send(`42/admin,["_disconnect","/",false,"` + ana.ID + `"]`)
	ana.Skip("news")
	if e := ana.Next(); e.Name != "sala:disconnect" {
		t.Errorf("the client gets %s %s", e.Name, e.Args)
	}
	ops.await("socket_disconnected", ana.ID)
}

func TestAdminSeesAllNodes(t *testing.T) {
	nodes, _ := brokertest.StartCluster(t, 2, withAdmin(&adminKeys{}))
	here, there := nodes[0], nodes[1]
	ben := there.Join("ben")
	ops, session := signIn(t, here, "ops")
	ops.await("all_sockets", ben.ID)
	var seen []string
	for len(seen) < 2 {
		var stats []struct{ ServerID string }
		if err := json.Unmarshal([]byte(ops.await("server_stats")), &stats); err != nil {
			t.Fatal(err)
		}
		if len(seen) == 0 || seen[0] != stats[0].ServerID {
			seen = append(seen, stats[0].ServerID)
		}
	}
	ana := there.Join("ana")
	ops.await("socket_connected", ana.ID)
	ana.Call("join", "lobby")
	ops.await("room_joined", "lobby", ana.ID)

	again := page{there.Dial(nil), t}
	if answer := again.Connect(adminui.Namespace, map[string]string{"sessionId": session}); !strings.HasPrefix(answer, "40/admin,{") {
		t.Errorf("the session is answered with %s at the other node", answer)
	}
	again.await("all_sockets", ana.ID)
}

// The stats of a node say what has happened since the last.
func TestAdminSeesTraffic(t *testing.T) {
	node := brokertest.Start(t, withAdmin(&adminKeys{}))
	ops, _ := signIn(t, node, "ops")
	ops.await("server_stats")
	ana := node.Join("ana")
	ana.Call("join", "lobby")
	var got string
	for _, kind := range []string{"rawConnection", "packetsIn", "packetsOut", "bytesIn", "bytesOut"} {
		for !strings.Contains(got, kind) {
			got += ops.await("server_stats")
		}
	}
	if !strings.Contains(got, `"pollingClientsCount":0`) {
		t.Errorf("some clients use long-polling: %s", got)
	}
}

func TestAdminsAreBounded(t *testing.T) {
	node := brokertest.Start(t, withAdmin(&adminKeys{}))
	var last page
	for range 16 {
		last, _ = signIn(t, node, "ops")
	}
	more := node.Dial(nil)
	auth := map[string]string{"username": "ops", "password": "ops"}
	if answer := more.Connect(adminui.Namespace, auth); !strings.Contains(answer, "too many admins") {
		t.Errorf("one admin too many is answered with %s", answer)
	}
	last.Send("41/admin")
	deadline := time.Now().Add(10 * time.Second)
	for !strings.HasPrefix(more.Connect(adminui.Namespace, auth), "40/admin,{") {
		if time.Now().After(deadline) {
			t.Fatal("nobody may take the place of an admin who has left")
		}
		more = node.Dial(nil)
	}
}

// A page that has been told too much at once gets everything again.
func TestAdminUpdatesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := brokertest.StartInMemory(t, withAdmin(&adminKeys{}))
		ana := node.Join("ana")
		ops, _ := signIn(t, node, "ops")
		ops.await("all_sockets", ana.ID)
		var sent sync.WaitGroup
		sent.Go(func() {
			for range 2000 {
				ana.Call("join", "lobby")
				ana.Call("leave", "lobby")
			}
			ana.Call("join", "end")
		})
		updates := 0
		for {
			e := ops.Next()
			updates++
			if e.Name == "all_sockets" && strings.Contains(e.Args, `"end"`) {
				break
			}
		}
		if updates > 2000 {
			t.Errorf("the page gets %d updates, want 1000 at once, 500 a second, and the list", updates)
		}
		sent.Wait()
	})
}

func TestAdminSessionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := brokertest.StartInMemory(t, withAdmin(&adminKeys{}))
		ops, session := signIn(t, node, "ops")
		began := time.Now()
		ops.Await("41/admin")
		if lasted := time.Since(began).Round(time.Hour); lasted != 12*time.Hour {
			t.Errorf("the session has lasted %s", lasted)
		}
		if answer := node.Dial(nil).Connect(adminui.Namespace, map[string]string{"sessionId": session}); !strings.Contains(answer, "invalid credentials") {
			t.Errorf("the session that has ended is answered with %s", answer)
		}
	})
}

func TestAdminIsSignedOutWithTheKey(t *testing.T) {
	keys := &adminKeys{ended: make(chan struct{})}
	node := brokertest.Start(t, withAdmin(keys))
	ops, _ := signIn(t, node, "ops")
	left, _ := signIn(t, node, "ops")
	left.Send("41/admin")
	close(keys.ended)
	ops.Await("41/admin")
}

package api

import (
	"cmp"
	"context"
	"time"

	"github.com/salabroker/sala/api/auth"
	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/adminui"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// adminSignIn stands for signing in to the Admin UI where calls have the name of their method.
const adminSignIn = "AdminUI/SignIn"

// AdminKeys lets people sign in to the Admin UI with the server's API keys. What they do there are
// calls of the control API: the same scopes allow them, and they are counted, logged and recorded as
// those.
func (s *Server) AdminKeys() adminui.Keys { return adminKeys{s} }

// adminKeys implements [adminui.Keys].
type adminKeys struct{ s *Server }

// SignIn implements [adminui.Keys].
func (k adminKeys) SignIn(ctx context.Context, name, key, address string) (adminui.Account, error) {
	return k.signIn(ctx, address, func() (*auth.Caller, error) { return k.s.auth.SignIn(name, key, address) })
}

// Resume implements [adminui.Keys].
func (k adminKeys) Resume(ctx context.Context, name string, digest, proof []byte, address string) (adminui.Account, error) {
	return k.signIn(ctx, address, func() (*auth.Caller, error) { return k.s.auth.Resume(name, digest, proof, address) })
}

// signIn records that somebody signs in, or can't. It takes the scope to see how the nodes are
// doing, which is the least that the page shows.
func (k adminKeys) signIn(ctx context.Context, address string, find func() (*auth.Caller, error)) (adminui.Account, error) {
	c := &call{server: k.s, method: adminSignIn, start: time.Now(), peer: address}
	caller, err := find()
	if err == nil {
		c.caller = caller
		err = caller.Admit(salav1.ClusterService_ListNodes_FullMethodName)
	}
	if err != nil {
		return nil, c.end(ctx, err, nil)
	}
	c.recordAlways()
	return adminAccount{s: k.s, caller: caller, address: address}, c.end(ctx, nil, nil)
}

// recordAlways has the call recorded whatever its method, if there is an audit log.
func (c *call) recordAlways() {
	if c.server.auditLog != nil {
		c.audit = &audit{}
	}
}

// adminAccount implements [adminui.Account].
type adminAccount struct {
	s       *Server
	caller  *auth.Caller
	address string
}

// Name implements [adminui.Account].
func (a adminAccount) Name() string { return a.caller.Name() }

// Proof implements [adminui.Account].
func (a adminAccount) Proof(digest []byte) []byte { return a.caller.Proof(digest) }

// Ended implements [adminui.Account].
func (a adminAccount) Ended() <-chan struct{} { return a.caller.Ended() }

// Sees implements [adminui.Account].
func (a adminAccount) Sees(namespace string) bool {
	return a.reaches(salav1.SocketService_ListSockets_FullMethodName, namespace)
}

// SeesEvents implements [adminui.Account].
func (a adminAccount) SeesEvents(namespace string) bool {
	return a.reaches(salav1.EventService_Subscribe_FullMethodName, namespace)
}

func (a adminAccount) reaches(method, namespace string) bool {
	return a.caller.Authorize(method) == nil && a.caller.Reach(method).Namespace(namespace) == nil
}

// Acts implements [adminui.Account].
func (a adminAccount) Acts() bool {
	return a.caller.Authorize(salav1.SocketService_Join_FullMethodName) == nil
}

// Emits implements [adminui.Account].
func (a adminAccount) Emits() bool {
	return a.caller.Authorize(salav1.MessageService_Emit_FullMethodName) == nil ||
		a.caller.Authorize(salav1.MessageService_Broadcast_FullMethodName) == nil
}

// Do implements [adminui.Account].
func (a adminAccount) Do(ctx context.Context, action adminui.Action) (err error) {
	c := &call{server: a.s, method: methodOf(action), start: time.Now(), peer: a.address, caller: a.caller}
	c.recordAlways()
	c.audit.targeted(action)
	a.s.calls.Add(1)
	defer a.s.calls.Add(-1)
	defer func() { err = c.end(ctx, err, nil) }()
	if err := c.caller.Admit(c.method); err != nil {
		return err
	}
	if err := reachesAction(c.caller.Reach(c.method), action); err != nil {
		return err
	}
	matched, err := a.act(ctx, action)
	if err == nil {
		c.audit.count("matched", count(matched))
	}
	return err
}

// reachesAction returns an error unless all that an action affects is within reach.
func reachesAction(reach auth.Reach, action adminui.Action) error {
	if action.Kind == adminui.Emit {
		return reach.Target(action.Target)
	}
	return reach.Namespace(action.Target.Namespace)
}

// act carries out an action, and returns how many sockets it is about.
func (a adminAccount) act(ctx context.Context, action adminui.Action) (matched int, err error) {
	var out broker.Outcome
	switch action.Kind {
	case adminui.Emit:
		report, err := a.s.broker.Emit(ctx, action.Target, broker.Message{Event: action.Event, Args: action.Args})
		return report.Matched, err
	case adminui.Join:
		out, err = a.s.broker.Join(ctx, action.Target, []string{action.Room})
	case adminui.Leave:
		out, err = a.s.broker.Leave(ctx, action.Target, []string{action.Room})
	case adminui.Disconnect:
		out, err = a.s.broker.Disconnect(ctx, action.Target, "an operator disconnected the socket")
	}
	return out.Matched, err
}

// methodOf returns the call that does the same as an action.
func methodOf(a adminui.Action) string {
	switch {
	case a.Kind == adminui.Emit && a.Target.Everyone:
		return salav1.MessageService_Broadcast_FullMethodName
	case a.Kind == adminui.Emit:
		return salav1.MessageService_Emit_FullMethodName
	case a.Kind == adminui.Join:
		return salav1.SocketService_Join_FullMethodName
	case a.Kind == adminui.Leave:
		return salav1.SocketService_Leave_FullMethodName
	}
	return salav1.SocketService_Disconnect_FullMethodName
}

// targeted collects the target of an action.
func (a *audit) targeted(action adminui.Action) {
	if a == nil {
		return
	}
	a.target.Namespaces = []string{cmp.Or(action.Target.Namespace, "/")}
	a.target.Rooms = a.names(action.Target.Rooms)
	a.target.Sockets = a.names(action.Target.Sockets)
}

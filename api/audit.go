package api

import (
	"cmp"
	"context"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/api/auth"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// maxAudited bounds how many names of each kind a record holds.
const maxAudited = 10

// AuditLog keeps what callers of the control API have done. Record is called
// concurrently, on the way of each call, so that it must not wait.
type AuditLog interface {
	Record(r AuditRecord)
}

// AuditRecord says who did what to whom, and what came of it. It holds no token,
// no key and nothing of what is sent to clients.
type AuditRecord struct {
	Time time.Time `json:"time"`
	// Key is the name of the API key, empty if there was no valid one.
	Key string `json:"key"`
	// Peer is where the call came from.
	Peer   string      `json:"peer"`
	Method string      `json:"method"`
	Target AuditTarget `json:"target,omitzero"`
	// Code is gRPC's, such as OK, and Reason that of the error.
	Code   string `json:"code"`
	Reason string `json:"reason,omitempty"`
	// Counts are what the answer counts: matched, removed, events, …
	Counts map[string]uint32 `json:"counts,omitempty"`
}

// AuditTarget is whom or what a call was about.
type AuditTarget struct {
	Namespaces []string `json:"namespaces,omitempty"`
	Rooms      []string `json:"rooms,omitempty"`
	Users      []string `json:"users,omitempty"`
	Sockets    []string `json:"sockets,omitempty"`
	TokenID    string   `json:"tokenId,omitempty"`
	Node       string   `json:"node,omitempty"`
	Group      string   `json:"group,omitempty"`
	// More is how many names there were beyond the ten of each kind.
	More int `json:"more,omitempty"`
}

// audit collects what the record of a call says. The nil *audit, of a call that
// isn't recorded, collects nothing.
type audit struct {
	target AuditTarget
	counts map[string]uint32
}

// newAudit returns nil if nothing is to be collected of a method.
func (s *Server) newAudit(method string) *audit {
	if s.auditLog == nil || !s.isAudited(method) {
		return nil
	}
	return &audit{}
}

// isAudited reports whether a method changes something, or lets its caller
// hear what clients do.
func (s *Server) isAudited(method string) bool {
	scope, _ := auth.ScopeOf(method)
	switch scope {
	case auth.ScopeTokensIssue:
		return method != salav1.TokenService_VerifyToken_FullMethodName
	case auth.ScopeRoomsClear, auth.ScopeBroadcast, auth.ScopeSocketsWrite, auth.ScopeEvents, auth.ScopeClusterWrite:
		return true
	case auth.ScopeEmit:
		return s.emits
	case auth.ScopeRoomsRead, auth.ScopeSocketsRead, auth.ScopeClusterRead:
		return false
	}
	return false
}

// record has the call written down. What is refused for want of a key or a
// scope is written down whatever it was, but for floods, which are only counted.
func (s *Server) record(ctx context.Context, c *call, err error) {
	if s.auditLog == nil {
		return
	}
	r := AuditRecord{Time: c.start, Key: c.keyName(), Peer: cmp.Or(c.peer, peerAddress(ctx)), Method: c.method, Code: apierror.CodeName(codes.OK)}
	refused := false
	if err != nil {
		failed := apierror.Classify(err)
		r.Code, r.Reason = apierror.CodeName(failed.Code), failed.ReasonOrCode()
		refused = failed.Code == codes.Unauthenticated || failed.Code == codes.PermissionDenied
	}
	if c.audit == nil && !refused {
		return
	}
	if c.audit != nil {
		r.Target, r.Counts = c.audit.target, c.audit.counts
	}
	s.auditLog.Record(r)
}

// auditOf returns where to collect what a call is about.
func auditOf(ctx context.Context) *audit {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c.audit
	}
	return nil
}

// asked collects what a request is about.
func (a *audit) asked(req any) {
	if a == nil {
		return
	}
	switch r := req.(type) {
	case *salav1.IssueTokenRequest:
		a.target.Users = a.names([]string{r.GetUser()})
		a.target.Namespaces = a.names(r.GetNamespaces())
		a.target.Rooms = a.names(r.GetRooms())
	case *salav1.RevokeTokensRequest:
		a.target.TokenID = r.GetTokenId()
		if r.GetUser() != "" {
			a.target.Users = []string{r.GetUser()}
		}
	case *salav1.ClearRoomRequest:
		a.target.Namespaces, a.target.Rooms = []string{cmp.Or(r.GetNamespace(), "/")}, []string{r.GetRoom()}
	case *salav1.BroadcastRequest:
		a.target.Namespaces = []string{cmp.Or(r.GetNamespace(), "/")}
	case *salav1.DrainRequest:
		a.target.Node = r.GetId()
	case *salav1.SubscribeStart:
		a.target.Group, a.target.Namespaces = r.GetGroup(), a.names(r.GetNamespaces())
	case interface{ GetSelector() *salav1.Selector }:
		a.selected(r.GetSelector())
	case selection:
		a.selected(r)
	}
}

func (a *audit) selected(s selection) {
	a.target.Namespaces = []string{cmp.Or(s.GetNamespace(), "/")}
	a.target.Rooms = a.names(s.GetRooms())
	a.target.Users = a.names(s.GetUsers())
	a.target.Sockets = a.names(s.GetSockets())
}

// names returns the first of a list and notes how many are left out.
func (a *audit) names(list []string) []string {
	kept := list[:min(len(list), maxAudited)]
	a.target.More += len(list) - len(kept)
	return kept
}

// answered collects what an answer counts.
func (a *audit) answered(resp any) {
	if a == nil {
		return
	}
	switch r := resp.(type) {
	case *salav1.IssueTokenResponse:
		a.target.TokenID = r.GetTokenId()
	case *salav1.RevokeTokensResponse:
		a.count("disconnected", r.GetDisconnected())
	case *salav1.ClearRoomResponse:
		a.count("removed", r.GetRemoved())
	case *salav1.EmitBatchResponse:
		failed := 0
		for _, result := range r.GetResults() {
			if result.GetError() != nil {
				failed++
			}
		}
		a.events(len(r.GetResults()), failed)
	case *salav1.AckSummary:
		a.count("expected", r.GetExpected())
		a.count("answered", r.GetAnswered())
	case interface{ GetMatched() uint32 }:
		a.count("matched", r.GetMatched())
	}
}

// events collects how many events of several there were, and how many of them
// failed.
func (a *audit) events(all, failed int) {
	a.count("events", count(all))
	a.count("failed", count(failed))
}

func (a *audit) count(what string, n uint32) {
	if a == nil {
		return
	}
	if a.counts == nil {
		a.counts = make(map[string]uint32)
	}
	a.counts[what] = n
}

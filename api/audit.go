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

// maxAudited bounds the names of each kind in a record.
const maxAudited = 10

// AuditLog records what callers of the control API do. Record is called concurrently and
// delays the call, so it must not block.
type AuditLog interface {
	Record(r AuditRecord)
}

// AuditRecord says who called what, on which target, and with which result. It contains no
// tokens, no keys and nothing that is sent to clients.
type AuditRecord struct {
	Time time.Time `json:"time"`
	// Key is the name of the API key, empty if there was no valid one.
	Key string `json:"key"`
	// Peer is the address of the caller.
	Peer   string      `json:"peer"`
	Method string      `json:"method"`
	Target AuditTarget `json:"target,omitzero"`
	// Code is gRPC's, such as OK, and Reason that of the error.
	Code   string `json:"code"`
	Reason string `json:"reason,omitempty"`
	// Counts are the counts of the answer: matched, removed, events, …
	Counts map[string]uint32 `json:"counts,omitempty"`
}

// AuditTarget is what a call affects.
type AuditTarget struct {
	Namespaces []string `json:"namespaces,omitempty"`
	Rooms      []string `json:"rooms,omitempty"`
	Users      []string `json:"users,omitempty"`
	Sockets    []string `json:"sockets,omitempty"`
	TokenID    string   `json:"tokenId,omitempty"`
	Node       string   `json:"node,omitempty"`
	Group      string   `json:"group,omitempty"`
	// More is how many names were left out, beyond ten of each kind.
	More int `json:"more,omitempty"`
}

// audit collects the record of a call. The nil *audit, of a call that isn't recorded,
// collects nothing.
type audit struct {
	target AuditTarget
	counts map[string]uint32
}

// newAudit returns nil for a method that isn't recorded.
func (s *Server) newAudit(method string) *audit {
	if s.auditLog == nil || !s.isAudited(method) {
		return nil
	}
	return &audit{}
}

// isAudited reports whether a method changes something, or lets its caller see what clients
// do.
func (s *Server) isAudited(method string) bool {
	scope, _ := auth.ScopeOf(method)
	switch scope {
	case auth.ScopeTokensIssue:
		return method != salav1.TokenService_VerifyToken_FullMethodName
	case auth.ScopeRoomsClear, auth.ScopeMessagesWrite, auth.ScopeBroadcast, auth.ScopeSocketsWrite, auth.ScopeEvents, auth.ScopeClusterWrite:
		return true
	case auth.ScopeEmit:
		return s.emits
	case auth.NoScope, auth.ScopeRoomsRead, auth.ScopeMessagesRead, auth.ScopePresenceRead, auth.ScopeSocketsRead, auth.ScopeClusterRead:
		return false
	}
	return false
}

// record writes the record of a call. Calls that are refused for lack of a key or a scope
// are recorded whatever their method, except floods, which are only counted.
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

// auditOf returns the audit of the call that a service carries out.
func auditOf(ctx context.Context) *audit {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c.audit
	}
	return nil
}

// asked collects the target of a request.
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
	case *salav1.ClearMessagesRequest:
		a.target.Namespaces, a.target.Rooms = []string{cmp.Or(r.GetNamespace(), "/")}, []string{r.GetRoom()}
	case *salav1.BroadcastRequest:
		a.target.Namespaces = []string{cmp.Or(r.GetNamespace(), "/")}
	case *salav1.DrainRequest:
		a.target.Node = r.GetId()
	case *salav1.TailRequest:
		a.target.Namespaces, a.target.Users, a.target.Rooms = a.names(r.GetNamespaces()), a.names(r.GetUsers()), a.names(r.GetRooms())
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

// names returns the first names of a list and counts those left out.
func (a *audit) names(list []string) []string {
	kept := list[:min(len(list), maxAudited)]
	a.target.More += len(list) - len(kept)
	return kept
}

// answered collects the counts of an answer.
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

// events collects the number of events of a batch or stream, and how many failed.
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

package auth

import (
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1alpha"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// Scope is a group of methods that an API key may call.
type Scope string

// The scopes that an API key can have. Together they cover every method.
const (
	ScopeTokensIssue   Scope = "tokens:issue"
	ScopeRoomsRead     Scope = "rooms:read"
	ScopeRoomsClear    Scope = "rooms:clear"
	ScopeMessagesRead  Scope = "messages:read"
	ScopeMessagesWrite Scope = "messages:write"
	ScopePresenceRead  Scope = "presence:read"
	ScopeEmit          Scope = "emit"
	ScopeBroadcast     Scope = "broadcast"
	ScopeSocketsRead   Scope = "sockets:read"
	ScopeSocketsWrite  Scope = "sockets:write"
	ScopeEvents        Scope = "events"
	ScopeClusterRead   Scope = "cluster:read"
	ScopeClusterWrite  Scope = "cluster:write"
)

// NoScope stands for the scope of methods that every API key may call.
const NoScope Scope = ""

// AllScopes returns every scope, in the order of the documentation.
// The slice is the caller's.
func AllScopes() []Scope {
	return []Scope{
		ScopeTokensIssue,
		ScopeRoomsRead, ScopeRoomsClear,
		ScopeMessagesRead, ScopeMessagesWrite,
		ScopePresenceRead,
		ScopeEmit, ScopeBroadcast,
		ScopeSocketsRead, ScopeSocketsWrite,
		ScopeEvents,
		ScopeClusterRead, ScopeClusterWrite,
	}
}

// limit is how narrowly the configuration can limit a scope.
type limit uint8

const (
	limitNone      limit = iota // all or nothing
	limitNamespace              // to namespaces
	limitRooms                  // to rooms of namespaces, too
)

// limitOf returns how narrowly a scope can be limited. Scopes for users, or for sockets
// whatever rooms they are in, can't be limited to rooms.
func limitOf(s Scope) limit {
	switch s {
	case ScopeTokensIssue, ScopeRoomsRead, ScopeRoomsClear, ScopeMessagesRead, ScopeMessagesWrite, ScopePresenceRead, ScopeEmit:
		return limitRooms
	case ScopeBroadcast, ScopeSocketsRead, ScopeSocketsWrite, ScopeEvents:
		return limitNamespace
	case NoScope, ScopeClusterRead, ScopeClusterWrite:
		return limitNone
	}
	return limitNone
}

// ScopeOf returns the scope that a method needs; [NoScope] if every key may call it.
// method is its full name, such as "/sala.v1.RoomService/GetRoom". A method that isn't
// listed has none, and nobody may call it.
func ScopeOf(method string) (Scope, bool) {
	switch method {
	case salav1.KeyService_GetKey_FullMethodName:
		return NoScope, true
	case salav1.TokenService_IssueToken_FullMethodName,
		salav1.TokenService_VerifyToken_FullMethodName,
		salav1.TokenService_RevokeTokens_FullMethodName:
		return ScopeTokensIssue, true
	case salav1.RoomService_ListRooms_FullMethodName,
		salav1.RoomService_GetRoom_FullMethodName:
		return ScopeRoomsRead, true
	case salav1.RoomService_ClearRoom_FullMethodName:
		return ScopeRoomsClear, true
	case salav1.RoomService_ListMessages_FullMethodName:
		return ScopeMessagesRead, true
	case salav1.RoomService_ClearMessages_FullMethodName:
		return ScopeMessagesWrite, true
	case salav1.PresenceService_ListUsers_FullMethodName,
		salav1.PresenceService_Count_FullMethodName,
		salav1.PresenceService_Online_FullMethodName:
		return ScopePresenceRead, true
	case salav1.MessageService_Emit_FullMethodName,
		salav1.MessageService_EmitBatch_FullMethodName,
		salav1.MessageService_EmitStream_FullMethodName,
		salav1.MessageService_EmitWithAck_FullMethodName:
		return ScopeEmit, true
	case salav1.MessageService_Broadcast_FullMethodName:
		return ScopeBroadcast, true
	case salav1.SocketService_ListSockets_FullMethodName,
		salav1.SocketService_GetSocket_FullMethodName,
		salav1.ObserveService_Explain_FullMethodName,
		salav1.ObserveService_ListLimits_FullMethodName:
		return ScopeSocketsRead, true
	case salav1.SocketService_Join_FullMethodName,
		salav1.SocketService_Leave_FullMethodName,
		salav1.SocketService_Update_FullMethodName,
		salav1.SocketService_Disconnect_FullMethodName:
		return ScopeSocketsWrite, true
	case salav1.EventService_Subscribe_FullMethodName,
		salav1.ObserveService_Tail_FullMethodName:
		return ScopeEvents, true
	case salav1.ClusterService_ListNodes_FullMethodName,
		salav1.ObserveService_ListGroups_FullMethodName,
		salav1.ObserveService_GetStats_FullMethodName:
		return ScopeClusterRead, true
	case salav1.ClusterService_Drain_FullMethodName:
		return ScopeClusterWrite, true
	}
	return "", false
}

// Reads reports whether a method of the API changes nothing.
func Reads(method string) bool {
	scope, known := ScopeOf(method)
	switch scope {
	case NoScope, ScopeRoomsRead, ScopeMessagesRead, ScopePresenceRead, ScopeSocketsRead, ScopeClusterRead:
		return known
	case ScopeTokensIssue, ScopeRoomsClear, ScopeMessagesWrite, ScopeEmit, ScopeBroadcast, ScopeSocketsWrite, ScopeEvents, ScopeClusterWrite:
		return false
	}
	return false
}

// IsOpen reports whether a method needs no key. Health checkers have no keys, and
// reflection reveals nothing that isn't in the published protos.
func IsOpen(method string) bool {
	switch method {
	case grpc_health_v1.Health_Check_FullMethodName,
		grpc_health_v1.Health_List_FullMethodName,
		grpc_health_v1.Health_Watch_FullMethodName,
		grpc_reflection_v1.ServerReflection_ServerReflectionInfo_FullMethodName,
		grpc_reflection_v1alpha.ServerReflection_ServerReflectionInfo_FullMethodName:
		return true
	}
	return false
}

package broker

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/salabroker/sala/broker/engine"
	"github.com/salabroker/sala/broker/packet"
	"github.com/salabroker/sala/broker/token"
)

// admit decides whether a client may connect to a namespace. If it may, its
// session hangs on the socket; if not, the client gets connect_error with
// data {code, message}.
func (b *Broker) admit(ns *namespace, sock *socket.Socket) *socket.ExtendedError {
	claims, err := b.authenticate(ns, sock)
	if err != nil {
		b.metrics.refused(err.Reason)
		b.log.Info("client refused", "namespace", ns.name, "reason", err.Reason, "address", sock.Handshake().Address)
		if conn, ok := engine.FromSocket(sock.Conn()); ok {
			b.connections.refuse(conn)
		}
		return socket.NewExtendedError(err.Message, errorBody{Code: err.Reason, Message: err.Message})
	}
	sock.SetData(newSession(b, ns, sock, claims))
	// The token and the request have done their duty: don't keep them in memory
	// as long as the socket lives.
	*sock.Handshake() = socket.Handshake{}
	return nil
}

// errorBody is what a refused client finds in err.data, or in an ack's error.
type errorBody struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (b *Broker) authenticate(ns *namespace, sock *socket.Socket) (token.Claims, *Error) {
	if b.draining.Load() {
		return token.Claims{}, &Error{
			Code: CodeUnavailable, Reason: ReasonDraining, Message: "the broker is shutting down; reconnect in a moment",
		}
	}
	hs := sock.Handshake()
	if hs.Auth[packet.AuthTooLarge] != nil {
		return token.Claims{}, &Error{
			Code:    CodeUnauthenticated,
			Reason:  token.ReasonTooLarge,
			Message: fmt.Sprintf("what the client sent as auth is too large; a token has at most %d bytes", token.MaxBytes),
		}
	}
	claims, err := b.claimsOf(tokenOf(hs))
	if err != nil {
		return token.Claims{}, err
	}
	if len(claims.Namespaces) > 0 && !slices.Contains(claims.Namespaces, ns.name) {
		return token.Claims{}, &Error{
			Code:    CodePermissionDenied,
			Reason:  ReasonNamespaceDenied,
			Message: fmt.Sprintf("the token doesn't allow the namespace %q", ns.name),
		}
	}
	return claims, b.checkRooms(claims.Rooms)
}

// checkRooms refuses a token whose rooms could not all be joined. Tokens made
// elsewhere can name anything.
func (b *Broker) checkRooms(rooms []string) *Error {
	var v violations
	for _, room := range rooms {
		validateRoom(&v, "rooms", room)
	}
	if len(v) > 0 {
		return &Error{Code: CodeUnauthenticated, Reason: token.ReasonInvalid, Message: "the token names a room that can't exist"}
	}
	if len(rooms) > b.opts.MaxRoomsPerSocket {
		return tooManyRooms(b.opts.MaxRoomsPerSocket)
	}
	return nil
}

// claimsOf returns what the token grants or, if there is none, what clients
// without one may do.
func (b *Broker) claimsOf(raw string) (token.Claims, *Error) {
	if raw == "" && b.opts.Anonymous != nil {
		return token.Claims{Grant: b.opts.Anonymous.grant()}, nil
	}
	return b.verify(raw)
}

// tokenOf finds the token where clients put it: in auth, else in the URL, else
// in the Authorization header.
func tokenOf(hs *socket.Handshake) string {
	if raw, ok := hs.Auth["token"].(string); ok && raw != "" {
		return raw
	}
	if raw := first(hs.Query["token"]); raw != "" {
		return raw
	}
	scheme, raw, _ := strings.Cut(first(hs.Headers["Authorization"]), " ")
	if strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(raw)
	}
	return ""
}

// first returns the first of the values that the library keeps for a header
// or a query parameter.
func first(values any) string {
	if values, ok := values.([]string); ok && len(values) > 0 {
		return values[0]
	}
	return ""
}

// disconnectEvent is what a client gets before the broker disconnects it,
// since Socket.IO's own packet has no room for a reason.
const disconnectEvent = "sala:disconnect"

// reasonDisconnected is the code when a backend disconnects a socket.
const reasonDisconnected = "DISCONNECTED"

func disconnectMessage(code, reason string) Message {
	args, _ := json.Marshal([]any{map[string]string{"code": code, "reason": reason}}) // strings always encode
	return Message{Event: disconnectEvent, Args: args}
}

// untilExpiry returns how long the claims hold; ok is false if they have no
// end, as those of anonymous clients.
func untilExpiry(claims token.Claims) (left time.Duration, ok bool) {
	if claims.ExpiresAt.IsZero() {
		return 0, false
	}
	return time.Until(claims.ExpiresAt), true
}

package engineio

import (
	"encoding/json"
	"net/http"
)

// refusal is why a request is not served.
type refusal uint8

const (
	accepted refusal = iota
	unknownTransport
	unknownSession
	badHandshakeMethod
	badRequest
	unsupportedVersion
	unsupportedJSONP
	overlap
	lostRequest
	lateCopy
	alreadyUpgrading
	bodyTooLarge
	tooMuchUnfinished
	shuttingDown
)

// answer returns the HTTP status, and the code and message of the body. They are the JavaScript
// server's where it has any.
func (r refusal) answer() (status, code int, message string) {
	switch r {
	case unknownTransport:
		return http.StatusBadRequest, 0, "Transport unknown"
	case unknownSession:
		return http.StatusBadRequest, 1, "Session ID unknown"
	case badHandshakeMethod:
		return http.StatusBadRequest, 2, "Bad handshake method"
	case unsupportedVersion:
		return http.StatusBadRequest, 5, "Unsupported protocol version"
	case unsupportedJSONP:
		return http.StatusBadRequest, 3, "JSONP is not supported"
	case overlap:
		return http.StatusBadRequest, 3, "Overlapping requests"
	case lateCopy:
		return http.StatusBadRequest, 3, "This request has been answered"
	case lostRequest:
		return http.StatusBadRequest, 3, "The last request was lost"
	case bodyTooLarge:
		return http.StatusRequestEntityTooLarge, 3, "Payload too large"
	case tooMuchUnfinished:
		return http.StatusServiceUnavailable, 3, "Too much is being sent at once; try again in a moment"
	case shuttingDown:
		return http.StatusServiceUnavailable, 3, "Server shutting down"
	default:
		return http.StatusBadRequest, 3, "Bad request"
	}
}

func (r refusal) write(w http.ResponseWriter) {
	status, code, message := r.answer()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// If this fails, the client is gone.
	_ = json.NewEncoder(w).Encode(struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}{code, message})
}

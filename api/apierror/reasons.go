package apierror

// The reasons in google.rpc.ErrorInfo for which the control API itself refuses a
// request, beside those of package broker. They are part of the public contract.
const (
	ReasonAPIKeyRequired = "API_KEY_REQUIRED"
	ReasonAPIKeyInvalid  = "API_KEY_INVALID" //nolint:gosec // a word for programs, no credential
	ReasonAPIKeyChanged  = "API_KEY_CHANGED" //nolint:gosec // a word for programs, no credential
	ReasonScopeDenied    = "SCOPE_DENIED"
	ReasonRateLimited    = "RATE_LIMITED"

	ReasonTooManyRequests = "TOO_MANY_REQUESTS"
	ReasonRequestTooLarge = "REQUEST_TOO_LARGE"
	ReasonRequestTimeout  = "REQUEST_TIMEOUT"

	// Over HTTP only: with gRPC the TLS handshake fails.
	ReasonClientCertRequired = "CLIENT_CERT_REQUIRED"

	ReasonPathNotFound     = "PATH_NOT_FOUND"
	ReasonMethodNotAllowed = "METHOD_NOT_ALLOWED"
	ReasonHostDenied       = "HOST_DENIED" // the request names another host than this machine
)

package explain

// adviceFor returns what to do about a refusal. Codes that backends make up have general advice.
func adviceFor(code string) string {
	switch code {
	case "TOKEN_REQUIRED":
		return "Connect with a token: io(url, {auth: {token}})."
	case "TOKEN_EXPIRED":
		return "Get a new token before each connect: give auth as a function, and send a new token with the event \"sala:token\" before the old one expires."
	case "TOKEN_REVOKED":
		return "Issue a new token. Tokens that were issued before a revocation stay revoked."
	case "TOKEN_NOT_YET_VALID":
		return "Compare the clocks of the machine that issues tokens and of the broker."
	case "TOKEN_INVALID", "TOKEN_TOO_LARGE", "TOKEN_KEYS_UNAVAILABLE":
		return "\"sala token verify\" says what is wrong with a token; compare --jwt-secret or the public keys with the issuer's."
	case "NAMESPACE_NOT_FOUND":
		return "Start the broker with --namespace for each namespace, and compare the client's URL."
	case "NAMESPACE_DENIED":
		return "Issue a token that names the namespace, or none for all."
	case "JOIN_DENIED":
		return "Issue a token whose join patterns match the room, for example \"sala token issue --user ana --join 'chat:*'\"."
	case "PUBLISH_DENIED":
		return "Issue a token whose publish patterns match the room, for example \"sala token issue --user ana --publish 'chat:*'\"."
	case "BROADCAST_DENIED":
		return "Issue a token that allows broadcasts, or have a backend send to everyone."
	case "HISTORY_DENIED", "PRESENCE_DENIED":
		return "Issue a token whose history or presence patterns match the room."
	case "NO_HANDLER":
		return "No relay rule and no backend takes the event: compare its name with relay: in the configuration, and look whether a backend subscribes."
	case "HANDLER_TIMEOUT", "HANDLER_LOST", "HANDLER_OVERLOADED":
		return "A backend took the event and didn't answer in time: look at its log, and answer every event that has needs_ack."
	case "RATE_LIMITED", "TOO_MANY_CONNECTIONS", "TOO_MANY_NAMESPACES", "TOO_MANY_ROOMS":
		return "Send or connect less often, or raise the limit; behind a proxy, name it with --trusted-proxies so that its clients aren't one address."
	case "ORIGIN_DENIED":
		return "Allow the page's origin with --allowed-origins."
	case "UNDECIDED", "REFUSED_BY_BACKEND":
		return "A backend decides who may connect: look at its log."
	case "OVERLOADED":
		return "The node is short of memory: add nodes, or raise --memory-limit."
	case "DRAINING":
		return "The node is being replaced; clients reconnect to another one by themselves."
	}
	return "The code is the backend's or the broker's; docs/clients.md lists the broker's."
}

// adviceForDrop returns what to do about messages that were dropped.
func adviceForDrop(reason string) string {
	switch reason {
	case "queue full":
		return "Send less, use conflate keys for values that change, or raise --max-queue-bytes; let the client read the room's history for what it missed."
	case "not writable":
		return "Send messages that each client must get without volatile."
	case "too large":
		return "Send smaller messages, or raise --max-queue-bytes."
	case "closed", "undelivered":
		return "With session recovery the client gets such messages when it comes back; without, let it read the room's history."
	case "not recovered":
		return "Raise --recovery-window, --recovery-messages or --recovery-bytes, or let the client read the room's history when socket.recovered is false."
	case "overloaded":
		return adviceFor("OVERLOADED")
	}
	return "docs/operations.md lists the reasons of sala_deliveries_dropped_total."
}

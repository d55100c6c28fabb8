// Package framing refuses HTTP/1 requests of which it isn't certain where they end. A proxy in front could see the end
// elsewhere, and would then take a part of one request for the next (request smuggling, RFC 9112, 11.2).
//
// net/http accepts a request with both Content-Length and Transfer-Encoding, without telling the handler; it ignores
// Transfer-Encoding in HTTP/1.0, and joins header lines that are folded. A [Listener]'s connections follow the requests
// that are read from them and spoil such a header before net/http sees it, which answers 400 and closes the connection.
package framing

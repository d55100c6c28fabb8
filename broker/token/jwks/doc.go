// Package jwks fetches the public keys that an issuer of tokens publishes at a URL (JSON Web Key
// Set, RFC 7517).
//
// The keys come from that URL alone: neither tokens nor answers, redirects included, lead anywhere
// else. Fetched keys stay in use while the URL can't be reached.
package jwks

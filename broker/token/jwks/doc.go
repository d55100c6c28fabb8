// Package jwks keeps the public keys that an issuer of tokens publishes at a URL
// (JSON Web Key Set, RFC 7517).
//
// They are fetched from that URL alone: nothing that a token or an answer says
// leads anywhere else, redirects included. What has been fetched goes on being
// used while the URL can't be reached.
package jwks

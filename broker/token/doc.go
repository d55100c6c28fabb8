// Package token issues and verifies the JWTs that clients connect with.
//
// Tokens issued here are signed with HS256. Tokens issued elsewhere can also be verified with
// public keys, from files or from a [Source] such as package jwks. The operator chooses the claim
// that names the user, so that tokens of other issuers work as they are. What Sala lets the client
// do is in one claim of its own, "sala". A key fixes its algorithm. "exp" is required and exact;
// "nbf" and "iat" may be 30 seconds off.
//
//	raw ──► parse ──► verify the signature ──► read the claims ──► check times and revocations
//
// The claims are decoded only once the signature has been verified.
//
// A [Keyring] holds the keys: the first secret signs and all secrets verify, so that secrets can be
// rotated. Its [Revocations] are the tokens that end before they expire.
//
//	keyring.go      keys and options
//	secret.go       secrets
//	publickey.go    public keys
//	issue.go        issuing tokens
//	verify.go       verifying tokens
//	compact.go      the parts of a token
//	header.go       the header of a token
//	signature.go    finding the key that signed a token
//	hs256.go        verifying signatures by a secret
//	claims.go       what a token says
//	cache.go        tokens whose signature was verified before
//	revocations.go  revoked tokens
//	journal.go      revoked tokens on disk
package token

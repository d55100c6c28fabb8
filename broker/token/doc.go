// Package token makes and checks the JWTs with which clients connect.
//
// A token that is made here is signed with HS256; those made elsewhere may also
// be checked with public keys, which files or a [Source] such as package jwks
// have. The user stands in a claim that the operator chooses, so that tokens
// made elsewhere work as they are; what Sala lets the client do stands in one
// claim of its own, "sala". The algorithm is pinned to the key, "exp" is required
// and exact, "nbf" and "iat" may be 30 seconds off.
//
//	raw ──► parse ──► signer: secret, file or source ──► read claims ──► time, revocations
//
// A [Keyring] holds the keys: the first secret signs, all verify, which is how
// one is rotated. What has to go before it expires is in its [Revocations].
package token

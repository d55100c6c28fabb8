// Package token makes and checks the JWTs with which clients connect.
//
// A token is signed with HS256. The user stands in a claim that the operator
// chooses, so that tokens made elsewhere work as they are; what Sala lets the
// client do stands in one claim of its own, "sala". The algorithm is pinned,
// "exp" is required and exact, "nbf" and "iat" may be 30 seconds off.
//
// A [Keyring] holds the keys: the first signs, all verify, which is how a
// secret is rotated. What has to go before it expires is in its [Revocations].
package token

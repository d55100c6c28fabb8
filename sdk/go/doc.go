// Package sala is the client library of the Sala broker for backends.
package sala

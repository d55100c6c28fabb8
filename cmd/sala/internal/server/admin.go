package server

import (
	"context"

	"github.com/salabroker/sala/broker/adminui"
)

// adminKeys are the keys of the control API, which is made after the broker that needs them. Nobody
// can sign in before both are served.
type adminKeys struct{ s *Server }

// SignIn implements [adminui.Keys].
func (k adminKeys) SignIn(ctx context.Context, name, key, address string) (adminui.Account, error) {
	return k.s.api.AdminKeys().SignIn(ctx, name, key, address)
}

// Resume implements [adminui.Keys].
func (k adminKeys) Resume(ctx context.Context, name string, digest, proof []byte, address string) (adminui.Account, error) {
	return k.s.api.AdminKeys().Resume(ctx, name, digest, proof, address)
}

package api

import (
	"context"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

type keyService struct {
	salav1.UnimplementedKeyServiceServer
}

// GetKey implements salav1.KeyServiceServer.
func (keyService) GetKey(ctx context.Context, _ *salav1.GetKeyRequest) (*salav1.GetKeyResponse, error) {
	key := callOf(ctx).caller
	resp := &salav1.GetKeyResponse{}
	if key == nil { // only without a server
		return resp, nil
	}
	resp.Name = key.Name()
	for _, scope := range key.Scopes() {
		described := &salav1.KeyScope{Scope: string(scope)}
		for _, area := range key.Areas(scope) {
			described.Limits = append(described.Limits, &salav1.KeyLimit{Namespace: area.Namespace, Rooms: string(area.Rooms)})
		}
		resp.Scopes = append(resp.Scopes, described)
	}
	return resp, nil
}

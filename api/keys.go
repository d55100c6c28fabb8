package api

import (
	"log/slog"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/api/auth"
)

// What happens to keys, in the audit log, where calls have the name of their method.
const (
	keyAdded    = "Keys/Add"
	keyRescoped = "Keys/Rescope"
	keyRevoked  = "Keys/Revoke"
)

// ReplaceKeys makes keys those that the server accepts, under the conditions of [Config.Keys].
// Calls in flight finish. Streams with a revoked key end with UNAUTHENTICATED, and those with a key
// that now has other scopes or another name with UNAVAILABLE; people with such a key in the Admin UI
// are signed out. The log and the audit log have a line for each key that changes. After an error
// nothing has changed.
func (s *Server) ReplaceKeys(keys []auth.Key) error {
	changes, err := s.auth.Replace(keys)
	if err != nil {
		return err
	}
	s.recordKeys(keyAdded, "an API key was added", changes.Added)
	s.recordKeys(keyRescoped, "an API key has other scopes or another name", changes.Rescoped)
	s.recordKeys(keyRevoked, "an API key was revoked", changes.Revoked)
	return nil
}

func (s *Server) recordKeys(method, says string, names []string) {
	for _, name := range names {
		s.log.Info(says, slog.String("key", name))
		if s.auditLog != nil {
			s.auditLog.Record(AuditRecord{Time: time.Now(), Key: name, Method: method, Code: apierror.CodeName(codes.OK)})
		}
	}
}

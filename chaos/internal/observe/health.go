package observe

import (
	"context"
	"fmt"
	"net/http"

	"github.com/salabroker/sala/bench/process"
)

// Live calls a server's liveness check over a new connection.
func Live(ctx context.Context, t *process.Target) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.HTTP+"/livez", nil)
	if err != nil {
		return err
	}
	request.Close = true
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("/livez: %s", answer.Status)
	}
	return nil
}

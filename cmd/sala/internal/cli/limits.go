package cli

import (
	"context"
	"fmt"
	"io"

	"google.golang.org/grpc"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// Limits lists who has hit which limit.
type Limits struct {
	Namespace string `placeholder:"NAME" help:"List only limits that were hit in this namespace. By default, all are listed."`
	Printer
	Client
}

// Run implements the command.
func (l *Limits) Run(ctx context.Context, s *Streams) error {
	return l.call(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		res, err := salav1.NewObserveServiceClient(conn).ListLimits(ctx, &salav1.ListLimitsRequest{Namespace: l.Namespace})
		if err != nil {
			return err
		}
		return l.print(s.Out, res, func(out io.Writer) error {
			if len(res.GetLimits()) == 0 {
				fmt.Fprintln(s.Err, "nobody has hit a limit lately")
				return nil
			}
			rows := [][]string{{"LIMIT", "NAMESPACE", "USER", "ADDRESS", "COUNT", "LAST", "NODE"}}
			for _, hit := range res.GetLimits() {
				rows = append(rows, []string{hit.GetLimit(), hit.GetNamespace(), hit.GetUser(), hit.GetAddress(),
					count(hit.GetCount()), when(hit.GetLastTime()), hit.GetNode()})
			}
			return table(out, rows)
		})
	})
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// maxTokenInput bounds what is read of a token on standard input; the broker
// says what it makes of one that is too long.
const maxTokenInput = 64 << 10

// Token groups the commands about tokens.
type Token struct {
	Issue  TokenIssue  `cmd:"" default:"withargs" help:"Issue a token for a user, and print it."`
	Verify TokenVerify `cmd:"" help:"Say what a token allows, or why it is refused."`
	Revoke TokenRevoke `cmd:"" help:"Make a token, or those of a user, worthless, and disconnect who uses one."`
}

// Help is shown below the usage.
func (Token) Help() string {
	return `"sala token ana" is short for "sala token issue ana"; --join '**' --publish '**' lets her join any room and send to it. What is printed is the token alone, so that TOKEN=$(sala token ana) works.`
}

// TokenIssue issues a token.
type TokenIssue struct {
	User      string        `arg:"" help:"Who the client will be."`
	TTL       time.Duration `name:"ttl" placeholder:"DURATION" help:"How long the token lives, such as 30m; 1h if not given."`
	Room      []string      `sep:"none" placeholder:"ROOM" help:"A room that the client is in from the start. May be repeated, as may the others."`
	Join      []string      `sep:"none" placeholder:"PATTERN" help:"Rooms that the client may join, such as chat:* or ** for any."`
	Publish   []string      `sep:"none" placeholder:"PATTERN" help:"Rooms that the client may send to."`
	Broadcast bool          `help:"The client may send to everyone."`
	Namespace []string      `sep:"none" placeholder:"NAME" help:"A namespace that the client may connect to; all if none is given."`
	Data      string        `placeholder:"JSON" help:"Anything that backends want to see again with this client."`
	Printer
	Client
}

// Run implements the command.
func (t *TokenIssue) Run(ctx context.Context, s *Streams) error {
	req := &salav1.IssueTokenRequest{
		User:       t.User,
		Namespaces: t.Namespace,
		Rooms:      t.Room,
		Join:       t.Join,
		Publish:    t.Publish,
		Broadcast:  t.Broadcast,
	}
	if t.TTL != 0 {
		req.Ttl = durationpb.New(t.TTL)
	}
	if t.Data != "" {
		req.Data = &structpb.Value{}
		if err := parseJSON("--data", t.Data, req.Data); err != nil {
			return err
		}
	}
	return t.call(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		res, err := salav1.NewTokenServiceClient(conn).IssueToken(ctx, req)
		if err != nil {
			return err
		}
		// The token alone, so that TOKEN=$(sala token ana) works.
		return t.print(s.Out, res, func(out io.Writer) error {
			_, err := fmt.Fprintln(out, res.GetToken())
			return err
		})
	})
}

// TokenVerify looks at a token.
type TokenVerify struct {
	Token string `arg:"" help:"The token, or - to read it from standard input."`
	Printer
	Client
}

// Run implements the command. A token that is refused is an error.
func (t *TokenVerify) Run(ctx context.Context, s *Streams) error {
	raw := t.Token
	if raw == "-" {
		body, err := io.ReadAll(io.LimitReader(s.In, maxTokenInput))
		if err != nil {
			return fmt.Errorf("the token can't be read from standard input: %w", err)
		}
		raw = strings.TrimSpace(string(body))
	}
	return t.call(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		res, err := salav1.NewTokenServiceClient(conn).VerifyToken(ctx, &salav1.VerifyTokenRequest{Token: raw})
		if err != nil {
			return err
		}
		if err := t.print(s.Out, res, func(out io.Writer) error { return claimsTable(out, res.GetClaims()) }); err != nil {
			return err
		}
		if !res.GetValid() {
			return errors.New("the token is refused: " + res.GetReason() + ": " + res.GetMessage())
		}
		return nil
	})
}

func claimsTable(out io.Writer, c *salav1.TokenClaims) error {
	if c == nil {
		return nil
	}
	namespaces := strings.Join(c.GetNamespaces(), " ")
	if namespaces == "" {
		namespaces = "all"
	}
	return table(out, [][]string{
		{"USER", c.GetUser()},
		{"TOKEN ID", c.GetTokenId()},
		{"ISSUED", when(c.GetIssueTime())},
		{"EXPIRES", when(c.GetExpireTime())},
		{"NAMESPACES", namespaces},
		{"ROOMS", strings.Join(c.GetRooms(), " ")},
		{"MAY JOIN", strings.Join(c.GetJoin(), " ")},
		{"MAY PUBLISH", strings.Join(c.GetPublish(), " ")},
		{"MAY BROADCAST", map[bool]string{true: "yes", false: "no"}[c.GetBroadcast()]},
		{"DATA", compactJSON(c.GetData())},
	})
}

// TokenRevoke revokes tokens.
type TokenRevoke struct {
	ID           string    `arg:"" optional:"" name:"id" help:"The token's id."`
	User         string    `placeholder:"USER" help:"All tokens of this user, instead."`
	IssuedBefore time.Time `placeholder:"TIME" help:"With --user, only those that were issued before this time, such as 2030-01-02T03:04:05Z; now if not given."`
	Printer
	Client
}

// Run implements the command.
func (t *TokenRevoke) Run(ctx context.Context, s *Streams) error {
	req := &salav1.RevokeTokensRequest{TokenId: t.ID, User: t.User}
	switch {
	case (t.ID == "") == (t.User == ""):
		return &UsageError{Message: "say which tokens: the id of one, or --user USER"}
	case t.User == "" && !t.IssuedBefore.IsZero():
		return &UsageError{Message: "--issued-before belongs to --user USER, which is missing"}
	case !t.IssuedBefore.IsZero():
		req.IssuedBefore = timestamppb.New(t.IssuedBefore)
	}
	return t.call(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		res, err := salav1.NewTokenServiceClient(conn).RevokeTokens(ctx, req)
		if err != nil {
			return err
		}
		return t.print(s.Out, res, func(out io.Writer) error {
			if res.GetNotStored() {
				fmt.Fprintln(s.Err, "sala: warning: the Redis of the nodes has not stored this; a node that starts before it has may accept the token")
			}
			_, err := fmt.Fprintf(out, "revoked, %s disconnected\n", sockets(res.GetDisconnected()))
			return err
		})
	})
}

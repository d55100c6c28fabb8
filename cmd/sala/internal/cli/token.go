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

// maxTokenInput bounds a token on standard input. The broker itself refuses tokens that are too
// long.
const maxTokenInput = 64 << 10

// Token groups the commands for tokens.
type Token struct {
	Issue  TokenIssue  `cmd:"" default:"withargs" help:"Issue a token for a user and print it."`
	Verify TokenVerify `cmd:"" help:"Show what a token allows, or why it is refused."`
	Revoke TokenRevoke `cmd:"" help:"Revoke a token or all tokens of a user, and disconnect the sockets that use them."`
}

// Help implements kong.HelpProvider.
func (Token) Help() string {
	return `"sala token ana" is short for "sala token issue ana".

Examples:

  sala token ana --join '**' --publish '**'   # may join any room and send to it
  TOKEN=$(sala token ana --room lobby)        # only the token is printed`
}

// TokenIssue issues a token.
type TokenIssue struct {
	User      string        `arg:"" help:"User that the client will be."`
	TTL       time.Duration `name:"ttl" placeholder:"DURATION" help:"How long the token is valid, such as 30m. By default 1h."`
	Room      []string      `sep:"none" placeholder:"ROOM" help:"Room that the client joins when it connects. Repeatable, like the other lists below."`
	Join      []string      `sep:"none" placeholder:"PATTERN" help:"Rooms that the client may join, such as chat:*; ** means any."`
	Publish   []string      `sep:"none" placeholder:"PATTERN" help:"Rooms that the client may send to, as for --join."`
	History   []string      `sep:"none" placeholder:"PATTERN" help:"Rooms whose history the client may read when it joins them, as for --join."`
	Presence  []string      `sep:"none" placeholder:"PATTERN" help:"Rooms in which the client may see who else is there, as for --join."`
	Broadcast bool          `help:"Let the client send to all sockets of its namespace."`
	Namespace []string      `sep:"none" placeholder:"NAME" help:"Namespace that the client may connect to. By default all."`
	Data      string        `placeholder:"JSON" help:"Data that backends see with this client."`
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
		History:    t.History,
		Presence:   t.Presence,
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
		// Only the token, so that TOKEN=$(sala token ana) works.
		return t.print(s.Out, res, func(out io.Writer) error {
			_, err := fmt.Fprintln(out, res.GetToken())
			return err
		})
	})
}

// TokenVerify verifies a token.
type TokenVerify struct {
	Token string `arg:"" help:"Token, or - to read it from standard input."`
	Printer
	Client
}

// Run implements the command. An invalid token is an error.
func (t *TokenVerify) Run(ctx context.Context, s *Streams) error {
	raw := t.Token
	if raw == "-" {
		body, err := io.ReadAll(io.LimitReader(s.In, maxTokenInput))
		if err != nil {
			return fmt.Errorf("can't read the token from standard input: %w", err)
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
		{"HISTORY OF", strings.Join(c.GetHistory(), " ")},
		{"PRESENCE IN", strings.Join(c.GetPresence(), " ")},
		{"MAY BROADCAST", map[bool]string{true: "yes", false: "no"}[c.GetBroadcast()]},
		{"DATA", compactJSON(c.GetData())},
	})
}

// TokenRevoke revokes tokens.
type TokenRevoke struct {
	ID           string    `arg:"" optional:"" name:"id" help:"Id of the token."`
	User         string    `placeholder:"USER" help:"Revoke all tokens of this user instead."`
	IssuedBefore time.Time `placeholder:"TIME" help:"With --user, revoke only tokens issued before this time, such as 2030-01-02T03:04:05Z. By default now."`
	Printer
	Client
}

// Run implements the command.
func (t *TokenRevoke) Run(ctx context.Context, s *Streams) error {
	req := &salav1.RevokeTokensRequest{TokenId: t.ID, User: t.User}
	switch {
	case (t.ID == "") == (t.User == ""):
		return &UsageError{Message: "set the id of a token, or --user USER"}
	case t.User == "" && !t.IssuedBefore.IsZero():
		return &UsageError{Message: "--issued-before needs --user USER"}
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
				fmt.Fprintln(s.Err, "sala: warning: the Redis of the cluster has not stored the revocation yet; a node that starts before it has may accept the token")
			}
			_, err := fmt.Fprintf(out, "revoked, %s disconnected\n", sockets(res.GetDisconnected()))
			return err
		})
	})
}

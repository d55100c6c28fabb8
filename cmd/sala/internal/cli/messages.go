package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"google.golang.org/grpc"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// Messages groups the commands for the history of rooms.
type Messages struct {
	List  MessagesList  `cmd:"" default:"withargs" help:"List the messages that a room remembers."`
	Clear MessagesClear `cmd:"" help:"Forget the messages of a room."`
}

// Help implements kong.HelpProvider.
func (Messages) Help() string {
	return `"sala messages lobby" is short for "sala messages list lobby". Rooms have a history if a rule under "history:" in the broker's configuration file gives them one.

Examples:

  sala messages lobby --last 10
  sala messages lobby --since 4F2KQ7YB:120   # what came after this position
  sala messages lobby --all -o json`
}

// lastByDefault is how many messages are listed by default.
const lastByDefault = 100

// MessagesList lists the messages of a room.
type MessagesList struct {
	Room      string `arg:"" help:"Name of the room."`
	Namespace string `placeholder:"NAME" help:"Namespace of the room. By default /."`
	Last      int32  `placeholder:"N" help:"List the newest N messages, at most 1000. By default 100."`
	Since     string `placeholder:"EPOCH:OFFSET" help:"List the messages after this position instead."`
	All       bool   `help:"List all messages instead."`
	Printer
	Client
}

// Run implements the command.
func (m *MessagesList) Run(ctx context.Context, s *Streams) error {
	req, err := m.request()
	if err != nil {
		return err
	}
	return m.call(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		all, err := listMessages(ctx, salav1.NewRoomServiceClient(conn), req)
		if err != nil {
			return err
		}
		if !all.GetComplete() {
			fmt.Fprintln(s.Err, "sala: warning: there is a gap: messages after --since are no longer kept, or the history has been lost or cleared")
		}
		return m.print(s.Out, all, func(out io.Writer) error {
			if len(all.GetMessages()) == 0 {
				fmt.Fprintln(s.Err, "there are no messages")
				return nil
			}
			rows := [][]string{{"POSITION", "TIME", "EVENT", "ARGS"}}
			for _, message := range all.GetMessages() {
				rows = append(rows, []string{positionText(all.GetEpoch(), message.GetOffset()), when(message.GetTime()),
					message.GetEvent(), printableArgs(message)})
			}
			return table(out, rows)
		})
	})
}

func (m *MessagesList) request() (*salav1.ListMessagesRequest, error) {
	req := &salav1.ListMessagesRequest{Room: m.Room, Namespace: m.Namespace, Last: m.Last}
	switch {
	case m.All && m.Since != "", m.Last != 0 && (m.All || m.Since != ""):
		return nil, &UsageError{Message: "set only one of --last, --since and --all"}
	case m.Since != "":
		since, err := parsePosition(m.Since)
		if err != nil {
			return nil, err
		}
		req.Since, req.Limit = since, pageSize
	case m.All:
		req.Limit = pageSize
	case m.Last == 0:
		req.Last = lastByDefault
	}
	return req, nil
}

// listMessages reads the last messages at once, and others page by page to the end.
func listMessages(ctx context.Context, client salav1.RoomServiceClient, req *salav1.ListMessagesRequest) (*salav1.ListMessagesResponse, error) {
	all, err := client.ListMessages(ctx, req)
	if err != nil || req.GetLast() != 0 {
		return all, err
	}
	for page := all; len(page.GetMessages()) > 0; {
		req.Since = &salav1.Position{Epoch: page.GetEpoch(), Offset: page.GetOffset()}
		if page, err = client.ListMessages(ctx, req); err != nil {
			return nil, err
		}
		if !page.GetComplete() {
			return nil, errors.New("the history has changed meanwhile: messages were evicted, lost or cleared; try again")
		}
		all.Messages = append(all.Messages, page.GetMessages()...)
		all.Offset = page.GetOffset()
	}
	return all, nil
}

// positionText is what --since accepts.
func positionText(epoch string, offset uint64) string {
	return epoch + ":" + strconv.FormatUint(offset, 10)
}

func parsePosition(text string) (*salav1.Position, error) {
	colon := strings.LastIndexByte(text, ':')
	if colon > 0 {
		if offset, err := strconv.ParseUint(text[colon+1:], 10, 64); err == nil {
			return &salav1.Position{Epoch: text[:colon], Offset: offset}, nil
		}
	}
	return nil, &UsageError{Message: fmt.Sprintf("--since %s is not a position; one looks like 4F2KQ7YB:120, as this command lists it", text)}
}

func printableArgs(m *salav1.RoomMessage) string {
	parts := []string{printableJSON(m.GetArgsJson())}
	for i, a := range m.GetAttachments() {
		parts = append(parts, fmt.Sprintf("[attachment %d: %d bytes]", i, len(a)))
	}
	return strings.Join(parts, " ")
}

// MessagesClear forgets the messages of a room.
type MessagesClear struct {
	Room      string `arg:"" help:"Name of the room."`
	Namespace string `placeholder:"NAME" help:"Namespace of the room. By default /."`
	Printer
	Client
}

// Run implements the command.
func (m *MessagesClear) Run(ctx context.Context, s *Streams) error {
	return m.call(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		res, err := salav1.NewRoomServiceClient(conn).ClearMessages(ctx, &salav1.ClearMessagesRequest{Room: m.Room, Namespace: m.Namespace})
		if err != nil {
			return err
		}
		return m.print(s.Out, res, func(out io.Writer) error {
			_, err := fmt.Fprintln(out, "the messages are cleared")
			return err
		})
	})
}

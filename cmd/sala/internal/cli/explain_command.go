package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"google.golang.org/grpc"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// Explain says why a user does or doesn't get what is sent to a room.
type Explain struct {
	User      string `required:"" placeholder:"NAME" help:"The user."`
	Room      string `placeholder:"NAME" help:"The room. Without one, only what is about the user is checked."`
	Namespace string `placeholder:"NAME" help:"Namespace of the user. By default /."`
	Output    string `short:"o" enum:"text,json" default:"text" placeholder:"FORMAT" help:"Output format: text for people, json for scripts."`
	Client
}

// Help implements kong.HelpProvider.
func (*Explain) Help() string {
	return `Each line answers one question: "ok", "!!" for what can be the reason, "--" for what is worth knowing, or "??" ` +
		`if there was nothing to look at. Below it is what to do. The exit code is 0 whatever the answers are. ` +
		`docs/troubleshooting.md starts from symptoms.`
}

// Run implements the command.
func (e *Explain) Run(ctx context.Context, s *Streams) error {
	return e.call(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		x, err := salav1.NewObserveServiceClient(conn).Explain(ctx, &salav1.ExplainRequest{User: e.User, Room: e.Room, Namespace: e.Namespace})
		switch {
		case err != nil:
			return err
		case e.Output == "json":
			return printJSON(s.Out, x)
		}
		return explainText(s.Out, x)
	})
}

// explainText writes the checks as a list, then sockets, problems and messages.
func explainText(out io.Writer, x *salav1.ExplainResponse) error {
	for _, c := range x.GetChecks() {
		fmt.Fprintf(out, "%s  %-11s  %s\n", checkMark(c.GetResult()), checkName(c.GetKind()), line(c.GetAnswer()))
		if c.GetAdvice() != "" {
			fmt.Fprintf(out, "    %-11s  %s\n", "", line(c.GetAdvice()))
		}
	}
	if len(x.GetSockets()) > 0 {
		rows := [][]string{{"SOCKET", "NODE", "TRANSPORT", "ADDRESS", "CONNECTED", "STATE", "IN ROOM", "QUEUED", "SESSION"}}
		for _, s := range x.GetSockets() {
			rows = append(rows, []string{
				s.GetId(), s.GetNode(), s.GetTransport(), s.GetAddress(), when(s.GetConnectTime()),
				socketWord(s), yesNo(s.GetInRoom()), fmt.Sprint(s.GetQueuedBytes()), sessionWord(s),
			})
		}
		fmt.Fprintln(out)
		if err := table(out, rows); err != nil {
			return err
		}
	}
	p := newEventPrinter(out, false)
	for _, part := range []struct {
		heading string
		events  []*salav1.TailEvent
	}{{"Refused lately, newest first:", x.GetProblems()}, {"Dropped lately, newest first:", x.GetDrops()}, {"Messages from backends, newest first:", x.GetMessages()}} {
		if len(part.events) == 0 {
			continue
		}
		fmt.Fprintf(out, "\n%s\n", part.heading)
		for _, event := range part.events {
			if _, err := fmt.Fprintln(out, p.outcome(event)+times(event.GetCount())); err != nil {
				return err
			}
		}
	}
	return nil
}

// line escapes the characters of a text that could control the terminal.
func line(text string) string {
	var b strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		b.WriteString(strings.Trim(strconv.QuoteToGraphic(string(r)), `"`))
	}
	return b.String()
}

func checkMark(r salav1.CheckResult) string {
	switch r {
	case salav1.CheckResult_CHECK_RESULT_OK:
		return "ok"
	case salav1.CheckResult_CHECK_RESULT_PROBLEM:
		return "!!"
	case salav1.CheckResult_CHECK_RESULT_NOTE:
		return "--"
	}
	return "??"
}

// checkName returns IN_ROOM as "in room".
func checkName(k salav1.CheckKind) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(k.String(), "CHECK_KIND_"), "_", " "))
}

func socketWord(s *salav1.ExplainedSocket) string {
	switch {
	case s.GetAway():
		return "away"
	case s.GetBlocked() && s.GetQueuedBytes() > 0:
		return "slow"
	}
	return "connected"
}

func sessionWord(s *salav1.ExplainedSocket) string {
	switch {
	case s.GetIncomplete():
		return "incomplete"
	case s.GetSession():
		return fmt.Sprintf("%d unconfirmed", s.GetUnconfirmed())
	}
	return "none"
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

// times returns how often the same has happened, if it was more than once.
func times(n uint32) string {
	if n < 2 {
		return ""
	}
	return fmt.Sprintf(" (%d times)", n)
}

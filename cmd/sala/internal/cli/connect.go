package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"time"
)

// connectGrace is how long the client may take to disconnect after Ctrl-C.
const connectGrace = 5 * time.Second

// Connect is a Socket.IO client for the terminal.
type Connect struct {
	URL       string        `arg:"" help:"Address of the broker for clients, such as http://127.0.0.1:3000. Its path is the namespace."`
	Token     string        `env:"SALA_TOKEN" placeholder:"TOKEN" help:"Token to connect with."`
	Join      []string      `sep:"none" placeholder:"ROOM" help:"Join this room, also after a reconnect. Repeatable."`
	JoinEvent string        `default:"join" placeholder:"EVENT" help:"Name of the event that joins a room: rooms.join_event of the broker."`
	Ack       string        `placeholder:"JSON" help:"Answer every event that asks for an ack with this. By default such events aren't answered."`
	Recover   bool          `help:"Return as the same socket after the connection was lost, if the broker offers session recovery."`
	Namespace string        `placeholder:"NAME" help:"Namespace, if the URL has none. By default /."`
	Path      string        `default:"/socket.io/" placeholder:"PATH" help:"Path of the broker's --path."`
	Transport string        `enum:"websocket,polling" default:"websocket" placeholder:"TRANSPORT" help:"Connect over this: websocket, or polling, which also works where a proxy lets no WebSocket through."`
	Auth      string        `placeholder:"JSON" help:"Object to send as auth when connecting. The token is added to it."`
	Header    []string      `sep:"none" placeholder:"NAME: VALUE" help:"Header to send with the request that connects. Repeatable."`
	TLSCA     string        `name:"tls-ca" placeholder:"FILE" help:"Certificate authority (PEM) that signed the broker's certificate, by default one that the system trusts."`
	Count     int           `short:"n" placeholder:"N" help:"Exit after this many events."`
	NoInput   bool          `help:"Don't read standard input. Print events until Ctrl-C or --count."`
	Timeout   time.Duration `default:"10s" placeholder:"DURATION" help:"How long connecting may take, and how long to wait for each ack."`
	Output    string        `short:"o" enum:"text,json" default:"text" placeholder:"FORMAT" help:"Output format, one fact per line: text for people, json for scripts."`
}

// Help implements kong.HelpProvider.
func (*Connect) Help() string {
	return `Type an event's name and its arguments as JSON; text that isn't JSON is one argument. The ack is printed:

  sala connect http://127.0.0.1:3000 --token "$(sala token ana --join 'chat:**')" --join chat:42
  say {"text":"hello"}

The command prints the events that the client receives, reconnects when the connection is lost, and ends at ` +
		`Ctrl-C, or at the end of its input once all acks have arrived. It ends with exit code 1 if the broker can't be ` +
		`reached at first, or refuses or disconnects the client. {"$binary":"aGk="} stands for binary data, in base64.`
}

// connectOptions are what the client gets, as JSON. [connectProgram] declares the same.
type connectOptions struct {
	URL       string          `json:"url"`
	Namespace string          `json:"namespace"`
	Path      string          `json:"path"`
	Query     string          `json:"query"`
	Transport string          `json:"transport"`
	Auth      map[string]any  `json:"auth"`
	Headers   http.Header     `json:"headers"`
	TLSCA     string          `json:"tlsCA"`
	Join      []string        `json:"join"`
	JoinEvent string          `json:"joinEvent"`
	Ack       json.RawMessage `json:"ack,omitempty"`
	Count     int             `json:"count"`
	NoInput   bool            `json:"noInput"`
	JSON      bool            `json:"json"`
	Timeout   time.Duration   `json:"timeout"`
}

// Run implements the command.
func (c *Connect) Run(ctx context.Context, s *Streams) error {
	options, err := c.options()
	if err != nil {
		return err
	}
	program, err := findConnectProgram(ctx, s.Err)
	if err != nil {
		return err
	}
	body, err := json.Marshal(options)
	if err != nil {
		return err
	}
	client := exec.CommandContext(ctx, program) //nolint:gosec // it stands beside sala, or in the PATH
	client.Env = append(os.Environ(), "SALA_CONNECT="+string(body))
	client.Stdin, client.Stdout, client.Stderr = s.In, s.Out, s.Err
	client.Cancel = func() error { return client.Process.Signal(os.Interrupt) }
	client.WaitDelay = connectGrace
	err = client.Run()
	var ended *exec.ExitError
	switch {
	case client.ProcessState != nil && client.ProcessState.Success():
		return nil // although ctx may have ended
	case errors.As(err, &ended):
		return &ExitError{Code: max(ended.ExitCode(), 1)}
	}
	return fmt.Errorf("can't run %s: %w", program, err)
}

// ExitError is an error that a program has already printed.
type ExitError struct{ Code int }

// Error implements error.
func (e *ExitError) Error() string { return fmt.Sprintf("exit code %d", e.Code) }

// ExitCode is the process's exit code.
func (e *ExitError) ExitCode() int { return e.Code }

func (c *Connect) options() (*connectOptions, error) {
	switch {
	case c.Timeout <= 0:
		return nil, &UsageError{Message: "--timeout must be above zero, for example 10s"}
	case c.Count < 0:
		return nil, &UsageError{Message: "--count must be above zero; leave it out to print events until Ctrl-C"}
	}
	at, namespace, err := c.address()
	if err != nil {
		return nil, err
	}
	auth, err := c.auth()
	if err != nil {
		return nil, err
	}
	headers, err := parseHeaders(c.Header)
	if err != nil {
		return nil, err
	}
	if c.Ack != "" && !json.Valid([]byte(c.Ack)) {
		return nil, &UsageError{Message: `--ack must be valid JSON (quote text: '"like this"')`}
	}
	return &connectOptions{
		URL: at.Scheme + "://" + at.Host, Query: at.RawQuery, Namespace: namespace, Path: c.Path, Transport: c.Transport,
		Auth: auth, Headers: headers, TLSCA: c.TLSCA,
		Join: c.Join, JoinEvent: c.JoinEvent, Ack: json.RawMessage(c.Ack),
		Count: c.Count, NoInput: c.NoInput, JSON: c.Output == "json", Timeout: c.Timeout,
	}, nil
}

// address returns the URL and the namespace, which may be in its path.
func (c *Connect) address() (*url.URL, string, error) {
	text := c.URL
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	at, err := url.Parse(text)
	if err != nil || at.Host == "" {
		return nil, "", &UsageError{Message: "the URL must be that of the broker's clients, such as http://127.0.0.1:3000"}
	}
	switch at.Scheme {
	case "http", "https", "ws", "wss":
	default:
		return nil, "", &UsageError{Message: fmt.Sprintf("the URL begins with %s://; use http, https, ws or wss", at.Scheme)}
	}
	namespace := at.Path
	switch {
	case namespace == "" || namespace == "/":
		namespace = "/" + strings.TrimPrefix(c.Namespace, "/")
	case c.Namespace != "" && c.Namespace != namespace:
		return nil, "", &UsageError{Message: fmt.Sprintf("the URL names the namespace %s, and --namespace another; set one of them", namespace)}
	}
	return at, namespace, nil
}

// auth returns what the client sends as auth.
func (c *Connect) auth() (map[string]any, error) {
	auth := map[string]any{}
	if c.Auth != "" {
		if err := json.Unmarshal([]byte(c.Auth), &auth); err != nil || auth == nil {
			return nil, &UsageError{Message: `--auth must be a JSON object such as '{"language": "es"}'`}
		}
	}
	if c.Token != "" {
		auth["token"] = c.Token
	}
	if c.Recover {
		auth["recover"] = true
	}
	return auth, nil
}

// parseHeaders parses "Name: value".
func parseHeaders(lines []string) (http.Header, error) {
	headers := http.Header{}
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return nil, &UsageError{Message: `--header must look like "Name: value"`}
		}
		headers.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	return headers, nil
}

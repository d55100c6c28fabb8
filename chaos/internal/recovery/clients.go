package recovery

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// clientsProgram is the program with the stock clients, from the folder that this program is in.
const clientsProgram = "../clients/clients.mjs"

// maxLine bounds a line of the clients' reports.
const maxLine = 1 << 20

// clientConfig is a client as the program with the stock clients reads it.
type clientConfig struct {
	Number     int      `json:"number"`
	Token      string   `json:"token"`
	Room       string   `json:"room"` // to which it relays
	Transports []string `json:"transports"`
	Namespaces []string `json:"namespaces"`
	Recover    bool     `json:"recover"`
}

// clientGroup is what the program reads first.
type clientGroup struct {
	URL     string         `json:"url"`
	Clients []clientConfig `json:"clients"`
}

// clientOrder tells the clients to do something every so many milliseconds; 0 for never.
type clientOrder struct {
	Relay   *float64 `json:"relay,omitempty"`
	Disturb *float64 `json:"disturb,omitempty"`
}

// clientProcess is a process with some stock clients.
type clientProcess struct {
	cmd     *exec.Cmd
	input   io.WriteCloser
	reading sync.WaitGroup
	failed  error // of the reading goroutine until it has ended
}

// startClients starts a process with stock clients whose reports go to the ledger.
func startClients(ctx context.Context, g clientGroup, l *ledger) (*clientProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &clientProcess{cmd: exec.CommandContext(ctx, "node", filepath.Join(filepath.Dir(self), filepath.FromSlash(clientsProgram)))}
	p.cmd.Stderr = os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if p.input, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	output, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the clients: %w", err)
	}
	p.reading.Go(func() { p.failed = read(output, l) })
	return p, p.order(g)
}

// order sends an order to the clients.
func (p *clientProcess) order(what any) error {
	text, err := json.Marshal(what)
	if err != nil {
		return err
	}
	_, err = p.input.Write(append(text, '\n'))
	return err
}

// stop ends the process and returns what went wrong with it.
func (p *clientProcess) stop() error {
	err := p.input.Close()
	force := time.AfterFunc(stopTimeout, func() { _ = p.cmd.Process.Kill() }) // it may have ended
	defer force.Stop()
	p.reading.Wait() // before Wait, which closes the pipe
	return errors.Join(err, p.failed, p.cmd.Wait())
}

// stopTimeout is how long the clients may take to end.
const stopTimeout = 10 * time.Second

// read reads reports until the process ends.
func read(output io.Reader, l *ledger) error {
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		if err := l.report(lines.Bytes()); err != nil {
			_, _ = io.Copy(io.Discard, output) // so that the process can go on
			return fmt.Errorf("the clients reported %.200q: %w", lines.Bytes(), err)
		}
	}
	return lines.Err()
}

// report enters a line of the clients' reports.
func (l *ledger) report(line []byte) error {
	var list []json.RawMessage
	if err := json.Unmarshal(line, &list); err != nil {
		return err
	}
	var what string
	var s Socket
	if err := fields(list, &what, &s.Client, &s.Namespace); err != nil {
		return err
	}
	if _, known := l.sockets[s]; !known { // sockets are added before clients start
		return fmt.Errorf("there is no %v", s)
	}
	switch more := list[3:]; what {
	case "connect":
		return l.reportConnect(s, more)
	case "event":
		return l.reportEvent(s, more)
	case "acked":
		return l.reportAcked(s, more)
	case "refused":
		var why string
		err := fields(more, &why)
		l.refused(s, why)
		return err
	case "disconnect":
		var why string
		err := fields(more, &why)
		l.disconnected(s, why)
		return err
	case "closed":
		l.closing(s)
	case "disturbed":
		l.disturbed()
	default:
		return fmt.Errorf("unknown: %s", what)
	}
	return nil
}

func (l *ledger) reportConnect(s Socket, more []json.RawMessage) error {
	var id string
	var recovered bool
	if err := fields(more, &id, &recovered); err != nil {
		return err
	}
	l.connected(s, id, recovered)
	return nil
}

func (l *ledger) reportEvent(s Socket, more []json.RawMessage) error {
	var event string
	var away bool
	var args json.RawMessage
	if err := fields(more, &event, &away, &args); err != nil {
		return err
	}
	l.received(s, event, away, args)
	return nil
}

func (l *ledger) reportAcked(s Socket, more []json.RawMessage) error {
	var number uint64
	var ok bool
	if err := fields(more, &number, &ok); err != nil {
		return err
	}
	if !ok {
		l.refused(s, fmt.Sprintf("its event %d", number))
		return nil
	}
	l.acked(s.Client, number)
	return nil
}

// fields decodes the first elements of a list.
func fields(list []json.RawMessage, into ...any) error {
	if len(list) < len(into) {
		return errors.New("the list is too short")
	}
	for i, v := range into {
		if err := json.Unmarshal(list[i], v); err != nil {
			return err
		}
	}
	return nil
}

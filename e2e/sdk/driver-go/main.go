// Command driver-go drives the Go library for the tests in e2e/tests/sdk.test.mjs. README.md in the
// folder above describes the commands.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"

	"github.com/salabroker/sala/sdk/go"
)

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	d := &driver{ctx: ctx, out: json.NewEncoder(os.Stdout), held: make(map[string]chan struct{})}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var c command
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		if c.Do == "dial" { // the commands after it need its client
			d.answer(c)
		} else {
			go d.answer(c)
		}
	}
}

// command is one line of standard input.
type command struct {
	ID int    `json:"id"`
	Do string `json:"do"`
	call
	subscription

	Token        string   `json:"token"`
	TTLSeconds   int      `json:"ttlSeconds"`
	Join         []string `json:"join"`
	Publish      []string `json:"publish"`
	Broadcast    bool     `json:"broadcast"`
	Data         any      `json:"data"`
	User         string   `json:"user"`
	TokenID      string   `json:"tokenId"`
	Room         string   `json:"room"`
	Prefix       string   `json:"prefix"`
	PageSize     int      `json:"pageSize"`
	Last         int      `json:"last"`
	Notice       *notice  `json:"notice"`
	Disconnect   bool     `json:"disconnect"`
	Socket       string   `json:"socket"`
	To           []string `json:"to"`
	Of           []string `json:"of"`
	Reason       string   `json:"reason"`
	AckTimeoutMs int      `json:"ackTimeoutMs"`
	MinAcks      int      `json:"minAcks"`

	Address   string   `json:"address"`
	Key       string   `json:"key"`
	TLS       *tlsFile `json:"tls"`
	Plaintext bool     `json:"plaintext"`
	Value     any      `json:"value"`
}

type notice struct {
	Event string `json:"event"`
	Args  []any  `json:"args"`
}

type tlsFile struct {
	CA   string `json:"ca"`
	Cert string `json:"cert"`
	Key  string `json:"key"`
}

// driver carries out commands.
type driver struct {
	ctx    context.Context
	client *sala.Client
	leave  context.CancelFunc // of the subscription
	ended  chan struct{}      // closed when the subscription has ended

	mu   sync.Mutex
	out  *json.Encoder
	held map[string]chan struct{} // closed when handlers may go on
}

// write writes one line.
func (d *driver) write(line map[string]any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.out.Encode(line); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// answer carries out a command and writes its result.
func (d *driver) answer(c command) {
	result, err := d.do(c)
	if err != nil {
		d.write(map[string]any{"id": c.ID, "error": describe(err)})
		return
	}
	if result == nil {
		result = struct{}{}
	}
	d.write(map[string]any{"id": c.ID, "result": result})
}

// describe returns an error as the protocol has it.
func describe(err error) map[string]any {
	described := map[string]any{"code": "", "message": err.Error()}
	if failed, ok := errors.AsType[*sala.Error](err); ok {
		fields := []map[string]string{}
		for _, field := range failed.Fields {
			fields = append(fields, map[string]string{"field": field.Field, "description": field.Description})
		}
		described = map[string]any{
			"code": code.Code(failed.Code).String(), "reason": failed.Reason, "message": failed.Message,
			"fields": fields, "metadata": failed.Metadata,
		}
	}
	return described
}

// dial connects the client of all other commands.
func (d *driver) dial(c command) error {
	var opts []sala.Option
	if c.TLS != nil {
		config, err := sala.TLSFromFiles(c.TLS.CA, c.TLS.Cert, c.TLS.Key)
		if err != nil {
			return err
		}
		opts = append(opts, sala.WithTLS(config))
	}
	if c.Plaintext {
		opts = append(opts, sala.WithPlaintext())
	}
	if c.TimeoutMs > 0 {
		opts = append(opts, sala.WithTimeout(milliseconds(c.TimeoutMs)))
	}
	client, err := sala.Dial(c.Address, c.Key, opts...)
	if err != nil {
		return err
	}
	d.client = client
	return nil
}

func milliseconds(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// hold waits until the command release names the value.
func (d *driver) hold(ctx context.Context, value any) error {
	select {
	case <-d.released(value):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// released returns the channel that release closes for the value.
func (d *driver) released(value any) chan struct{} {
	key := strings.TrimSpace(fmt.Sprint(value))
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held[key] == nil {
		d.held[key] = make(chan struct{})
	}
	return d.held[key]
}

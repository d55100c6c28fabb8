package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/salabroker/sala/bench/load"
)

// client is a connected client. It belongs to one goroutine.
type client struct {
	nc      net.Conn
	reader  *bufio.Reader
	resumed bool
}

// connect opens a WebSocket, over TLS if config isn't nil, and connects its socket.
func connect(ctx context.Context, address string, config *tls.Config, who load.Client) (*client, error) {
	nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	c := &client{nc: nc}
	_ = nc.SetDeadline(time.Now().Add(load.HandshakeTimeout)) // it fails only on a closed connection
	if config != nil {
		secured := tls.Client(nc, config)
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, nc.Close())
		}
		c.nc, c.resumed = secured, secured.ConnectionState().DidResume
	}
	if err := c.open(address, config != nil, who); err != nil {
		return nil, errors.Join(err, nc.Close())
	}
	_ = nc.SetDeadline(time.Time{}) // as above
	return c, nil
}

// open asks for a WebSocket, and connects the client's socket over it.
func (c *client) open(address string, secured bool, who load.Client) error {
	request := load.UpgradeRequest(address, load.EnginePath+"websocket")
	if secured {
		request = bytes.Replace(request, []byte("Origin: http:"), []byte("Origin: https:"), 1)
	}
	if _, err := c.nc.Write(request); err != nil {
		return err
	}
	c.reader = bufio.NewReaderSize(c.nc, 1<<10)
	answer, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return err
	}
	_ = answer.Body.Close() // it has none
	if answer.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("the server answered %s", answer.Status)
	}
	if _, _, err := load.ReadFrame(c.reader); err != nil {
		return fmt.Errorf("waiting for the open packet: %w", err)
	}
	auth, err := who.Auth()
	if err != nil {
		return err
	}
	if err := c.send(append([]byte("40"), auth...)); err != nil {
		return err
	}
	_, connected, err := load.ReadFrame(c.reader)
	if err != nil {
		return fmt.Errorf("waiting for the connect packet: %w", err)
	}
	_, err = load.SocketID(connected)
	return err
}

func (c *client) send(message []byte) error {
	_, err := c.nc.Write(load.AppendFrame(nil, load.OpText, message))
	return err
}

// crowd is clients that answer pings and count what they receive, until stop.
type crowd struct {
	clients   []*client
	delivered atomic.Uint64
	stopped   atomic.Bool
	lost      atomic.Uint64
	reading   sync.WaitGroup
}

// gather connects all clients, some at a time, and has them read.
func gather(ctx context.Context, address string, config *tls.Config, who []load.Client) (*crowd, error) {
	c := &crowd{clients: make([]*client, len(who))}
	err := load.InParallel(ctx, load.DefaultWindow, len(who), func(ctx context.Context, i int) (err error) {
		c.clients[i], err = connect(ctx, address, config, who[i])
		return err
	})
	if err != nil {
		c.stop()
		return nil, err
	}
	for _, each := range c.clients {
		c.reading.Go(func() { c.read(each) })
	}
	return c, nil
}

func (c *crowd) read(each *client) {
	for {
		opcode, message, err := load.ReadFrame(each.reader)
		switch {
		case err != nil || opcode == load.OpClose:
			if !c.stopped.Load() {
				c.lost.Add(1)
			}
			return
		case string(message) == "2":
			if err := each.send([]byte("3")); err != nil && !errors.Is(err, io.EOF) {
				return // the next read tells
			}
		default:
			c.delivered.Add(1)
		}
	}
}

// await waits until that many messages have been delivered.
func (c *crowd) await(ctx context.Context, messages uint64) error {
	for c.delivered.Load() < messages {
		if lost := c.lost.Load(); lost > 0 {
			return fmt.Errorf("%d clients lost their connection", lost)
		}
		if err := load.Sleep(ctx, 10*time.Millisecond); err != nil {
			return fmt.Errorf("%d of %d messages arrived: %w", c.delivered.Load(), messages, err)
		}
	}
	return nil
}

// stop closes all connections.
func (c *crowd) stop() {
	c.stopped.Store(true)
	for _, each := range c.clients {
		if each != nil {
			_ = each.nc.Close() // there is nothing to do about an error
		}
	}
	c.reading.Wait()
}

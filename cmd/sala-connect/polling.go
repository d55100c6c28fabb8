package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/zishang520/socket.io/clients/engine/v3"
	"github.com/zishang520/socket.io/clients/engine/v3/transports"
	"github.com/zishang520/socket.io/parsers/engine/v3/packet"
	"github.com/zishang520/socket.io/parsers/engine/v3/parser"
)

// pollingCtor makes the library's long-polling, except that it sends while it polls.
type pollingCtor struct {
	transports.PollingBuilder
	http    *http.Client
	begun   <-chan struct{} // that of lateTransport
	sending *sync.WaitGroup // counts the requests that send
}

// New implements transports.TransportCtor.
func (c *pollingCtor) New(owner engine.Socket, opts engine.SocketOptionsInterface) engine.Transport {
	t := &pollingTransport{Transport: c.PollingBuilder.New(owner, opts), http: c.http, sending: c.sending}
	t.Prototype(t)
	return openLate(t, owner, c.begun)
}

// pollingTransport sends with requests of its own. Version 3.0.4 of the library has one queue for both
// directions: what it sends waits for the end of the poll, which can take a ping interval.
type pollingTransport struct {
	engine.Transport
	http    *http.Client
	sending *sync.WaitGroup
	turn    sync.Mutex // held by the request that sends
}

// Write implements engine.Transport. The library doesn't call it again before the transport is
// writable, so no other write has the turn.
func (t *pollingTransport) Write(packets []*packet.Packet) {
	t.SetWritable(false)
	t.turn.Lock()
	t.sending.Go(func() {
		err := t.post(packets)
		t.turn.Unlock()
		if err != nil {
			t.OnError("fetch write error", err, nil)
			return
		}
		t.SetWritable(true)
		t.Emit("drain")
	})
}

// DoClose implements engine.Transport. The broker ends the poll when it learns that the client leaves.
func (t *pollingTransport) DoClose() {
	if t.ReadyState() == engine.TransportStateOpen {
		t.sending.Go(func() {
			t.turn.Lock()
			defer t.turn.Unlock()
			_ = t.post([]*packet.Packet{{Type: packet.CLOSE}}) // else the broker notices that no pong comes
		})
	}
	t.Transport.DoClose()
}

// post sends packets with one request. Nothing cancels it: the last one tells the broker that the
// client leaves.
func (t *pollingTransport) post(packets []*packet.Packet) error {
	payload, err := parser.Parserv4().EncodePayload(packets)
	if err != nil {
		return err
	}
	scheme := "http"
	if t.Opts().Secure() {
		scheme = "https"
	}
	at := t.CreateUri(scheme, t.Query()).String()
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, at, bytes.NewReader(payload.Bytes()))
	if err != nil {
		return err
	}
	for name, values := range t.Opts().ExtraHeaders() {
		request.Header[name] = values
	}
	request.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	response, err := t.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxProbeBytes)) // then the connection is used again
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the broker answers %s", response.Status)
	}
	return nil
}

package nodeproxy

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// maxAnswer is more than a refusal has.
const maxAnswer = 4 << 10

// forwardUpgrade passes the request for a WebSocket on and, if the node accepts it, the bytes of the
// WebSocket until it ends. It returns before that. After an error nothing has been written.
//
// It doesn't use a [net/http/httputil.ReverseProxy], which holds two buffers of 32 KiB for each
// WebSocket for as long as that exists, and doesn't bound how long one direction may outlive the other.
func (p *Proxy) forwardUpgrade(w http.ResponseWriter, r *http.Request, to passage) error {
	proof, err := p.prove(pathForward, r, to.node, r.RemoteAddr)
	if err != nil {
		return err
	}
	server, err := dial(r.Context(), to.node)
	if err != nil {
		return err
	}
	// When the client goes away, the exchange with the other node ends.
	stop := context.AfterFunc(r.Context(), func() { _ = server.SetDeadline(time.Now()) })
	resp, answered, err := askUpgrade(server, r, to, proof)
	inTime := stop()
	switch {
	case err == nil && !inTime:
		err = context.Cause(r.Context())
	case err == nil && resp.StatusCode != http.StatusSwitchingProtocols:
		err = writeAnswer(w, resp, to)
		_ = resp.Body.Close() // what matters has been read
		return closing(server, err)
	}
	if err != nil {
		return closing(server, err)
	}
	return p.connect(w, resp, server, answered, to)
}

func closing(server net.Conn, err error) error {
	_ = server.Close() // there is nothing to do about an error
	return err
}

// askUpgrade asks the node for a WebSocket and returns its answer. Bytes of the WebSocket itself may
// already be in the reader.
func askUpgrade(server net.Conn, r *http.Request, to passage, proof string) (*http.Response, *bufio.Reader, error) {
	if err := server.SetDeadline(time.Now().Add(upgradeTimeout)); err != nil {
		return nil, nil, err
	}
	// What the engine reads; the node knows the rest from the request that opened the session.
	header := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, headerProof: {proof}, "User-Agent": {""}}
	for _, name := range []string{"Sec-Websocket-Key", "Sec-Websocket-Version"} {
		header[name] = r.Header[name]
	}
	out := (&http.Request{
		Method: http.MethodGet,
		URL:    &url.URL{Scheme: "http", Host: string(to.node.ID), Path: pathForward, RawQuery: r.URL.RawQuery},
		Host:   r.Host,
		Header: header,
	}).WithContext(r.Context())
	if err := out.Write(server); err != nil {
		return nil, nil, err
	}
	answered := bufio.NewReader(server)
	resp, err := http.ReadResponse(answered, out)
	return resp, answered, err
}

// writeAnswer passes on an answer that isn't a WebSocket.
func writeAnswer(w http.ResponseWriter, resp *http.Response, to passage) error {
	if err := checkAnswer(resp, to.node); err != nil {
		return err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return err
	}
	for _, name := range []string{"Content-Type", "Cache-Control"} {
		w.Header()[name] = resp.Header[name]
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(body) // if this fails, the client is gone
	return nil
}

// connect completes the client's WebSocket and passes its bytes on. If the client's connection can't
// be taken over, it returns an error.
func (p *Proxy) connect(w http.ResponseWriter, resp *http.Response, server net.Conn, answered *bufio.Reader, to passage) error {
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return closing(server, err)
	}
	err = client.SetDeadline(time.Now().Add(writeTimeout))
	if err == nil {
		_, err = io.WriteString(client, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Accept: "+resp.Header.Get("Sec-WebSocket-Accept")+"\r\n\r\n")
	}
	if err == nil {
		err = passOn(client, answered)
	}
	if err == nil {
		err = passOn(server, buffered.Reader)
	}
	for _, nc := range []net.Conn{client, server} {
		if err == nil {
			err = nc.SetDeadline(time.Time{})
		}
	}
	if err != nil {
		_ = client.Close()
		_ = server.Close()
		return nil // one of them is gone, and the other learns it
	}
	p.tunnels.Open(client, server, p.pass(&to))
	return nil
}

// passOn writes what a reader has read ahead.
func passOn(to net.Conn, from *bufio.Reader) error {
	early, err := from.Peek(from.Buffered())
	if err == nil {
		_, err = to.Write(early)
	}
	return err
}

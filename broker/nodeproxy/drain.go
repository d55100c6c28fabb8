package nodeproxy

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/salabroker/sala/broker/cluster"
)

// maxDrainGap is the longest pause between two clients that are sent elsewhere.
const maxDrainGap = 10 * time.Millisecond

// releaseEvery is the time between two requests to have the clients leave that are still here.
const releaseEvery = time.Second

// Drain has the clients whose requests this node passes on use other nodes from now on, spread over
// a time. It asks the nodes that have their sessions: they answer polls at once, so that the next
// ones go elsewhere, and send away clients with a WebSocket through this node, after everything that
// was accepted for them. Drain doesn't wait. Only the first call counts.
func (p *Proxy) Drain(spread time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.draining {
		p.draining = true
		p.drains <- spread // it has room
	}
}

// release asks for the release of all that the proxy passes on.
func (p *Proxy) release(ctx context.Context, spread time.Duration) {
	p.mu.Lock()
	all := make([]passage, 0, len(p.passing))
	for what := range p.passing {
		all = append(all, *what)
	}
	p.mu.Unlock()
	gap := min(spread/time.Duration(max(len(all), 1)), maxDrainGap)
	pause := time.NewTimer(0)
	defer pause.Stop()
	for _, what := range all {
		select {
		case <-pause.C:
			pause.Reset(gap)
		case <-p.hurry:
		case <-ctx.Done():
			return
		}
		select {
		case p.errands <- func(ctx context.Context) { p.askRelease(ctx, what) }:
		case <-ctx.Done():
			return
		}
	}
}

// askRelease asks the node that has a session to have its client use other nodes.
func (p *Proxy) askRelease(ctx context.Context, what passage) {
	err := p.request(ctx, what.node, pathRelease, url.Values{"sid": {what.sid}}.Encode())
	if err != nil {
		p.opts.Logger.Debug("can't have a client use another node", "node", string(what.node.ID), "error", err)
	}
}

// Check finds out whether this node reaches another that has joined, and logs it if not.
func (p *Proxy) Check(node cluster.Node) {
	if node.URL == "" {
		return
	}
	p.do(func(ctx context.Context) {
		err := p.request(ctx, node, pathCheck, "")
		if _, there := p.opts.Mesh.Node(node.ID); err != nil && there {
			p.opts.Logger.Warn("this node doesn't reach another one, so the other's clients can't use this one and have to connect again when a load balancer sends them here; check the other node's --advertise and what is between the two",
				"node", string(node.ID), "url", node.URL, "error", err)
		}
	})
}

// request sends a request of this node's own.
func (p *Proxy) request(ctx context.Context, to cluster.Node, path, query string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*dialTimeout)
	defer cancel()
	at := url.URL{Scheme: "http", Host: string(to.ID), Path: path, RawQuery: query}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, at.String(), nil)
	if err != nil {
		return err
	}
	proof, err := p.prove(path, r, to, r.RemoteAddr)
	if err != nil {
		return err
	}
	r.Header.Set(headerProof, proof)
	resp, err := p.transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := checkAnswer(resp, to); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusNoContent {
		return fmt.Errorf("it answers with the status %d", resp.StatusCode)
	}
	return nil
}

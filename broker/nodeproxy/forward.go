package nodeproxy

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/realip"
)

// bodyTimeout is how long the body of a POST may take to arrive. The node that has the session
// allows less, but waits while the client may send no more: see the engine's ReadRate.
const bodyTimeout = time.Minute

// maxSmall is how large the body of a POST may be that is read before it is passed on.
const maxSmall = 4 << 10

var (
	errBody     = errors.New("the client doesn't send its request")
	errNoURL    = errors.New("the node doesn't say where it can be reached; set its --advertise")
	errWrong    = errors.New("another server answers at this address")
	errRefused  = errors.New("the node doesn't accept requests of this one; are their --cluster-key and their clocks the same?")
	errUpgraded = errors.New("the node answers with a protocol that wasn't asked for")
)

// Forward passes a request of a client on to the node that has its session. It returns false if it
// could not: then nothing has been written. upgrade says that the request asks for a WebSocket.
func (p *Proxy) Forward(w http.ResponseWriter, r *http.Request, sid string, upgrade bool) bool {
	owner := cluster.OwnerOf(sid)
	if len(sid) <= cluster.NodeIDBytes || owner == p.opts.Mesh.ID() {
		return false
	}
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		return false
	}
	transport := Polling
	if upgrade {
		transport = WebSocket
	}
	result := Canceled // if the answer can't be written, which panics
	defer func() { p.opts.Observer.Forwarded(transport, result) }()
	node, ok := p.opts.Mesh.Node(owner)
	var err error
	switch {
	case !ok:
		result = Gone
		return false
	case upgrade && p.isDraining():
		result = Draining
		return false
	case node.URL == "":
		err = errNoURL
	case upgrade:
		err = p.forwardUpgrade(w, r, passage{node, sid, true})
	default:
		err = p.forwardPoll(w, r, passage{node, sid, false})
	}
	result = resultOf(r.Context(), err)
	if result == Unreachable || result == Refused {
		p.complain(complaintSending, "can't pass a client's request on to the node that has its session, so the client has to connect again",
			"node", string(node.ID), "url", node.URL, "error", err)
	}
	return result == Passed || r.Context().Err() != nil
}

// resultOf returns what became of a request.
func resultOf(client context.Context, err error) Result {
	switch {
	case err == nil:
		return Passed
	case client.Err() != nil, errors.Is(err, errBody):
		return Canceled
	case errors.Is(err, errRefused), errors.Is(err, errWrong), errors.Is(err, errUpgraded):
		return Refused
	default:
		return Unreachable
	}
}

// forwardPoll passes a GET or a POST on. After an error nothing has been written.
func (p *Proxy) forwardPoll(w http.ResponseWriter, r *http.Request, to passage) error {
	proof, err := p.prove(pathForward, r, to.node)
	if err != nil {
		return err
	}
	control := http.NewResponseController(w)
	if r.Method == http.MethodPost {
		// It fails only if w has no deadlines, which that of a server has.
		_ = control.SetReadDeadline(time.Now().Add(bodyTimeout))
	} else {
		defer p.pass(&to)()
	}
	small, err := readSmall(r)
	if err != nil {
		return err
	}
	var failed error
	reverse := httputil.ReverseProxy{
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.Out.URL.Scheme, pr.Out.URL.Host, pr.Out.URL.Path = "http", string(to.node.ID), pathForward
			pr.Out.URL.RawPath, pr.Out.URL.RawQuery = "", r.URL.RawQuery
			pr.Out.Host = r.Host
			pr.Out.Header.Del("Connection") // no other protocol is spoken
			pr.Out.Header.Del("Upgrade")
			pr.Out.Header.Set(headerProof, proof)
			if small != nil {
				makeRepeatable(pr.Out, small)
			}
		},
		ModifyResponse: func(resp *http.Response) error {
			if err := checkAnswer(resp, to.node); err != nil {
				return err
			}
			if resp.Close { // the other node wants the client's connection closed
				w.Header().Set("Connection", "close")
			}
			_ = control.SetWriteDeadline(time.Now().Add(writeTimeout))
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) { failed = err },
		Transport:    p.transport,
		BufferPool:   p.buffers,
		ErrorLog:     slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), // of clients that go away
	}
	reverse.ServeHTTP(w, r)
	_ = control.SetWriteDeadline(time.Time{})
	return failed
}

func (p *Proxy) isDraining() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.draining
}

// readSmall reads the body of a POST that is small, as most are, and leaves it in r as well. It returns
// nil for all others.
func readSmall(r *http.Request) ([]byte, error) {
	if r.Method != http.MethodPost || r.ContentLength <= 0 || r.ContentLength > maxSmall {
		return nil, nil
	}
	body := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, body); err != nil {
		return nil, fmt.Errorf("%w: %w", errBody, err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body, nil
}

// makeRepeatable lets the transport send a POST again over another connection if the first one turns
// out to have been closed by the other node, for example because that drains. It can't be delivered
// twice, because its proof is accepted once.
func makeRepeatable(r *http.Request, body []byte) {
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	r.Body, _ = r.GetBody()
	r.Header["Idempotency-Key"] = nil // see http.Transport: this isn't sent
}

// pass records that something is passed on, until the returned function is called. If this node
// drains, the client is told to use another one at once.
func (p *Proxy) pass(what *passage) (done func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passing[what] = struct{}{}
	if p.draining {
		p.do(func(ctx context.Context) { p.askRelease(ctx, *what) })
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.passing, what)
	}
}

// checkAnswer returns an error if an answer isn't that of the engine of the node.
func checkAnswer(resp *http.Response, node cluster.Node) error {
	from := resp.Header.Get(headerNode)
	resp.Header.Del(headerNode)
	switch {
	case from != string(node.ID):
		return fmt.Errorf("%w (HTTP status %d)", errWrong, resp.StatusCode)
	case resp.StatusCode == http.StatusForbidden, resp.StatusCode == http.StatusNotFound:
		return errRefused
	case resp.StatusCode == http.StatusSwitchingProtocols:
		return errUpgraded
	}
	return nil
}

// prove returns the header that proves to a node that a request with the method and query of r comes
// from this one, and tells it about r's client.
func (p *Proxy) prove(path string, r *http.Request, to cluster.Node) (string, error) {
	about, err := proto.Marshal(&wire.Forwarded{Client: r.RemoteAddr, Secure: realip.Secure(r)})
	if err != nil {
		return "", err
	}
	proof, err := p.opts.Mesh.SealRequest(to, subject(path, r), about)
	return base64.RawURLEncoding.EncodeToString(proof), err
}

// subject is what a proof is good for.
func subject(path string, r *http.Request) string {
	return r.Method + " " + path + "?" + r.URL.RawQuery
}

// buffers implements [httputil.BufferPool].
type buffers struct{ pool sync.Pool }

// bufferBytes is larger than most payloads.
const bufferBytes = 8 << 10

// Get implements [httputil.BufferPool].
func (b *buffers) Get() []byte {
	if buf, ok := b.pool.Get().(*[bufferBytes]byte); ok {
		return buf[:]
	}
	return make([]byte, bufferBytes)
}

// Put implements [httputil.BufferPool].
func (b *buffers) Put(buf []byte) { b.pool.Put((*[bufferBytes]byte)(buf)) }

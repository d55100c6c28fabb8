package nodeproxy

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/realip"
)

// maxPollRepeats is less than a session accepts.
const maxPollRepeats = 3

var (
	errNoURL    = errors.New("the node doesn't say where it can be reached; set its --advertise")
	errWrong    = errors.New("another server answers at this address")
	errRefused  = errors.New("the node doesn't accept requests of this one; are their --cluster-key and their clocks the same?")
	errUpgraded = errors.New("the node answers with a protocol that wasn't asked for")
	errHungUp   = errors.New("the client gets no answer")
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
	result = resultOf(err)
	if err != nil && r.Context().Err() != nil {
		result = Canceled // there is nobody to answer
	}
	if result == Unreachable || result == Refused {
		p.complain(complaintSending, "can't pass a client's request on to the node that has its session, so the client has to connect again",
			"node", string(node.ID), "url", node.URL, "error", err)
	}
	return result == Passed || r.Context().Err() != nil
}

// resultOf returns what became of a request.
func resultOf(err error) Result {
	switch {
	case err == nil:
		return Passed
	case errors.Is(err, errBody):
		return Canceled
	case errors.Is(err, errRefused), errors.Is(err, errWrong), errors.Is(err, errUpgraded):
		return Refused
	default:
		return Unreachable
	}
}

// forwardPoll passes a GET or a POST on. After an error nothing has been written.
//
// A request without a large body is sent again if a connection fails that was kept from an earlier
// one, for example because the other node drains and closes it. A POST isn't delivered twice,
// because its proof is accepted once. A poll gets another proof, because the other node may have
// taken the first one and then closed its connection; a session knows the polls that come again.
func (p *Proxy) forwardPoll(w http.ResponseWriter, r *http.Request, to passage) error {
	proof, err := p.prove(pathForward, r, to.node, r.RemoteAddr)
	if err != nil {
		return err
	}
	body := newBody(w, r)
	small, err := body.readSmall()
	if err != nil {
		return err
	}
	if r.Method == http.MethodGet {
		defer p.pass(&to)()
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
			if r.Method == http.MethodGet {
				// Otherwise the transport repeats it by itself, with the same proof.
				pr.Out.Body = io.NopCloser(strings.NewReader(""))
			}
		},
		ModifyResponse: func(resp *http.Response) error {
			if err := checkAnswer(resp, to.node); err != nil {
				return err
			}
			hangUp := resp.Header.Get(headerHangUp) != ""
			resp.Header.Del(headerHangUp)
			if hangUp && engineio.HangUp(w) {
				return errHungUp
			}
			if resp.Close || p.isDraining() { // the other node, or this one, wants the client's connection closed
				w.Header().Set("Connection", "close")
			}
			body.end()
			_ = body.control.SetWriteDeadline(time.Now().Add(writeTimeout))
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) {
			if !errors.Is(err, errHungUp) {
				failed = err
			}
		},
		Transport:  p.transport,
		BufferPool: p.buffers,
		ErrorLog:   slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), // of clients that go away
	}
	reverse.ServeHTTP(w, r)
	for range repeats(r) {
		if !small || !isBroken(failed) || r.Context().Err() != nil {
			break
		}
		if r.Method == http.MethodGet {
			proof, err = p.prove(pathForward, r, to.node, withoutPort(r.RemoteAddr))
			if err != nil {
				return err
			}
		}
		failed = nil
		body.rewind()
		reverse.ServeHTTP(w, r)
	}
	_ = body.control.SetWriteDeadline(time.Time{})
	body.rewind() // for whoever answers if it wasn't passed on
	return failed
}

// isBroken reports whether a connection has failed, rather than that there was none, or that the
// answer was wrong.
func isBroken(err error) bool {
	var dialing *dialError
	return resultOf(err) == Unreachable && !errors.As(err, &dialing)
}

func (p *Proxy) isDraining() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.draining
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

// repeats returns how often a request is sent again. A node that drains closes all connections that
// are kept, so a poll may find another one that is closed.
func repeats(r *http.Request) int {
	if r.Method == http.MethodGet {
		return maxPollRepeats
	}
	return 1
}

// withoutPort returns the address of a client as a session expects it of a request that comes again:
// with the same port, it would be another request to which the client gives the same name.
func withoutPort(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}

// prove returns the header that proves to a node that a request with the method and query of r comes
// from this one, and tells it that r's client has an address, and how it comes.
func (p *Proxy) prove(path string, r *http.Request, to cluster.Node, client string) (string, error) {
	about, err := proto.Marshal(&wire.Forwarded{Client: client, Secure: realip.Secure(r), Direct: !realip.Forwarded(r)})
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

package load

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/salabroker/sala/bench/internal/job"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// greedyAddress is where all that is grabbed is grabbed from: limits for an address are for this one.
const greedyAddress = "127.0.1.1"

// grab is one way to take more than one's share: so many workers each take something, hold it as long as they may, and
// take it again.
type grab struct {
	name    string
	workers int
	every   time.Duration // at the least between two tries of one worker
	take    func(ctx context.Context, g *grabber, worker int) error
}

// grabber carries out one grab.
type grabber struct {
	job   *job.Job
	token string             // of a client
	conns []*grpc.ClientConn // for calls by the greedy key
	plain *http.Client

	mu      sync.Mutex
	figures job.Figures
}

// ramp is over how long the workers begin: what is measured is what lasts.
const ramp = time.Second

// grabConns is over how many connections calls are made: the streams of one connection are bounded.
const grabConns = 8

// runGrab carries out the grabs that are named until it is told to end, which is no error.
func runGrab(ctx context.Context, j *job.Job, connected func()) (job.Figures, error) {
	g := &grabber{job: j, figures: job.Figures{}}
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(greedyAddress)}}
	g.plain = &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 100}}
	defer g.plain.CloseIdleConnections()
	for range grabConns {
		conn, err := grpc.NewClient(j.Target.Control, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
				return dialer.DialContext(ctx, "tcp", address)
			}))
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		g.conns = append(g.conns, conn)
	}
	if err := g.issueToken(ctx); err != nil {
		return nil, err
	}
	begin, before := time.Now(), ownCPU()
	var running sync.WaitGroup
	for _, name := range j.Attacks {
		i := slices.IndexFunc(grabs, func(g grab) bool { return g.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is nothing to grab called %q", name)
		}
		for worker := range grabs[i].workers {
			running.Go(func() { g.work(ctx, grabs[i], worker) })
		}
	}
	if pause(ctx, ramp) == nil {
		connected()
	}
	running.Wait()
	g.figures[job.Seconds], g.figures[job.LoadCPU] = time.Since(begin).Seconds(), micros(ownCPU()-before)
	return g.figures, nil
}

// issueToken gets a token from the other key, for clients that may be in the room of the greedy.
func (g *grabber) issueToken(ctx context.Context) error {
	conn, err := dialControl(g.job)
	if err != nil {
		return err
	}
	defer conn.Close()
	answer, err := salav1.NewTokenServiceClient(conn).IssueToken(authorized(ctx, g.job), &salav1.IssueTokenRequest{User: "greedy", Rooms: []string{greedyRoom}})
	g.token = answer.GetToken()
	return err
}

// work takes again and again.
func (g *grabber) work(ctx context.Context, what grab, worker int) {
	begin := time.Now().Add(ramp * time.Duration(worker) / time.Duration(what.workers))
	for next := begin; pause(ctx, time.Until(next)) == nil; {
		next = time.Now().Add(what.every)
		err := what.take(ctx, g, worker)
		g.mu.Lock()
		g.figures[job.Blows]++
		if err != nil && ctx.Err() == nil {
			g.figures[job.Refused]++
		}
		g.mu.Unlock()
	}
}

// greedy returns a context whose calls carry the greedy key.
func (g *grabber) greedy(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+g.job.Target.GreedyKey)
}

// dial opens a connection that ends with ctx.
func (g *grabber) dial(ctx context.Context, address string) (net.Conn, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(greedyAddress)}, Timeout: probeTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	return conn, nil
}

// send sends text over a connection of its own and then holds that until the server closes it.
func (g *grabber) send(ctx context.Context, address string, parts ...string) error {
	conn, err := g.dial(ctx, address)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, part := range parts {
		if _, err := conn.Write([]byte(part)); err != nil {
			return err
		}
	}
	return hold(conn)
}

// hold reads until the server closes a connection.
func hold(conn net.Conn) error {
	scratch := make([]byte, 512)
	for {
		if _, err := conn.Read(scratch); err != nil {
			return err
		}
	}
}

// client opens a client's connection over WebSocket, with a socket if there is a token.
func (g *grabber) client(ctx context.Context, token string) (net.Conn, *bufio.Reader, error) {
	conn, err := g.dial(ctx, g.job.Target.Listen)
	if err != nil {
		return nil, nil, err
	}
	r := bufio.NewReaderSize(conn, 512)
	_, err = fmt.Fprintf(conn, "GET %swebsocket HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", enginePath, g.job.Target.Listen)
	if err == nil {
		var answer *http.Response
		if answer, err = http.ReadResponse(r, nil); err == nil && answer.StatusCode != http.StatusSwitchingProtocols {
			err = fmt.Errorf("websocket: %s", answer.Status)
		}
	}
	if err == nil {
		_, err = readFrame(r) // the server's first packet
	}
	if err == nil && token != "" {
		if _, err = conn.Write(appendMasked(nil, opText, fmt.Appendf(nil, `40{"token":%q}`, token))); err == nil {
			_, err = readFrame(r)
		}
	}
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn, r, nil
}

// readFrame reads a frame of the server's.
func readFrame(r *bufio.Reader) ([]byte, error) {
	for want := 2; ; {
		b, err := r.Peek(want)
		if err != nil {
			return nil, err
		}
		_, payload, size, err := nextFrame(b)
		if err != nil {
			return nil, err
		}
		if size > 0 {
			payload = slices.Clone(payload)
			_, err = r.Discard(size)
			return payload, err
		}
		want++
	}
}

// half returns the beginning of a message of 1 MB, without its end.
func half() string {
	whole := appendMasked(nil, opText, []byte(`42["x","`+strings.Repeat("x", 990_000)+`"]`))
	return string(whole[:len(whole)-100])
}

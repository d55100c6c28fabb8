package attacks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

const (
	// greedyHistory is a room whose history has greedyPage bytes: a page of the largest size.
	greedyHistory = "greedy-history"
	greedyPage    = 5_000_000
	greedyPieces  = 10
	// unreadTime is how long a caller doesn't read an answer.
	unreadTime = 5 * time.Second
)

// historyRule is the part of the configuration file for the history.
func historyRule() string {
	return fmt.Sprintf("history: [{namespace: /, rooms: %q, messages: %d, ttl: 1h}]\n", greedyHistory, greedyPieces)
}

// fillHistory gives the room its history.
func fillHistory(ctx context.Context, t *process.Target) error {
	conn, err := t.DialControl()
	if err != nil {
		return err
	}
	defer conn.Close()
	args := `["` + strings.Repeat("x", greedyPage/greedyPieces) + `"]`
	for range greedyPieces {
		_, err := salav1.NewMessageServiceClient(conn).Emit(t.Authorize(ctx), &salav1.EmitRequest{
			Rooms: []string{greedyHistory}, Event: "said", ArgsJson: args,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// dialDeaf opens a connection for which the kernel receives little that nobody reads.
func (g *greedy) dialDeaf(ctx context.Context, address string) (net.Conn, error) {
	conn, err := g.dial(ctx, address)
	if tcp, ok := conn.(*net.TCPConn); ok {
		err = tcp.SetReadBuffer(4096)
	}
	return conn, err
}

var errRefused = errors.New("the server refuses")

// getAndNotRead asks for a page over REST and reads no more than its status.
func getAndNotRead(ctx context.Context, g *greedy, _ int) error {
	conn, err := g.dialDeaf(ctx, g.target.HTTP)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "GET /v1/rooms/%s/messages?limit=1000 HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n",
		greedyHistory, g.target.HTTP, g.target.SecondKey)
	if err != nil {
		return err
	}
	status := make([]byte, len("HTTP/1.1 200"))
	if _, err := io.ReadFull(conn, status); err != nil {
		return err
	}
	if !bytes.HasSuffix(status, []byte(fmt.Sprint(http.StatusOK))) {
		return errRefused
	}
	return load.Sleep(ctx, unreadTime)
}

// callAndNotRead asks for a page over gRPC and lets the server send nothing of it.
func callAndNotRead(ctx context.Context, g *greedy, _ int) error {
	request, err := proto.Marshal(&salav1.ListMessagesRequest{Room: greedyHistory, Limit: 1000})
	if err != nil {
		return err
	}
	return g.callDeaf(ctx, salav1.RoomService_ListMessages_FullMethodName, request, 1)
}

// callDeaf makes calls over a connection of its own, with a window of 0.
func (g *greedy) callDeaf(ctx context.Context, method string, request []byte, calls int) error {
	conn, err := g.dialDeaf(ctx, g.target.Control)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		return err
	}
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	framer := http2.NewFramer(conn, conn)
	err = framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	message := append([]byte{0, byte(len(request) >> 24), byte(len(request) >> 16), byte(len(request) >> 8), byte(len(request))}, request...)
	for n := range calls {
		block.Reset()
		for _, field := range []hpack.HeaderField{
			{Name: ":method", Value: http.MethodPost}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: method}, {Name: ":authority", Value: "sala"},
			{Name: "content-type", Value: "application/grpc"}, {Name: "te", Value: "trailers"}, {Name: "authorization", Value: "Bearer " + g.target.SecondKey},
		} {
			err = errors.Join(err, encoder.WriteField(field))
		}
		stream := uint32(2*n + 1)
		err = errors.Join(err,
			framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true}),
			framer.WriteData(stream, true, message))
		if err != nil {
			return err
		}
	}
	if err := conn.SetReadDeadline(time.Now().Add(unreadTime)); err != nil {
		return err
	}
	for {
		frame, err := framer.ReadFrame()
		var late net.Error
		switch {
		case errors.As(err, &late) && late.Timeout():
			return nil
		case err != nil:
			return err
		}
		if headers, ok := frame.(*http2.HeadersFrame); ok && headers.StreamEnded() {
			return errRefused // there is a status without an answer
		}
	}
}

// subscribeAndNotTake subscribes to events of its own, which a client of its own sends, and takes none.
func subscribeAndNotTake(ctx context.Context, g *greedy, worker int) error {
	ctx, cancel := context.WithTimeout(g.authorize(ctx), unreadTime)
	defer cancel()
	name := fmt.Sprint("greedy-", worker)
	stream, err := salav1.NewEventServiceClient(g.conn(worker)).Subscribe(ctx)
	if err != nil {
		return err
	}
	err = stream.Send(&salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Start{Start: &salav1.SubscribeStart{
		Events: []string{name}, Kinds: []salav1.EventKind{salav1.EventKind_EVENT_KIND_MESSAGE}, Credits: 1,
	}}})
	if err == nil {
		_, err = stream.Recv() // that it has started
	}
	if err != nil {
		return err
	}
	conn, _, err := g.connectClient(ctx, g.token)
	if err != nil {
		return err
	}
	defer conn.Close()
	event := load.AppendFrame(nil, load.OpText, fmt.Appendf(nil, `42[%q,"%s"]`, name, strings.Repeat("x", 900_000)))
	for range 17 { // a little less than may wait for one subscription
		if _, err := conn.Write(event); err != nil {
			return err
		}
	}
	for err == nil {
		_, err = stream.Recv()
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

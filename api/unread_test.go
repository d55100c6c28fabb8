package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/history"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

const otherKey = "another-key-of-the-tests"

func withOtherKey(t *testing.T) func(*Config) {
	return func(c *Config) {
		c.Keys = append(c.Keys, mustKey(t, "other="+otherKey))
		c.MemoryLimit = 1 << 20 // so that shares are as small as they can be
	}
}

// pageOf returns a page of a history. A share has room for n of them.
func pageOf(h *harness, n int64) broker.MessagesPage {
	size := h.server.intake.maxUnread/n - 5000
	return broker.MessagesPage{Messages: []broker.RoomMessage{{Event: "e", Args: []byte(`["` + strings.Repeat("x", int(size)) + `"]`)}}}
}

// askForPages asks for pages over a connection with a window of 0.
func askForPages(t *testing.T, h *harness, calls int, more ...string) *hostile {
	t.Helper()
	a := attack(t, h.grpcAddr)
	err := a.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	request, _ := proto.Marshal(&salav1.ListMessagesRequest{Room: "a"})
	for n := range calls {
		id := uint32(2*n + 1)
		err = errors.Join(err,
			a.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: a.headers(salav1.RoomService_ListMessages_FullMethodName, more...), EndHeaders: true}),
			a.WriteData(id, true, append([]byte{0, 0, 0, 0, byte(len(request))}, request...)))
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for ctx := timeout(t); !holds(); {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			t.Fatal("never: " + what)
		}
	}
}

// A key whose answers over gRPC nobody reads gets no more pages until its connections that don't
// read are closed. Another key gets all it wants.
func TestUnreadPages(t *testing.T) {
	for _, compression := range []string{"identity", "gzip"} {
		t.Run(compression, func(t *testing.T) {
			b := &fakeBroker{}
			h := start(t, b, withOtherKey(t))
			b.messages = pageOf(h, 3)
			admin := h.callerOf(t, adminKey)
			rooms := salav1.NewRoomServiceClient(h.conn)
			list := func(key string) error {
				_, err := rooms.ListMessages(as(t, key), &salav1.ListMessagesRequest{Room: "a"})
				return err
			}
			a := askForPages(t, h, 3, "grpc-encoding", compression)
			eventually(t, "three answers wait", func() bool { return admin.Unwritten.Load() > h.server.intake.maxUnread*9/10 })
			wantStatus(t, list(adminKey), codes.ResourceExhausted, apierror.ReasonTooManyRequests, "take all memory")
			for range 3 {
				if err := list(otherKey); err != nil {
					t.Errorf("another key: %v", err)
				}
			}
			h.server.conns.mu.Lock()
			h.server.conns.patience = 0
			clear(h.server.conns.looked)
			h.server.conns.mu.Unlock()
			eventually(t, "the key gets a page", func() bool { return list(adminKey) == nil })
			a.ending()
			eventually(t, "nothing waits", func() bool { return admin.Unwritten.Load() == 0 })
		})
	}
}

// Answers that their caller gives up no longer count, though the connection stays.
func TestAnswersThatAreGivenUp(t *testing.T) {
	b := &fakeBroker{}
	h := start(t, b, withOtherKey(t))
	b.messages = pageOf(h, 4)
	admin := h.callerOf(t, adminKey)
	a := askForPages(t, h, 3)
	eventually(t, "the answers wait", func() bool { return admin.Unwritten.Load() > h.server.intake.maxUnread*7/10 })
	for _, id := range []uint32{1, 3} {
		if err := a.WriteRSTStream(id, http2.ErrCodeCancel); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "one answer waits", func() bool {
		n := admin.Unwritten.Load()
		return n > 0 && n < h.server.intake.maxUnread/3
	})
	_ = a.conn.Close()
	eventually(t, "nothing waits", func() bool { return admin.Unwritten.Load() == 0 })
}

// The connections of a key that has far too many answers unread are closed, however small the
// answers are; those of other keys aren't.
func TestUnreadSmallAnswers(t *testing.T) {
	h := start(t, &fakeBroker{}, withOtherKey(t))
	admin := h.callerOf(t, adminKey)
	var all []*hostile
	for range 12 {
		a := attack(t, h.grpcAddr)
		all = append(all, a)
		err := a.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		for n := range maxOpenCalls - 1 {
			id := uint32(2*n + 1)
			err = errors.Join(err,
				a.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: a.headers(salav1.KeyService_GetKey_FullMethodName), EndHeaders: true}),
				a.WriteData(id, true, make([]byte, 5)))
		}
		if err != nil {
			break // it is one of those that are closed
		}
	}
	all[0].ending()
	eventually(t, "little waits", func() bool { return admin.Unwritten.Load() <= 2*h.server.intake.maxUnread })
	if err := listRooms(t, h, otherKey); err != nil {
		t.Errorf("another key: %v", err)
	}
}

func listRooms(t *testing.T, h *harness, key string) error {
	_, err := salav1.NewRoomServiceClient(h.conn).ListRooms(as(t, key), &salav1.ListRoomsRequest{})
	return err
}

// Results over REST of calls that have been carried out take what room they need. While that is more
// than a share, their key makes no further call. Another key does.
func TestResultsThatNobodyReads(t *testing.T) {
	positions := slices.Repeat([]broker.RoomPosition{{Room: strings.Repeat("r", 255), Position: history.Position{Epoch: "e", Offset: 1}}}, 50_000)
	b := &fakeBroker{emit: func(context.Context, broker.Target, broker.Message) (broker.Report, error) {
		return broker.Report{Positions: positions}, nil
	}}
	h := start(t, b, withOtherKey(t))
	post := func(key string) (status string) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(h.rest.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		body := `{"rooms":["a"],"event":"e"}`
		_, err = fmt.Fprintf(conn, "POST /v1/emit HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", key, len(body), body)
		if err == nil {
			status, err = bufio.NewReaderSize(conn, 16).ReadString('\r')
		}
		if err != nil {
			t.Fatal(err)
		}
		return status
	}
	if got := post(adminKey); !strings.Contains(got, "200") {
		t.Errorf("the first call: %s", got)
	}
	b.take()
	if got := post(adminKey); !strings.Contains(got, "429") || len(b.take()) > 0 {
		t.Errorf("the second call: %s", got)
	}
	if got := post(otherKey); !strings.Contains(got, "200") {
		t.Errorf("another key: %s", got)
	}
}

// Each message of a stream over REST holds room until it is written.
func TestStreamsOverRESTThatNobodyReads(t *testing.T) {
	b := &fakeBroker{emitWithAck: func(_ context.Context, each func(broker.Ack) error) (broker.AckSummary, error) {
		for range 3 {
			if err := each(broker.Ack{Socket: "s", Args: []byte(`["` + strings.Repeat("x", 15<<20) + `"]`)}); err != nil {
				return broker.AckSummary{}, err
			}
		}
		return broker.AckSummary{}, nil
	}}
	h := start(t, b, withOtherKey(t))
	h.server.intake.patience = 50 * time.Millisecond
	answers, admin := h.server.intake.answers, h.callerOf(t, adminKey)
	held := func() int64 {
		answers.mu.Lock()
		defer answers.mu.Unlock()
		return answers.of[admin]
	}
	const body = `{"rooms":["a"],"event":"e","timeout":"20s"}`
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.rest.URL, "http://"))
	if err == nil {
		_, err = fmt.Fprintf(conn, "POST /v1/emit:ack HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", adminKey, len(body), body)
	}
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "a message holds room", func() bool { return held() > smallCost })
	if code, _, text := h.do(t, http.MethodPost, "/v1/emit:ack", body); code != http.StatusTooManyRequests {
		t.Errorf("another stream of the key: %d, %s", code, text)
	}
	_, _ = io.CopyN(io.Discard, conn, 1<<20)
	_ = conn.Close()
	eventually(t, "nothing is held", func() bool { return held() == 0 })
}

// Few pages of a history are made at the same time for one key, however many it asks for. Another key
// needn't wait for them.
func TestPagesAtOnce(t *testing.T) {
	release := make(chan struct{})
	var running, most atomic.Int64
	b := &fakeBroker{reading: func() {
		most.Store(max(most.Load(), running.Add(1)))
		<-release
		running.Add(-1)
	}}
	h := start(t, b, withOtherKey(t))
	var all sync.WaitGroup
	ask := func(key string) {
		all.Go(func() {
			_, err := salav1.NewRoomServiceClient(h.conn).ListMessages(as(t, key), &salav1.ListMessagesRequest{Room: "a"})
			if err != nil {
				t.Error(err)
			}
		})
	}
	for range 3 * minPages {
		ask(adminKey)
	}
	eventually(t, "the pages are made", func() bool { return running.Load() >= minPages })
	ask(otherKey)
	eventually(t, "that of another key is made", func() bool { return running.Load() > minPages })
	close(release)
	all.Wait()
	if n := most.Load(); n > minPages+1 {
		t.Errorf("%d pages were made at the same time", n)
	}
}

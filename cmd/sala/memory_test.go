package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// TestLittleMemory lets messages for clients that don't read fill the memory of
// a broker: it then refuses more of them and new clients, keeps all that it has,
// and goes on as before when they have read.
func TestLittleMemory(t *testing.T) {
	// Under the race detector it would take more memory than it is given.
	binary := filepath.Join(t.TempDir(), "sala")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	n := &node{out: newOutput(), err: newOutput()}
	cmd := exec.CommandContext(t.Context(), binary, "serve", "--dev", "--api-key=test="+testKey, "--log-format=json",
		"--max-queue-bytes=33554432", "--listen=127.0.0.1:0", "--grpc-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0")
	cmd.Env = append(os.Environ(), "GOMEMLIMIT=64MiB")
	cmd.Stderr = n.err
	startProcess(t, cmd)
	n.public, n.grpc, n.http = address(t, n.err, "public"), address(t, n.err, "grpc"), address(t, n.err, "http")
	n.err.line(t, `"msg":"limits"`, `"memory":67108864`, `"memory_from":"GOMEMLIMIT"`)

	conn, err := grpc.NewClient(n.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+testKey)

	clients := make([]*client, 10)
	queued := make([]int, len(clients))
	for i := range clients {
		clients[i] = n.connect(t, fmt.Sprint("user", i))
	}
	padding := strconv.Quote(strings.Repeat("x", 900_000))
	code := codes.OK
	for sent := 0; code == codes.OK; sent++ {
		if sent == 1000 {
			t.Fatal("memory has no bound")
		}
		i := sent % len(clients)
		if code = n.emitLarge(ctx, conn, clients[i].id, queued[i], padding); code == codes.OK {
			queued[i]++
		}
	}
	if code != codes.ResourceExhausted {
		t.Errorf("a message that is refused gets %s", code)
	}
	n.err.line(t, "memory is short", `"limit":67108864`)
	if status, body := get(t, "http://"+n.http+"/readyz", ""); status != http.StatusServiceUnavailable || !strings.Contains(body, "memory") {
		t.Errorf("readyz: %d %s", status, body)
	}
	if status, _ := get(t, "http://"+n.public+"/socket.io/?EIO=4&transport=polling", ""); status != http.StatusServiceUnavailable {
		t.Errorf("a new client gets %d", status)
	}
	if _, metrics := get(t, "http://"+n.http+"/metrics", ""); !strings.Contains(metrics, `sala_sockets{namespace="/"} 10`) {
		t.Error("some of those who were connected have gone")
	}
	var reading sync.WaitGroup // all at once, as one that waits for its turn would be a slow consumer
	for i, c := range clients {
		reading.Go(func() { c.readAll(t, queued[i]) })
	}
	reading.Wait()
	n.err.line(t, "there is enough memory again")
	for i, c := range clients {
		if code := n.emitLarge(ctx, conn, c.id, queued[i], `"after"`); code != codes.OK {
			t.Errorf("a message afterwards gets %s", code)
		}
		c.read(fmt.Sprintf(`42["m",%d,"after"`, queued[i]))
	}
	n.connect(t, "another")
}

// readAll reads messages that are numbered from 0.
func (c *client) readAll(t *testing.T, count int) {
	_ = c.ws.SetReadDeadline(time.Now().Add(patience))
	for number := 0; number < count; {
		_, packet, err := c.ws.ReadMessage()
		switch {
		case err != nil:
			t.Errorf("waiting for message %d of %d: %v", number, count, err)
			return
		case strings.HasPrefix(string(packet), fmt.Sprintf(`42["m",%d,`, number)):
			number++
		case string(packet) != "2":
			t.Errorf("message %d of %d begins with %.20q", number, count, packet)
			return
		}
	}
}

// emitLarge emits to one client, over gRPC, which takes large messages quickly:
// those that wait must not become slow consumers before memory is short.
func (n *node) emitLarge(ctx context.Context, conn *grpc.ClientConn, socket string, number int, arg string) codes.Code {
	_, err := salav1.NewMessageServiceClient(conn).Emit(ctx, &salav1.EmitRequest{
		Sockets: []string{socket}, Event: "m", ArgsJson: fmt.Sprintf("[%d,%s]", number, arg),
	})
	return status.Code(err)
}

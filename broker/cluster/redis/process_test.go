//go:build unix

package redis_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/clustertest"
	"github.com/salabroker/sala/broker/cluster/redis"
)

// processURL makes the test binary run one node on that Redis, and nothing else.
const processURL = "SALA_TEST_NODE"

func TestMain(m *testing.M) {
	if url := os.Getenv(processURL); url != "" {
		if err := runProcess(url); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		return
	}
	// After it is closed, the client library looks for moved slots for a moment.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"))
}

// hasty makes nodes notice everything in a fifth of the usual time.
func hasty(o cluster.Options) cluster.Options {
	o.Heartbeat, o.DeadAfter = 200*time.Millisecond, 800*time.Millisecond
	return o
}

// runProcess runs a node until SIGTERM. It prints the node's id and then what its handler is told.
func runProcess(url string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	b, err := redis.New(redis.Options{URL: url})
	if err != nil {
		return err
	}
	mesh, err := cluster.New(hasty(cluster.Options{Bus: b, Handler: printer{}}))
	if err != nil {
		return err
	}
	fmt.Println(mesh.ID())
	return mesh.Run(ctx)
}

// printer prints what a node's handler is told.
type printer struct{}

func (printer) Deliver(cluster.Delivery) []byte { return nil }
func (printer) Answer(context.Context, cluster.NodeID, []byte) ([]byte, error) {
	return nil, nil
}
func (printer) NodeJoined(n cluster.Node) { fmt.Println("joined", n.ID) }
func (printer) NodeLeft(n cluster.Node)   { fmt.Println("left", n.ID) }
func (printer) NodeLost(n cluster.Node)   { fmt.Println("lost", n.ID) }
func (printer) Rejoined()                 { fmt.Println("rejoined") }

// process is a node in its own process.
type process struct {
	id    cluster.NodeID
	cmd   *exec.Cmd
	lines chan string // closed when it has ended
}

func startProcess(t *testing.T, url string) *process {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), processURL+"="+url)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, lines: make(chan string, 1000)}
	go func() {
		defer close(p.lines)
		for in := bufio.NewScanner(out); in.Scan(); {
			p.lines <- in.Text()
		}
	}()
	t.Cleanup(func() { p.kill() })
	p.id = cluster.NodeID(p.await(t, ""))
	return p
}

// await waits for a line, or for any line if it is empty, and returns it.
func (p *process) await(t *testing.T, want string) string {
	t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				t.Fatalf("the process has ended before it said %q", want)
			}
			if want == "" || line == want {
				return line
			}
		case <-timeout:
			t.Fatalf("the process doesn't say %q", want)
		}
	}
}

// kill ends the process as kill -9 does, and waits until it has ended.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended already
	for range p.lines {
	}
	_ = p.cmd.Wait() // which was killed
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// Stops a node's process with SIGSTOP for longer than a node may be silent. It is lost. When it
// continues, it learns so and rejoins.
func TestProcessStopped(t *testing.T) {
	server := clustertest.Start(t)
	watcher := clustertest.StartNode(t, hasty(cluster.Options{Bus: bus(t, server.URL())}))
	p := startProcess(t, server.URL())
	watcher.AwaitEvent("joined " + string(p.id))
	p.signal(t, syscall.SIGSTOP)
	watcher.AwaitEvent("lost " + string(p.id))
	p.signal(t, syscall.SIGCONT)
	p.await(t, "rejoined")
	watcher.Await("the node to be back", func() bool { return watcher.HasNode(p.id) })
	p.signal(t, syscall.SIGTERM)
	watcher.AwaitEvent("left " + string(p.id))
}

// Starts, kills, ends, stops and continues processes of nodes at random. In the end, all running
// nodes know each other.
func TestProcessesKilled(t *testing.T) {
	server := clustertest.Start(t)
	watcher := clustertest.StartNode(t, hasty(cluster.Options{Bus: bus(t, server.URL())}))
	random := rand.New(rand.NewPCG(1, 2))
	var there, gone []*process
	for range 3 * rounds(t) {
		if len(there) == 0 || len(there) < 4 && random.IntN(2) == 0 {
			p := startProcess(t, server.URL())
			watcher.AwaitEvent("joined " + string(p.id))
			there = append(there, p)
			continue
		}
		i := random.IntN(len(there))
		p := there[i]
		switch random.IntN(3) {
		case 0:
			p.kill()
			watcher.AwaitEvent("lost " + string(p.id))
			there, gone = slices.Delete(there, i, i+1), append(gone, p)
		case 1:
			p.signal(t, syscall.SIGTERM)
			watcher.AwaitEvent("left " + string(p.id))
			there, gone = slices.Delete(there, i, i+1), append(gone, p)
		case 2:
			p.signal(t, syscall.SIGSTOP)
			p.signal(t, syscall.SIGCONT)
		}
	}
	want := []cluster.NodeID{watcher.ID()}
	for _, p := range there {
		want = append(want, p.id)
	}
	slices.Sort(want)
	watcher.Await("exactly those who are there", func() bool {
		var got []cluster.NodeID
		for _, node := range watcher.Nodes() {
			got = append(got, node.ID)
		}
		slices.Sort(got)
		return slices.Equal(got, want)
	})
	for _, p := range gone {
		ends := slices.DeleteFunc(watcher.Events(), func(e string) bool {
			return strings.HasPrefix(e, "joined") || !strings.HasSuffix(e, string(p.id))
		})
		if len(ends) != 1 {
			t.Errorf("of the end of %s was told %q, want one", p.id, ends)
		}
	}
}

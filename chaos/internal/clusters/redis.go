package clusters

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
)

// redisServers are servers of Redis, or sentinels, besides a cluster's own Redis.
type redisServers struct {
	dir      string
	log      string
	servers  map[string]*process.Server // by address
	commands map[string]*process.Command
	order    []string // addresses
}

func newRedisServers(c process.Cluster) (*redisServers, error) {
	dir, err := os.MkdirTemp("", "sala-faults-")
	if err != nil {
		return nil, err
	}
	return &redisServers{dir: dir, log: c.Redis.Log, servers: make(map[string]*process.Server), commands: make(map[string]*process.Command)}, nil
}

// add starts a server with further arguments and returns its address.
func (r *redisServers) add(ctx context.Context, args ...string) (string, error) {
	return r.launch(ctx, nil, append([]string{"--save", "", "--appendonly", "no"}, args...)...)
}

// addSentinel starts a sentinel with a configuration file and returns its address.
func (r *redisServers) addSentinel(ctx context.Context, config string) (string, error) {
	file, err := os.CreateTemp(r.dir, "sentinel-*.conf")
	if err != nil {
		return "", err
	}
	_, err = file.WriteString(config)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return "", err
	}
	return r.launch(ctx, []string{file.Name(), "--sentinel"})
}

func (r *redisServers) launch(ctx context.Context, first []string, further ...string) (string, error) {
	free, err := process.FreeAddresses(1)
	if err != nil {
		return "", err
	}
	address := free[0]
	host, port, _ := net.SplitHostPort(address)
	dir := filepath.Join(r.dir, port)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	args := append(first, "--port", port, "--bind", host, "--dir", dir, "--daemonize", "no")
	r.commands[address] = &process.Command{
		Name: "redis " + address, Path: "redis-server", Args: append(args, further...), Wait: free, Log: r.log,
		Target: process.Target{Listen: address},
	}
	r.order = append(r.order, address)
	return address, r.restart(ctx, address)
}

// restart starts a server that has ended.
func (r *redisServers) restart(ctx context.Context, address string) error {
	s, err := process.Start(ctx, r.commands[address])
	if err == nil {
		r.servers[address] = s
	}
	return err
}

func (r *redisServers) stop() {
	for _, s := range r.servers {
		s.Kill()
	}
	_ = os.RemoveAll(r.dir) // in the folder for temporary files
}

// awaitInfo waits until all of some servers answer a command as wanted.
func awaitInfo(ctx context.Context, what string, addresses []string, command string, wanted func(info string) bool) error {
	for begin := time.Now(); ; {
		ready := 0
		for _, address := range addresses {
			if info, err := redisInfo(ctx, address, command); err == nil && wanted(info) {
				ready++
			}
		}
		switch {
		case ready == len(addresses):
			return nil
		case time.Since(begin) > failoverTimeout:
			return fmt.Errorf("timed out waiting for %s", what)
		}
		if err := load.Sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// redisInfo sends a command to a Redis and returns the whole answer.
func redisInfo(ctx context.Context, address, command string) (string, error) {
	host, port, _ := net.SplitHostPort(address)
	answer, err := exec.CommandContext(ctx, "redis-cli", append([]string{"-h", host, "-p", port}, strings.Fields(command)...)...).Output()
	return string(answer), err
}

// infoField returns the value of a field in an answer to INFO.
func infoField(info, name string) string {
	_, after, _ := strings.Cut(info, name)
	value, _, _ := strings.Cut(after, "\r")
	return strings.TrimSpace(value)
}

// redisCall sends a command to a Redis. It returns an error if the answer is one.
func redisCall(ctx context.Context, address, command string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(load.HandshakeTimeout)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "%s\r\n", command); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && strings.HasPrefix(line, "-") {
		err = fmt.Errorf("redis answered %q to %q", strings.TrimSpace(line), command)
	}
	return err
}

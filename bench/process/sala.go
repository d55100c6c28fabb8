package process

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
)

// Sala starts servers of Sala with secrets of its own. It is safe for concurrent use.
type Sala struct {
	binary, logs              string
	secret, apiKey, secondKey string
}

// NewSala returns a starter for a binary. Logs is the folder for the servers' output.
func NewSala(binary, logs string) *Sala {
	return &Sala{binary: binary, logs: logs, secret: rand.Text() + rand.Text(), apiKey: rand.Text(), secondKey: rand.Text()}
}

// Addresses are where a server listens.
type Addresses struct {
	Listen, Control, HTTP string
	// Redis is the Redis of the server's cluster; empty for a single server.
	Redis string
}

// NewAddresses returns addresses on which nobody listens.
func NewAddresses() (Addresses, error) {
	free, err := FreeAddresses(3)
	if err != nil {
		return Addresses{}, err
	}
	return Addresses{Listen: free[0], Control: free[1], HTTP: free[2]}, nil
}

// Single returns how a server without a cluster is started, on free addresses. Args follow the
// usual ones.
func (s *Sala) Single(name string, args ...string) (Command, error) {
	at, err := NewAddresses()
	if err != nil {
		return Command{}, err
	}
	c := s.Command(at, args...)
	return c, c.NameAndLog(s.logs, name)
}

// Command returns how a server is started. Its name and its log are still to be set.
func (s *Sala) Command(at Addresses, args ...string) Command {
	c := Command{
		Path:   s.binary,
		Target: Target{Listen: at.Listen, Control: at.Control, HTTP: at.HTTP, APIKey: s.apiKey, SecondKey: s.secondKey},
		Args: []string{
			"serve", "--listen", at.Listen, "--grpc-listen", at.Control, "--http-listen", at.HTTP, "--drain-timeout", "1s",
		},
		Env:  []string{"SALA_JWT_SECRET=" + s.secret, "SALA_API_KEY=" + s.apiKey + " second=" + s.secondKey},
		Wait: []string{at.Listen, at.Control, at.HTTP},
	}
	if at.Redis != "" {
		c.Args = append(c.Args, "--redis-url", "redis://"+at.Redis)
		c.Env = append(c.Env, "SALA_CLUSTER_KEY="+s.secret)
		c.Ready = "http://" + at.HTTP + "/readyz"
	}
	c.Args = append(c.Args, args...)
	return c
}

// RedisCommand returns how a Redis is started that keeps nothing on disk.
func RedisCommand(listen string) Command {
	host, port, _ := net.SplitHostPort(listen) // it comes from a listener
	return Command{
		Target: Target{Listen: listen},
		Path:   "redis-server",
		Args:   []string{"--bind", host, "--port", port, "--save", "", "--appendonly", "no", "--daemonize", "no"},
		Wait:   []string{listen},
	}
}

// NameAndLog names the server and gives it an empty log in a folder.
func (c *Command) NameAndLog(logs, name string) error {
	c.Name, c.Log = name, filepath.Join(logs, name+".log")
	if err := os.Remove(c.Log); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

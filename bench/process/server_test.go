package process

import (
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestStart(t *testing.T) {
	ready := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer ready.Close()
	log := filepath.Join(t.TempDir(), "log")
	c := Command{Name: "it", Path: "sh", Args: []string{"-c", "exec sleep 60"}, Log: log, Ready: ready.URL}
	for name, end := range map[string]func(*Server){
		"stopped": (*Server).Stop,
		"killed":  (*Server).Kill,
		"frozen, then stopped": func(s *Server) {
			if err := s.Signal(syscall.SIGSTOP); err != nil {
				t.Error(err)
			}
			s.Stop()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Start(t.Context(), &c)
			if err != nil {
				t.Fatal(err)
			}
			if s.Target().PID == 0 {
				t.Error("it has no process")
			}
			end(s)
			<-s.Ended()
		})
	}
}

func TestOneThatEndsAtOnce(t *testing.T) {
	free, err := FreeAddresses(2)
	if err != nil {
		t.Fatal(err)
	}
	if free[0] == free[1] {
		t.Errorf("two are the same: %s", free[0])
	}
	_, err = Start(t.Context(), &Command{
		Name: "it", Path: "sh", Args: []string{"-c", "echo no luck"}, Log: filepath.Join(t.TempDir(), "log"), Wait: free[:1],
	})
	if err == nil || !strings.Contains(err.Error(), "no luck") {
		t.Errorf("the error is %v, without its output", err)
	}
	listener, err := net.Listen("tcp", free[0])
	if err != nil {
		t.Fatalf("the address isn't free: %v", err)
	}
	listener.Close()
}

package bench

import (
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/salabroker/sala/bench/process"
)

// The servers.
const (
	PeerFloor      = "floor"
	PeerRing       = "floor-io-uring" // the floor with one system call for many writes
	PeerNode       = "node"
	PeerCentrifuge = "centrifuge"
	PeerLibrary    = "library"
	PeerSala       = "sala"
	PeerSessions   = "sala-sessions" // Sala, whose clients could return; only if it is named
	PeerEmpty      = "empty"
)

// peersOf returns the servers that a profile compares: all whose figures say something there. The
// library is left out where it would only show again what deliveries cost, and the floor where it
// has nothing to do.
func peersOf(profile string) []string {
	switch profile {
	case ProfileControl:
		return []string{PeerEmpty, PeerSala}
	case ProfileDefault, ProfileEvents, ProfileCluster:
		return []string{PeerNode, PeerSala}
	case ProfilePaced:
		return []string{PeerFloor, PeerRing, PeerNode, PeerCentrifuge, PeerLibrary, PeerSala}
	case ProfileRooms, ProfileWide:
		return []string{PeerFloor, PeerRing, PeerNode, PeerCentrifuge, PeerSala}
	case ProfileIdle, ProfileHandshakes:
		return []string{PeerNode, PeerCentrifuge, PeerLibrary, PeerSala}
	default:
		return []string{PeerFloor, PeerNode, PeerCentrifuge, PeerLibrary, PeerSala}
	}
}

// protocolOf returns the name of the protocol that clients of a server speak; empty if it has no
// clients.
func protocolOf(peer string) string {
	switch peer {
	case PeerFloor, PeerRing:
		return protocolFloor
	case PeerCentrifuge:
		return protocolCentrifuge
	case PeerEmpty:
		return ""
	case PeerSessions:
		return protocolSessions
	default:
		return protocolSocketIO
	}
}

// command returns how a server is started. Its settings are the defaults, except for the addresses.
func (r *Runner) command(peer string, at process.Addresses) process.Command {
	if peer == PeerSala || peer == PeerSessions {
		return r.sala.Command(at)
	}
	c := process.Command{
		Path:   r.binary(peer),
		Args:   []string{"--listen", at.Listen, "--control", at.Control},
		Wait:   []string{at.Listen, at.Control},
		Target: process.Target{Listen: at.Listen, Control: at.Control},
	}
	switch peer {
	case PeerRing:
		c.Path, c.Args = r.binary("floor"), append(c.Args, "--io-uring")
	case PeerNode:
		c.Path, c.Env = "node", []string{"NODE_ENV=production"}
		c.Args = append([]string{filepath.Join(r.cfg.Home, "peers", "node", "server.mjs")}, c.Args...)
		if at.Redis != "" {
			c.Args = append(c.Args, "--redis", "redis://"+at.Redis)
		}
	case PeerEmpty:
		c.Path, c.Args, c.Wait = r.binary("grpc"), []string{"--control", at.Control}, []string{at.Control}
	}
	return c
}

// probeRing asks the kernel for a small io_uring. It returns why it refuses one, as sandboxes do.
func probeRing() error {
	var parameters [120]byte // struct io_uring_params
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&parameters)), 0)
	if errno != 0 {
		return errno
	}
	return unix.Close(int(fd))
}

func (r *Runner) binary(name string) string { return filepath.Join(r.cfg.Home, "bin", name) }

//go:build !unix

package engineio

import (
	"errors"
	"net"
	"syscall"
)

// Without Unix sockets, every connection is read and written in the blocking way: rawConn says
// so, and nothing calls the other two.

func rawConn(net.Conn) syscall.RawConn { return nil }

func tryWrite(uintptr, []byte) (int, bool, error) { return 0, false, errors.ErrUnsupported }

func tryRead(uintptr, []byte) (int, bool, error) { return 0, false, errors.ErrUnsupported }

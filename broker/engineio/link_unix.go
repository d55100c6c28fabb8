//go:build unix

package engineio

import (
	"io"
	"net"
	"syscall"
)

// rawConn returns the access to nc's descriptor if nc is a plain socket. It accepts only these
// two types: one that embeds them may do more than the socket does.
func rawConn(nc net.Conn) syscall.RawConn {
	var raw syscall.RawConn
	var err error
	switch nc := nc.(type) {
	case *net.TCPConn:
		raw, err = nc.SyscallConn()
	case *net.UnixConn:
		raw, err = nc.SyscallConn()
	default:
		return nil
	}
	if err != nil {
		return nil
	}
	return raw
}

// tryWrite writes what fits into the socket's buffer. blocked says that nothing did.
func tryWrite(fd uintptr, p []byte) (n int, blocked bool, err error) {
	for {
		n, err = syscall.Write(int(fd), p)
		switch err {
		case nil:
			return n, false, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, true, nil
		default:
			return 0, false, err
		}
	}
}

// tryRead reads what is there. blocked says that nothing is. At the end of the stream the error
// is io.EOF.
func tryRead(fd uintptr, p []byte) (n int, blocked bool, err error) {
	for {
		n, err = syscall.Read(int(fd), p)
		switch {
		case err == nil && n > 0:
			return n, false, nil
		case err == nil:
			return 0, false, io.EOF
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return 0, true, nil
		default:
			return 0, false, err
		}
	}
}

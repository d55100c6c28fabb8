package observe

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"strings"
)

// The states of TCP connections that a process holds open, as the kernel writes them: connected,
// and closed by the other side only.
const (
	tcpEstablished = "01"
	tcpCloseWait   = "08"
)

// Established returns how many connections the kernel has at a listener's port, including those
// that only the client has closed.
func Established(listen string) (n int, err error) {
	at, err := netip.ParseAddrPort(listen)
	if err != nil {
		return 0, err
	}
	for _, path := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		table, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return 0, err
		}
		at, err := countEstablished(table, at.Port())
		table.Close()
		if err != nil {
			return 0, err
		}
		n += at
	}
	return n, nil
}

// countEstablished reads one of the kernel's tables. Its fields are the number, the local and the
// remote address with their ports, and the state.
func countEstablished(table io.Reader, port uint16) (n int, err error) {
	local := fmt.Sprintf(":%04X", port)
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) > 3 && strings.HasSuffix(fields[1], local) && (fields[3] == tcpEstablished || fields[3] == tcpCloseWait) {
			n++
		}
	}
	return n, lines.Err()
}

package engineio

import "syscall"

// tcpNotSentLowat is TCP_NOTSENT_LOWAT, which package syscall lacks.
const tcpNotSentLowat = 25

// limitUnsent has a socket take no more bytes while that many wait to be sent. A socket that
// isn't TCP ignores it.
func limitUnsent(fd uintptr, bytes int) {
	_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotSentLowat, bytes)
}

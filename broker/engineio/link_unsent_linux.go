package engineio

import "syscall"

// tcpNotSentLowat is TCP_NOTSENT_LOWAT, which package syscall doesn't know.
const tcpNotSentLowat = 25

// limitUnsent has a socket take no more while so many bytes wait to be sent. One that is no TCP socket ignores it.
func limitUnsent(fd uintptr, bytes int) {
	_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotSentLowat, bytes)
}

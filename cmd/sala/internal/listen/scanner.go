package listen

import (
	"bytes"
	"strconv"
)

// scanState is what the next byte belongs to.
type scanState uint8

const (
	beforeRequest scanState = iota
	requestLine
	headerName
	headerValue
	body
	chunkSize
	chunk
	trailer
	unknown // net/http refuses the request and closes the connection
)

// maxKept is how many bytes of a line are kept. The longest relevant name has 17 bytes, the longest
// number 19.
const maxKept = 32

// http10 is the end of the request line of HTTP/1.0.
var http10 = [8]byte([]byte("HTTP/1.0"))

// requestScanner follows the requests on one connection as net/http reads them. It isn't safe for
// concurrent use.
type requestScanner struct {
	state scanState
	kept  [maxKept]byte // first bytes of the line, or of a header's value
	n     int           // length of the line or value so far
	last  [8]byte       // last bytes of the request line
	left  uint64        // remaining bytes of the body or chunk

	isOld     bool // HTTP/1.0
	hasLength bool
	isLength  bool // the header line is Content-Length
	hasCoding bool
	length    uint64
}

// scan follows bytes that have been read. It overwrites a byte of the header that makes a request
// ambiguous, which makes that header invalid.
func (s *requestScanner) scan(b []byte) {
	for len(b) > 0 {
		switch s.state {
		case unknown:
			return
		case body, chunk:
			n := min(s.left, uint64(len(b)))
			b = b[n:]
			s.left -= n
			if s.left == 0 {
				s.endBody()
			}
		case headerValue:
			if !s.isLength {
				b = b[s.skipLine(b):]
				continue
			}
			s.next(b[0])
			b = b[1:]
		default:
			if s.isAmbiguous(b[0]) {
				b[0] = 0
				s.state = unknown
				return
			}
			s.next(b[0])
			b = b[1:]
		}
	}
}

// skipLine ends the line if its end is in b, and returns how many bytes belong to it. Most scanned
// bytes are values of irrelevant headers.
func (s *requestScanner) skipLine(b []byte) int {
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		return len(b)
	}
	s.endLine()
	return end + 1
}

// isAmbiguous reports whether the next byte makes the request ambiguous, because it ends a header's
// name or folds a line.
func (s *requestScanner) isAmbiguous(c byte) bool {
	switch {
	case s.state != headerName && s.state != trailer:
		return false
	case s.n == 0:
		return c == ' ' || c == '\t'
	case s.state == trailer || c != ':':
		return false
	case s.isNamed("transfer-encoding"):
		return s.isOld || s.hasCoding || s.hasLength
	default:
		return s.isNamed("content-length") && s.hasCoding
	}
}

func (s *requestScanner) isNamed(name string) bool {
	return s.n == len(name) && bytes.EqualFold(s.kept[:s.n], []byte(name))
}

// next takes the next byte of a line.
func (s *requestScanner) next(c byte) {
	switch {
	case s.state == beforeRequest && (c == '\r' || c == '\n'): // net/http skips a few after a POST, or refuses them
	case s.state == beforeRequest:
		*s = requestScanner{state: requestLine}
		s.next(c)
	case c == '\n':
		s.endLine()
	case s.state == headerName && c == ':':
		s.hasCoding = s.hasCoding || s.isNamed("transfer-encoding")
		s.isLength = s.isNamed("content-length")
		s.state, s.n = headerValue, 0
	default:
		if s.n < maxKept {
			s.kept[s.n] = c
		}
		s.n++
		if s.state == requestLine && c != '\r' {
			copy(s.last[:], s.last[1:])
			s.last[len(s.last)-1] = c
		}
	}
}

// line returns the kept bytes of the line.
func (s *requestScanner) line() []byte { return bytes.TrimSpace(s.kept[:min(s.n, maxKept)]) }

func (s *requestScanner) endLine() {
	isBlank := len(s.line()) == 0
	switch s.state {
	case requestLine:
		s.isOld = s.last == http10
		s.state = headerName
	case headerName, trailer:
		if isBlank {
			s.endLines()
		} // otherwise net/http refuses the header, which lacks its colon
	case headerValue:
		if s.isLength {
			s.readLength()
		}
		s.isLength = false
		if s.state != unknown {
			s.state = headerName
		}
	case chunkSize:
		s.readChunkSize()
	}
	s.n = 0
}

// endLines is called at the end of the headers, and of the trailers.
func (s *requestScanner) endLines() {
	switch {
	case s.state == headerName && s.hasCoding:
		s.state = chunkSize
	case s.state == headerName && s.length > 0:
		s.state, s.left = body, s.length
	default:
		s.state = beforeRequest
	}
}

func (s *requestScanner) endBody() {
	if s.state == chunk {
		s.state, s.n = chunkSize, 0
		return
	}
	s.state = beforeRequest
}

func (s *requestScanner) readLength() {
	length, err := strconv.ParseUint(string(s.line()), 10, 63)
	if err != nil || s.n > maxKept || s.hasLength && length != s.length {
		s.state = unknown
		return
	}
	s.length, s.hasLength = length, true
}

func (s *requestScanner) readChunkSize() {
	digits, _, _ := bytes.Cut(s.line(), []byte(";"))
	size, err := strconv.ParseUint(string(bytes.TrimSpace(digits)), 16, 62)
	switch {
	case err != nil:
		s.state = unknown
	case size == 0:
		s.state = trailer
	default:
		s.state, s.left = chunk, size+2 // and the line break after it
	}
}

package engine

// assembly collects a binary packet of Socket.IO, which its library writes in parts: first the text that announces
// attachments, then each of these. They become one Frame, so that nothing that others send can come between.
type assembly struct {
	text    []byte
	parts   [][]byte
	missing int
}

// clear forgets what was collected and returns how many messages that was: one, or none.
func (a *assembly) clear() int {
	incomplete := 0
	if a.missing > 0 {
		incomplete = 1
	}
	*a = assembly{}
	return incomplete
}

// write appends one encoded part of a message: text, or binary data. It keeps content.
func (c *Conn) write(content []byte, text bool) {
	c.mu.Lock()
	open := c.state == stateOpen
	incomplete := 0
	if text || !open {
		incomplete = c.binary.clear()
	}
	var f *Frame
	if open {
		f = c.binary.add(content, text)
	}
	c.mu.Unlock()

	if incomplete > 0 {
		c.dropped(DropIncomplete)
	}
	switch {
	case f != nil:
		c.Send(f, false)
	case text && !open:
		c.dropped(DropClosed)
	}
}

// add returns the Frame that content completes, or nil if attachments are missing.
func (a *assembly) add(content []byte, text bool) *Frame {
	switch {
	case text:
		if a.missing = attachmentCount(content); a.missing > 0 {
			a.text = content
			return nil
		}
		return NewFrame(content)
	case a.missing == 0:
		return newBinaryFrame(content)
	}
	a.parts = append(a.parts, content)
	if a.missing--; a.missing > 0 {
		return nil
	}
	f := NewFrame(a.text, a.parts...)
	a.clear()
	return f
}

// maxAttachmentDigits bounds the number that is read from a packet.
const maxAttachmentDigits = 6

// attachmentCount returns how many attachments a Socket.IO packet announces: the number before the '-' of a binary
// event ('5') or acknowledgement ('6').
func attachmentCount(packet []byte) int {
	if len(packet) == 0 || packet[0] != '5' && packet[0] != '6' {
		return 0
	}
	n := 0
	for i, b := range packet[1:] {
		switch {
		case b == '-':
			return n
		case b < '0' || b > '9' || i == maxAttachmentDigits:
			return 0
		}
		n = n*10 + int(b-'0')
	}
	return 0
}

package broker

import (
	"errors"

	"github.com/zishang520/socket.io/parsers/socket/v3/parser"

	"github.com/salabroker/sala/broker/adminui"
	"github.com/salabroker/sala/broker/socketio"
)

// This file lets the Admin UI in. Its page connects like a client, to a namespace that no client
// can be in: it has no index, so an admin isn't counted, listed or reached. A connection is either
// an admin's or a client's.

// reasonAdminRefused is the code for somebody who can't sign in to the Admin UI.
const reasonAdminRefused = "ADMIN_REFUSED"

// isAdmins reports whether a packet is for the Admin UI.
func (c *client) isAdmins(p *socketio.Packet) bool {
	return c.b.admin != nil && p.Namespace == adminui.Namespace
}

// receiveAdmin carries out a packet for the Admin UI.
func (c *client) receiveAdmin(p *socketio.Packet) {
	switch p.Type {
	case parser.CONNECT:
		c.connectAdmin(p)
	case parser.DISCONNECT:
		if c.b.admin.Closed(c.conn) {
			c.closeUnlessUsed()
		}
	case parser.EVENT:
		if p.Refusal == "" && len(p.Attachments) == 0 {
			c.b.admin.Receive(c.conn, p.Event, p.Args)
		}
	}
}

// connectAdmin lets somebody sign in, or refuses.
func (c *client) connectAdmin(p *socketio.Packet) {
	if c.b.admin.Has(c.conn) {
		c.cut(errors.New("a second CONNECT for the same namespace"))
		return
	}
	c.b.admin.Connect(c.conn, p.Auth, func(err error) bool {
		if err != nil {
			code := CodeUnauthenticated
			if errors.Is(err, adminui.ErrTooMany) {
				code = CodeResourceExhausted
			}
			c.refuse(adminui.Namespace, "", reasonAdminRefused, &Error{Code: code, Reason: reasonAdminRefused, Message: err.Error()})
			return false
		}
		open, used := c.becomeAdmin()
		if used {
			c.refuse(adminui.Namespace, "", ReasonNamespaceDenied, denied(ReasonNamespaceDenied, "the connection is a client's; open another one for the Admin UI"))
		}
		return open && !used
	})
}

// becomeAdmin has the connection stay open without sockets. It can't if it has ended, or is used
// by sockets.
func (c *client) becomeAdmin() (open, used bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	open, used = !c.ended, len(c.sockets)+len(c.deciding) > 0
	if !open || used {
		return open, used
	}
	if c.closing != nil {
		c.closing.Stop()
		c.closing = nil
	}
	c.conn.Established()
	return open, used
}

// refuseToAdmin refuses the connection of an admin in other namespaces. It reports whether it has.
func (c *client) refuseToAdmin(p *socketio.Packet) bool {
	if c.b.admin == nil || !c.b.admin.Has(c.conn) {
		return false
	}
	c.refuse(p.Namespace, "", ReasonNamespaceDenied, denied(ReasonNamespaceDenied, "the connection is the Admin UI's; open another one"))
	return true
}

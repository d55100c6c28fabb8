package broker

import (
	"github.com/zishang520/socket.io/v3/pkg/types"

	"github.com/salabroker/sala/broker/packet"
)

// frame is a message encoded once for all who get it.
type frame struct {
	text        []byte
	attachments [][]byte
}

func newFrame(namespace string, m *Message) *frame {
	return &frame{
		text:        packet.AppendEvent(nil, namespace, nil, m.Event, packet.Payload{Args: m.Args, Attachments: m.Attachments}),
		attachments: m.Attachments,
	}
}

func (f *frame) buffers() []types.BufferInterface {
	out := []types.BufferInterface{types.NewStringBuffer(f.text)}
	for _, a := range f.attachments {
		out = append(out, types.NewBytesBuffer(a))
	}
	return out
}

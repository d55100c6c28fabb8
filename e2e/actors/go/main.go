// Command go-actor is a Socket.IO client in Go that a test drives. It reads orders
// as lines of JSON from standard input and writes what happens to standard output.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"sync"

	"github.com/zishang520/socket.io/clients/engine/v3/transports"
	"github.com/zishang520/socket.io/clients/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

type order struct {
	Do         string   `json:"do"`
	URL        string   `json:"url"`
	Transports []string `json:"transports"`
	Token      string   `json:"token"`
	ID         int      `json:"id"`
	Event      string   `json:"event"`
	Args       []any    `json:"args"`
	Ack        bool     `json:"ack"`
}

func main() {
	out := &reporter{enc: json.NewEncoder(os.Stdout)}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	var client *socket.Socket
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		switch o.Do {
		case "open":
			var err error
			if client, err = open(o, out); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		case "emit":
			args := decode(o.Args).([]any)
			if o.Ack {
				args = append(args, func(answer []any, err error) {
					if err == nil {
						out.report(map[string]any{"on": "ack", "id": o.ID, "args": answer})
					}
				})
			}
			if err := client.Emit(o.Event, args...); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		case "close":
			client.Disconnect()
			return
		}
	}
}

func open(o order, out *reporter) (*socket.Socket, error) {
	opts := socket.DefaultOptions()
	set := types.NewSet[transports.TransportCtor]()
	for _, name := range o.Transports {
		set.Add(map[string]transports.TransportCtor{"polling": transports.Polling, "websocket": transports.WebSocket}[name])
	}
	opts.SetTransports(set)
	opts.SetReconnectionDelay(100)
	opts.SetReconnectionDelayMax(1000)
	opts.SetAuth(map[string]any{"token": o.Token})
	client, err := socket.Connect(o.URL, opts)
	if err != nil {
		return nil, err
	}
	_ = client.On("connect", func(...any) { out.report(map[string]any{"on": "connect"}) })
	_ = client.On("disconnect", func(...any) { out.report(map[string]any{"on": "disconnect"}) })
	_ = client.On("connect_error", func(args ...any) { out.report(map[string]any{"on": "refused", "why": fmt.Sprint(args...)}) })
	client.OnAny(func(args ...any) {
		out.report(map[string]any{"on": "event", "event": args[0], "args": args[1:]})
	})
	return client, nil
}

// reporter writes one fact per line.
type reporter struct {
	mu  sync.Mutex
	enc *json.Encoder
}

func (s *reporter) report(fact map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.enc.Encode(encode(fact)); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// encode converts values that JSON can't hold.
func encode(v any) any {
	switch v := v.(type) {
	case interface{ Bytes() []byte }:
		return map[string]any{"$bin": base64.StdEncoding.EncodeToString(v.Bytes())}
	case []byte:
		return map[string]any{"$bin": base64.StdEncoding.EncodeToString(v)}
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			list[i] = encode(item)
		}
		return list
	case map[string]any:
		object := make(map[string]any, len(v))
		for key, item := range v {
			object[key] = encode(item)
		}
		return object
	}
	return v
}

// decode is the inverse of encode.
func decode(v any) any {
	switch v := v.(type) {
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			list[i] = decode(item)
		}
		return list
	case map[string]any:
		if text, ok := v["$bin"].(string); ok {
			data, _ := base64.StdEncoding.DecodeString(text)
			return types.NewBytesBuffer(data)
		}
		object := make(map[string]any, len(v))
		for key, item := range v {
			object[key] = decode(item)
		}
		return object
	}
	return v
}

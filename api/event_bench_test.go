//go:build unix

package api

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/eventhub"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// BenchmarkSubscribe publishes events to a backend over one stream, over loopback and
// in the same process: the CPU is that of both ends.
func BenchmarkSubscribe(b *testing.B) {
	for _, asks := range []bool{false, true} {
		b.Run(fmt.Sprintf("asks=%t", asks), func(b *testing.B) {
			h, hub := startHub(b, eventhub.Options{})
			stream := h.backend(b, &salav1.SubscribeStart{Group: "g", Credits: 20_000})
			sockets := make([]*eventhub.Socket, 100)
			for i := range sockets {
				sockets[i] = &eventhub.Socket{ID: fmt.Sprint("socket-number-", i), User: "ana", Namespace: "/", Address: "127.0.0.1:50000", Transport: "websocket", ConnectTime: time.Now()}
			}
			const window = 10_000
			inFlight := make(chan struct{}, window)
			done := make(chan error, 1)
			b.ReportAllocs()
			before := cpu(b)
			b.ResetTimer()
			go func() { done <- consume(stream, b.N, asks, inFlight) }()
			for i := range b.N {
				inFlight <- struct{}{}
				if e := messageOf(sockets[i%len(sockets)], "chat"); asks {
					hub.Ask(e, func(eventhub.Reply) {})
				} else {
					hub.Publish(e)
				}
			}
			if err := <-done; err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-µs/event")
		})
	}
}

// consume reads n events, answers those that want it and grants credits.
func consume(stream *backend, n int, asks bool, inFlight <-chan struct{}) error {
	for i := range n {
		resp, err := stream.stream.Recv()
		if err != nil {
			return err
		}
		if asks {
			reply := &salav1.EventReply{DeliveryId: resp.GetEvent().GetDeliveryId(), ArgsJson: `["ok"]`}
			if err := stream.stream.Send(replyRequest(reply)); err != nil {
				return err
			}
		}
		if i%1000 == 999 {
			if err := stream.stream.Send(creditRequest(1000)); err != nil {
				return err
			}
		}
		<-inFlight
	}
	return nil
}

// cpu returns what the process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

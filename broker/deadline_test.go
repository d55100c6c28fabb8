package broker_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/clustertest"
)

// TestDeadNodeAndDeadline: while a node is dead and the others haven't noticed yet,
// every call returns before its caller's deadline, and names the node.
func TestDeadNodeAndDeadline(t *testing.T) {
	in := broker.Target{Rooms: []string{"lobby"}}
	hi := broker.Message{Event: "hi", Args: json.RawMessage(`[]`)}
	for name, call := range map[string]func(ctx context.Context, b *broker.Broker) (broker.PartialResult, error){
		"GetRoom": func(ctx context.Context, b *broker.Broker) (broker.PartialResult, error) {
			_, err := b.GetRoom(ctx, "/", "lobby") // which is empty as far as is known
			if !isCode(err, broker.CodeUnavailable) {
				return broker.PartialResult{}, err
			}
			return broker.PartialResult{Partial: true}, nil
		},
		"ListRooms": func(ctx context.Context, b *broker.Broker) (broker.PartialResult, error) {
			list, err := b.ListRooms(ctx, broker.RoomQuery{})
			return list.PartialResult, err
		},
		"ListSockets": func(ctx context.Context, b *broker.Broker) (broker.PartialResult, error) {
			list, err := b.ListSockets(ctx, broker.SocketQuery{})
			return list.PartialResult, err
		},
		"Emit": func(ctx context.Context, b *broker.Broker) (broker.PartialResult, error) {
			report, err := b.Emit(ctx, broker.Target{Everyone: true}, hi)
			return report.PartialResult, err
		},
		"Emit with a key": func(ctx context.Context, b *broker.Broker) (broker.PartialResult, error) {
			report, err := b.Emit(ctx, broker.Target{Everyone: true}, keyedMessage("a", 1))
			return report.PartialResult, err
		},
		"EmitWithAck": func(ctx context.Context, b *broker.Broker) (broker.PartialResult, error) {
			summary, err := b.EmitWithAck(ctx, in, hi, broker.AckOptions{Timeout: time.Minute}, func(broker.Ack) error { return nil })
			return summary.PartialResult, err
		},
		"Join": func(ctx context.Context, b *broker.Broker) (broker.PartialResult, error) {
			out, err := b.Join(ctx, in, []string{"other"})
			return out.PartialResult, err
		},
		"Leave": func(ctx context.Context, b *broker.Broker) (broker.PartialResult, error) {
			out, err := b.Leave(ctx, in, []string{"other"})
			return out.PartialResult, err
		},
		"Disconnect": func(ctx context.Context, b *broker.Broker) (broker.PartialResult, error) {
			out, err := b.Disconnect(ctx, in, "")
			return out.PartialResult, err
		},
		"ClearRoom": func(ctx context.Context, b *broker.Broker) (broker.PartialResult, error) {
			out, err := b.ClearRoom(ctx, broker.ClearRoom{Room: "lobby"})
			return out.PartialResult, err
		},
		"RevokeTokens": func(ctx context.Context, b *broker.Broker) (broker.PartialResult, error) {
			out, err := b.RevokeTokens(ctx, broker.RevokeTokens{User: "ana"})
			return out.PartialResult, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				exchange := clustertest.NewExchange()
				frozen := &clustertest.Freezer{Bus: exchange.Bus()}
				node := brokertest.StartInMemory(t, broker.Options{IdempotencyWindow: time.Hour, Cluster: &broker.ClusterOptions{Bus: exchange.Bus()}})
				dead := brokertest.StartInMemory(t, broker.Options{Cluster: &broker.ClusterOptions{Bus: frozen}})
				<-time.After(time.Minute) // long enough for them to find each other
				id := join(t, dead, "ana").ID[:cluster.NodeIDBytes]
				synctest.Wait()
				frozen.Freeze()
				defer frozen.Thaw()
				for _, left := range []time.Duration{time.Second, 500 * time.Millisecond, 100 * time.Millisecond, 30 * time.Millisecond} {
					ctx, cancel := context.WithTimeout(t.Context(), left)
					covered, err := call(ctx, node.Broker)
					if err != nil || ctx.Err() != nil {
						t.Errorf("with %v left: %v, and the context is %v", left, err, ctx.Err())
					}
					if !covered.Partial || covered.Missing != nil && !slices.Equal(covered.Missing, []string{id}) {
						t.Errorf("with %v left: %+v, want %s missing", left, covered, id)
					}
					cancel()
				}
			})
		})
	}
}

// deafTo is a bus that never receives one channel.
type deafTo struct {
	cluster.Bus
	channel string
}

func (d deafTo) Subscribe(channel string) <-chan struct{} {
	if channel == d.channel {
		return make(chan struct{})
	}
	return d.Bus.Subscribe(channel)
}

// TestSlowSubscriptionAndDeadline: a call also returns before its caller's deadline if
// the bus doesn't subscribe to a room.
func TestSlowSubscriptionAndDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		exchange := clustertest.NewExchange()
		var nodes []*brokertest.Node
		for range 2 {
			bus := deafTo{exchange.Bus(), "sala:topic:" + string(cluster.RoomTopic("/", "other"))}
			nodes = append(nodes, brokertest.StartInMemory(t, broker.Options{Cluster: &broker.ClusterOptions{Bus: bus}}))
		}
		<-time.After(time.Minute)
		for _, node := range nodes {
			join(t, node, "ana")
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		out, err := nodes[0].Broker.Join(ctx, everyoneInLobby, []string{"other"})
		if err != nil || ctx.Err() != nil || out.Matched != 2 || out.Partial {
			t.Errorf("Join: %+v, %v, and the context is %v", out, err, ctx.Err())
		}
	})
}

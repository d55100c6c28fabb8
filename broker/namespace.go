package broker

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/room"
)

// namespace is one of the namespaces that the broker serves.
type namespace struct {
	b     *Broker
	name  string
	index *room.Index[*socket]
	away  atomic.Int64 // sockets of the index whose client is away
}

// namespace returns the namespace that a request names, "/" if it names none.
func (b *Broker) namespace(name string) (*namespace, error) {
	if name == "" {
		name = "/"
	}
	ns, ok := b.namespaces[name]
	if !ok {
		return nil, &Error{
			Code:    CodeNotFound,
			Reason:  ReasonNamespaceNotFound,
			Message: fmt.Sprintf("there is no namespace %q; this broker serves %v", name, b.namespaceNames),
		}
	}
	return ns, nil
}

// subscribeTimeout is how long a join waits until this node receives what others
// send to the room.
const subscribeTimeout = time.Second

// subscribeTopics has this node receive what others send to the topics until
// release is called. It returns once that is so, or with an error after wait. While the
// bus is down it doesn't wait: the node receives them when the bus is back. A join takes
// effect on this node all the same.
func (b *Broker) subscribeTopics(wait time.Duration, topics ...cluster.Topic) (release func(), err error) {
	if b.mesh == nil {
		return func() {}, nil
	}
	effective := make([]<-chan struct{}, len(topics))
	for i, topic := range topics {
		effective[i] = b.mesh.Subscribe(topic)
	}
	err = b.mesh.Await(wait, effective...)
	return func() {
		for _, topic := range topics {
			b.mesh.Unsubscribe(topic)
		}
	}, err
}

// roomTopics returns the topics of rooms of a namespace.
func roomTopics(namespace string, rooms []string) []cluster.Topic {
	topics := make([]cluster.Topic, len(rooms))
	for i, room := range rooms {
		topics[i] = cluster.RoomTopic(namespace, room)
	}
	return topics
}

// topics returns the topics of a socket other than its rooms: its user, and
// everyone in its namespace.
func (s *socket) topics() []cluster.Topic {
	topics := []cluster.Topic{cluster.EveryoneTopic(s.ns.name)}
	if s.user != "" {
		topics = append(topics, cluster.UserTopic(s.ns.name, s.user))
	}
	return topics
}

// subscribeSocket has this node receive what others send to the socket's topics,
// until unsubscribeSocket. The namespace subscribes to its rooms.
func (b *Broker) subscribeSocket(s *socket) {
	if b.mesh != nil {
		for _, topic := range s.topics() {
			b.mesh.Subscribe(topic)
		}
	}
}

func (b *Broker) unsubscribeSocket(s *socket) {
	if b.mesh != nil {
		for _, topic := range s.topics() {
			b.mesh.Unsubscribe(topic)
		}
	}
}

// Joined implements [room.Observer]. It publishes that a socket has joined a room,
// and subscribes to a new room at the cluster.
func (ns *namespace) Joined(s *socket, room string, opened, first bool) {
	if opened {
		if ns.b.mesh != nil {
			ns.b.mesh.Subscribe(cluster.RoomTopic(ns.name, room))
		}
		ns.publishRoom(eventhub.RoomOpened, room)
	}
	if !s.moving.Load() {
		ns.publishMember(eventhub.Join, s, room)
	}
	if first {
		ns.came(s, room)
	}
}

// Left implements [room.Observer]. It publishes that a socket has left a room, and
// unsubscribes from an empty room at the cluster.
func (ns *namespace) Left(s *socket, room string, closed, last bool) {
	if !s.moving.Load() {
		ns.publishMember(eventhub.Leave, s, room)
	}
	if last {
		ns.left(s, room)
	}
	if closed {
		if ns.b.mesh != nil {
			ns.b.mesh.Unsubscribe(cluster.RoomTopic(ns.name, room))
		}
		ns.publishRoom(eventhub.RoomClosed, room)
	}
}

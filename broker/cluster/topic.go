package cluster

import (
	"crypto/rand"
	"strconv"
)

// NodeIDBytes is the length of a [NodeID].
const NodeIDBytes = 10

// NodeID names a node. It is made anew at each start, so that a node that has
// been restarted is another one.
type NodeID string

// NewNodeID returns a random id of [NodeIDBytes] letters and digits.
func NewNodeID() NodeID { return NodeID(rand.Text()[:NodeIDBytes]) }

// Topic is what nodes can be interested in. Two topics are equal exactly if
// they are made by the same function of the same names.
type Topic string

// RoomTopic is everything for the members of a room of a namespace.
func RoomTopic(namespace, room string) Topic { return topic("room", namespace) + Topic(room) }

// UserTopic is everything for the sockets of a user in a namespace.
func UserTopic(namespace, user string) Topic { return topic("user", namespace) + Topic(user) }

// EveryoneTopic is everything for a namespace as a whole, and for several
// rooms or users of it at once. A node is interested in it as long as it has
// a socket in the namespace.
func EveryoneTopic(namespace string) Topic { return topic("all", namespace) }

// topic begins a topic. The namespace's length keeps "/a" "b:c" and "/a:b" "c"
// apart.
func topic(kind, namespace string) Topic {
	return Topic(kind + ":" + strconv.Itoa(len(namespace)) + ":" + namespace + ":")
}

// Route says which nodes a publication goes to: those interested in Topic or,
// if that is empty, exactly Nodes.
type Route struct {
	// Topic is published to with one message.
	Topic Topic
	// Nodes get one message each.
	Nodes []NodeID
}

// maxDirect is up to how many nodes are spoken to one by one.
const maxDirect = 8

// RouteTo returns the route for a message that is for the sockets behind all
// the topics and nodes together. Every node on the route gets the message once
// and picks its own sockets: a message on two routes would reach some sockets twice.
//
// One topic is a route of its own, and so are a few nodes. Anything else goes
// to everyone, the topic of the whole namespace: one message still, which nodes
// without a socket concerned look at in vain. To know which nodes are concerned
// would take a directory of all memberships on every node, or a publish per
// topic and the means to recognise what came twice; both cost more than the
// lookup, as long as messages to several rooms at once are the smaller part.
func RouteTo(everyone Topic, topics []Topic, nodes []NodeID) Route {
	switch {
	case len(topics) == 1 && len(nodes) == 0:
		return Route{Topic: topics[0]}
	case len(topics) == 0 && len(nodes) > 0 && len(nodes) <= maxDirect:
		return Route{Nodes: nodes}
	default:
		return Route{Topic: everyone}
	}
}

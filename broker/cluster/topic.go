package cluster

import "strconv"

// Topic is what nodes publish on and subscribe to. Two topics are equal exactly if the same
// function made them from the same names.
type Topic string

// RoomTopic returns the topic for the members of a room of a namespace.
func RoomTopic(namespace, room string) Topic { return topic("room", namespace) + Topic(room) }

// UserTopic returns the topic for the sockets of a user in a namespace.
func UserTopic(namespace, user string) Topic { return topic("user", namespace) + Topic(user) }

// EveryoneTopic returns the topic for a namespace as a whole, and for several of its rooms or users
// at once. Every node with a socket in the namespace subscribes to it.
func EveryoneTopic(namespace string) Topic { return topic("all", namespace) }

// topic returns the beginning of a topic. The namespace's length keeps "/a" "b:c" and "/a:b" "c"
// apart.
func topic(kind, namespace string) Topic {
	return Topic(kind + ":" + strconv.Itoa(len(namespace)) + ":" + namespace + ":")
}

// Route says which nodes a publication goes to: those subscribed to Topic or, if Topic is empty,
// the Nodes.
type Route struct {
	// Topic is published on with one message.
	Topic Topic
	// Nodes get one message each.
	Nodes []NodeID
}

// maxDirect is the most nodes that a route names one by one.
const maxDirect = 8

// RouteTo returns the route for a message to the sockets behind all the topics and nodes together.
// Every node on the route gets the message once and picks its own sockets. Over two routes, some
// sockets would get it twice.
//
// A single topic is a route of its own, and so are a few nodes. Anything else goes to everyone, the
// topic of the whole namespace: with one message still, which nodes without a selected socket look
// up for nothing. Knowing the nodes concerned would take a directory of all memberships on every node,
// or one publication per topic and a way to recognise duplicates. Both cost more than these
// lookups, as long as messages to several rooms at once are a minority.
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

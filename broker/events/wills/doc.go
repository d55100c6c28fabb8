// Package wills lets backends hear that clients are gone whose node was lost and
// could not say so itself.
//
// While anybody in the cluster wants events of the kind Disconnect, each node has
// another one remember its sockets, its heir: the node whose id comes next after
// its own, so that each is the heir of one. When a node is lost its heir says of each
// of its sockets that it has gone. A connect or a disconnect costs a part of one
// message, which is sent as soon as the one before it is on its way, and the heir
// 150 bytes or so of memory for each socket. When nobody wants to hear of
// disconnects nothing is remembered.
//
// # Who speaks
//
// When nodes come or go, the heir of a node may become another one. The old one
// remembers until the new one knows everything, so for a moment there are two. Each
// will has an epoch, which counts how often the node has begun anew; when the node
// is lost, its heirs ask all others, and the one speaks that knows everything of
// the latest epoch.
//
// # What can go wrong
//
// What a node has not sent when it dies nobody knows: a socket that connected in its
// last instant may leave no trace but its Connect, and one that disconnected then
// may be said to be gone twice. If a node and its heir are lost within the time that
// it takes to notice, a few seconds, the node's sockets are forgotten. Of a
// remembered socket neither Data nor Auth is known.
//
// A node that stood still, or was cut off, for so long that it was taken for lost,
// comes back with clients that backends have been told are gone. It tells them of
// each again, with the event Connect; so what a backend counts is right in the end.
package wills

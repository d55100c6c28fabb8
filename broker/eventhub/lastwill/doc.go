// Package lastwill lets backends hear that clients are gone whose node was lost and
// could not say so itself.
//
// While anybody in the cluster wants events of the kind Disconnect, each node has
// up to [heirCount] others remember its sockets, its heirs. When a node is lost,
// one of its heirs publishes a Disconnect for each of its sockets; the others watch
// it and go on where it stops if it is lost too. So a Disconnect is published as
// long as one heir survives. With up to five nodes that is any node.
//
// A connect or a disconnect costs a part of one message to each heir, which is sent
// as soon as the one before it is on its way. When nobody wants to hear of
// disconnects nothing is remembered.
//
// # Who remembers
//
// Rendezvous hashing ranks the other nodes for each node ([rank]). Its heirs are
// the first of them. When nodes come or go an heir may be replaced by another. The
// old one remembers until all heirs know everything. Each heir is told in an
// epoch of its own: a snapshot, then numbered changes without a gap. Once a second
// each is asked what it remembers; if something is missing a new epoch begins.
// A version counts the changes of the node across all heirs, so that what two heirs
// remember can be compared.
//
// # Who tells
//
// When a node is lost (X), these take part: all that remember something of X, and
// the first survivor in X's ranking, in case nobody does. This is the order:
//
//  1. Each participant asks all other nodes what they remember of X. It asks again
//     until every node that it doesn't take for lost has answered, at most for
//     [askFor]. So a participant that died together with X, but isn't noticed yet,
//     is waited for until it is noticed.
//  2. The best answer wins: who tells already; then who remembers everything; then
//     the higher version; then the rank. Every participant compares the same
//     answers, so all agree who tells.
//  3. The winner publishes a Disconnect for each socket, in the order of the ids.
//     When backends have been handed a batch, which may take a while if they are
//     slow, it says so to all nodes, as it does at the end.
//  4. The other participants forget the sockets that backends have been handed. If
//     the winner is lost or leaves before the end, they begin again at 1. Of the
//     rest nobody knows what backends were handed, so it is published with
//     Redelivered set. So it is if a node that has asked is gone: it may have won.
//  5. The end is remembered for a minute, for nodes that notice X's loss later.
//
// # What can go wrong
//
// What a node has not sent when it dies nobody knows: a socket that connected in its
// last instant may leave no trace but its Connect, and one that disconnected then
// may be said to be gone twice. If a node and all its heirs are lost within the
// time that it takes to notice, a few seconds, the node's sockets are forgotten:
// [Options.Forgotten] gets their number as of the node's last heartbeat. Of a
// remembered socket neither Data nor Auth is known.
//
// A node that stood still, or was cut off, for so long that it was taken for lost,
// comes back with clients that backends have been told are gone. It tells them of
// each again, with the event Connect; so what a backend counts is right in the end.
//
// # Locks and goroutines
//
// Wills.mu is held alone or last. Run has a goroutine for each lost node whose will
// is being read, and one more while it tells of that node's sockets.
package lastwill

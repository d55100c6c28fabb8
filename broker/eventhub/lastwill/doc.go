// Package lastwill publishes the disconnects of a lost node's clients. Like the last will of MQTT, a
// node deposits in advance what others are to publish for it.
//
// While any backend in the cluster wants events of the kind Disconnect, each node sends its sockets
// to up to [successorCount] other nodes, its successors. When the node is lost, one of them publishes
// a Disconnect for each of its sockets. The others follow its progress and go on if it is lost too.
// So the disconnects are published as long as one successor survives; with up to five nodes, that is
// as long as any node survives.
//
// In the same way it deposits which users are in which places ([Registry.Deposit]). They are reported
// lost after the disconnects, for package presence to find out whether they have left.
//
// A connect or a disconnect costs a part of one message to each successor, which is sent as soon as
// the previous message is. While no backend wants disconnects, nothing is kept.
//
// # Who keeps the sockets
//
// Rendezvous hashing ranks the other nodes for each node ([rank]); its successors are the first of
// them. Nodes that haven't been heard for a while come last, since they may be lost: while Redis
// fails again and again, it takes long until that is noticed, and the successors of a node could all be
// nodes that are gone. When nodes come or go, or fall silent, another node may become a successor. The
// previous one keeps the sockets until every successor has all of them. Each successor gets its own
// epochs: a snapshot, then changes numbered without a gap. Once a second each is asked what it has; if
// something is missing a new epoch begins. A version counts the changes of the node's sockets across
// all successors, so that what two of them keep can be compared.
//
// # Who publishes
//
// When a node X is lost, these nodes take part: those that keep sockets of X, and the first survivor
// in X's ranking, in case no node does. The order of events is:
//
//  1. Each participant asks all other nodes what they keep of X. It asks again until every node that
//     it doesn't consider lost has answered, for at most [askFor]. So it waits for a participant that
//     died together with X until that loss is noticed.
//  2. The best answer wins: first a node that is publishing, then a complete snapshot, then the
//     higher version, then the rank. All participants compare the same answers, so they agree.
//  3. The winner publishes a Disconnect for each socket, in the order of the ids. It reports to all
//     nodes when backends have been handed a batch, which takes a while if they are slow, and when
//     it is done.
//  4. The other participants drop the sockets that are reported. If the winner is lost or leaves
//     before it is done, they begin again at 1. Nobody knows which of the other sockets backends have
//     been handed, so those are published with Redelivered set. So are all sockets if a node is gone
//     that has asked: it may have won.
//  5. The result is kept for a minute, for nodes that notice X's loss later.
//
// # Sockets that move
//
// When a node Y takes a socket over from X, X keeps its deposit until Y says that all successors of Y
// have the socket, which takes about a second. So for a while both nodes may have deposited it, or
// only X. If one of the two is lost, the answers in step 1 settle whose it is. Each node names
//
//   - the sockets that it has taken over within the last 40 s, and those that it has handed over to
//     a third node that hasn't said that it has deposited them: nobody else publishes their end,
//   - the sockets that it has handed over to the lost node, and that the lost node may not have
//     deposited: their end is published, too.
//
// A socket counts its moves ([eventhub.Socket.Moves]), and the answer with the higher count wins over
// a deposit with a lower one. So it doesn't matter how often a socket moves, nor that it comes back
// to a node where it has been before.
//
// A node that never says that it has deposited a socket is asked after 10 s. If it never got the
// socket, because the hand-over was lost on its way, X publishes the socket's Disconnect.
//
// The broker calls [Registry.HandedOver] at X and [Registry.TakenOver] at Y.
//
// # What can go wrong
//
// What a node hasn't sent when it dies is unknown. A socket that connected in its last moments may
// leave no trace but its Connect; one that disconnected then may get a second Disconnect. If a node
// and all its successors are lost within the few seconds that it takes to notice, the node's sockets
// are forgotten, and [Options.Forgotten] gets their number as of the node's last heartbeat. Data and
// Auth of a socket are not kept.
//
// If X and Y are lost within seconds after a socket has moved between them, its Disconnect may be
// published for both, unmarked. A socket that ends at Y in the second after it has moved there may
// get another one if Y is lost in the same second. If X drains and leaves, and Y is lost within a
// second, a deposit of Y that is lost on its way isn't made up for.
//
// A node that was frozen or cut off for so long that it was considered lost may come back with clients
// whose disconnect was published. It publishes a Connect for each of them, so that what a backend
// counts is right in the end.
//
// # Locks and goroutines
//
// Registry.mu is taken before moves.mu, and that before changes.mu. Run has a goroutine for the recovery of each
// lost node, and another one while that recovery publishes.
package lastwill

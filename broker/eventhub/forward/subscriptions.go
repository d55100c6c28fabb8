package forward

import (
	"context"
	"errors"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub"
)

// announce tells all nodes which subscriptions of this node have come or gone.
func (f *Forwarder) announce() {
	f.mu.Lock()
	defer f.mu.Unlock()
	var ids []uint64
	for _, s := range f.opts.Hub.Subscriptions() {
		ids = append(ids, s.ID())
	}
	slices.Sort(ids)
	if slices.Equal(ids, f.lastIDs) {
		return // a representative of another node's has come or gone
	}
	for _, p := range f.peers {
		f.sendList(p, f.described)
	}
	f.lastIDs = ids
	f.described = max(f.described, slices.Max(append(ids, 0)))
}

// AwaitSubscribed waits until all other nodes offer their clients' events to the subscriptions that
// this node has now, or ctx ends. It returns the nodes that don't: those that haven't answered, and
// those that can't.
func (f *Forwarder) AwaitSubscribed(ctx context.Context) (missing []cluster.NodeID) {
	f.announce()
	f.mu.Lock()
	newest := f.described
	f.mu.Unlock()
	for {
		f.mu.Lock()
		waiting, changed := false, f.taken
		missing = nil
		for _, id := range f.opts.Nodes() {
			p, ok := f.peers[id]
			if ok && p.taken >= newest && !p.refused {
				continue
			}
			missing = append(missing, id)
			waiting = waiting || !ok || p.taken < newest
		}
		f.mu.Unlock()
		if !waiting {
			return missing
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return missing
		}
	}
}

// receiveTaken notes which subscriptions another node has represented.
func (f *Forwarder) receiveTaken(p *peer, t *wire.SubscriptionListTaken) {
	p.taken, p.refused = max(p.taken, t.GetNewest()), t.GetRefused()
	f.wakeSubscribed()
}

// wakeSubscribed has every AwaitSubscribed look again. The caller holds mu.
func (f *Forwarder) wakeSubscribed() {
	close(f.taken)
	f.taken = make(chan struct{})
}

// sendList sends a node the ids of all subscriptions, and describes those after the id described,
// in as many messages as that takes. The caller holds mu.
func (f *Forwarder) sendList(p *peer, described uint64) {
	subscriptions := f.opts.Hub.Subscriptions()
	var ids []uint64
	for _, s := range subscriptions {
		ids = append(ids, s.ID())
	}
	for id := range p.inbounds { // their end is still to be reported, which says more
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	page, size := &wire.SubscriptionList{Ids: ids}, 0
	for _, s := range subscriptions {
		if s.ID() <= described {
			continue
		}
		info := infoTo(s)
		size += proto.Size(info)
		if size > batchBytes && len(page.GetSubscriptions()) > 0 {
			page.More = true
			f.send(p, &wire.EventTraffic{Body: &wire.EventTraffic_Subscriptions{Subscriptions: page}})
			page, size = &wire.SubscriptionList{Ids: ids}, proto.Size(info)
		}
		page.Subscriptions = append(page.Subscriptions, info)
	}
	f.send(p, &wire.EventTraffic{Body: &wire.EventTraffic_Subscriptions{Subscriptions: page}})
}

// requestList asks a node for all its subscriptions. The caller holds mu.
func (f *Forwarder) requestList(p *peer) {
	f.send(p, &wire.EventTraffic{Body: &wire.EventTraffic_SubscriptionsRequest{
		SubscriptionsRequest: &wire.SubscriptionListRequest{},
	}})
}

// receiveList represents the subscriptions of another node that are new, and drops those that have
// ended.
func (f *Forwarder) receiveList(p *peer, list *wire.SubscriptionList) {
	there := make(map[uint64]bool, len(list.GetIds()))
	for _, id := range list.GetIds() {
		there[id] = true
	}
	for id, out := range p.outbounds {
		if !there[id] && len(out.inFlight) == 0 { // otherwise a report follows
			f.stop(out)
		}
	}
	for _, info := range list.GetSubscriptions() {
		if _, ok := p.outbounds[info.GetId()]; !ok && there[info.GetId()] {
			added := f.addOutbound(p, info)
			p.refusing = p.refusing || !added
		}
	}
	if list.GetMore() {
		return
	}
	refused := p.refusing
	p.refusing = false
	if !refused {
		for id := range there {
			if _, ok := p.outbounds[id]; !ok {
				f.requestList(p)
				return
			}
		}
	}
	if len(list.GetSubscriptions()) > 0 {
		f.send(p, &wire.EventTraffic{Body: &wire.EventTraffic_SubscriptionsTaken{
			SubscriptionsTaken: &wire.SubscriptionListTaken{Newest: slices.Max(list.GetIds()), Refused: refused},
		}})
	}
}

// addOutbound represents a subscription of another node in the hub, and reports whether the hub
// accepts it.
func (f *Forwarder) addOutbound(p *peer, info *wire.SubscriptionInfo) bool {
	ref := eventhub.SubscriptionRef{Node: string(p.id), ID: info.GetId()}
	remote, err := f.opts.Hub.AddRemote(optionsFrom(info), ref, f)
	if err != nil {
		var failed *eventhub.Error
		draining := errors.As(err, &failed) && failed.Reason == eventhub.ReasonDraining
		if !draining {
			f.opts.Logger.Warn("a subscription at another node gets no events of this node's clients",
				"node", string(p.id), "error", err)
		}
		return false
	}
	f.sessions++
	out := &outbound{peer: p, id: info.GetId(), session: f.sessions, remote: remote, next: 1}
	p.outbounds[out.id] = out
	f.outbounds[remote] = out
	return true
}

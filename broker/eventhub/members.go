package eventhub

// MemberInfo describes a member of a group.
type MemberInfo struct {
	// Ref is the subscription. If it is one of another node, only Waiting says something.
	Ref SubscriptionRef
	SubscribeOptions
	// Credits is how many events the member may still take.
	Credits int
	// Waiting is how many events wait for the member in this hub.
	Waiting int
	// Unacknowledged is how many events the member was handed whose clients wait for its answer.
	Unacknowledged int
}

// Members describes all members, in no particular order. It holds the lock of one group at a time.
func (h *Hub) Members() []MemberInfo {
	var all []MemberInfo
	for _, r := range h.routes.Load().groups {
		all = append(all, r.group.describe()...)
	}
	return all
}

// describe describes the members of the group.
func (g *group) describe() []MemberInfo {
	g.mu.Lock()
	defer g.mu.Unlock()
	owed := make(map[*Subscription]int)
	for _, o := range g.outstanding {
		if o.question != nil && o.question.open() {
			owed[o.holder]++
		}
	}
	infos := make([]MemberInfo, 0, len(g.members))
	for _, m := range g.members {
		info := MemberInfo{Ref: SubscriptionRef{ID: m.id}, Waiting: m.queue.count}
		if m.remote != nil {
			info.Ref = m.remote.ref
		} else {
			info.SubscribeOptions, info.Credits, info.Unacknowledged = m.opts, m.credits, owed[m]
		}
		infos = append(infos, info)
	}
	return infos
}

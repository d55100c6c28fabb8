package eventhub

// Filter says which events a member wants. It must not change once it is in use.
type Filter struct {
	// Kinds are the kinds that are wanted; none means all.
	Kinds []Kind
	// Namespaces are the namespaces that are wanted; none means all.
	Namespaces []string
	// Names are the names of the messages that are wanted; none means all. They have no effect on
	// other kinds.
	Names []string
}

// matcher is a Filter made for fast matching.
type matcher struct {
	kinds      [numKinds]bool
	namespaces map[string]struct{} // nil for all
	names      map[string]struct{} // nil for all
}

func newMatcher(f Filter) matcher {
	m := matcher{namespaces: setOf(f.Namespaces), names: setOf(f.Names)}
	kinds := f.Kinds
	if len(kinds) == 0 {
		kinds = Kinds()
	}
	for _, k := range kinds {
		m.kinds[k] = true
	}
	return m
}

func setOf(names []string) map[string]struct{} {
	if len(names) == 0 {
		return nil
	}
	set := make(map[string]struct{}, len(names))
	for _, name := range names {
		set[name] = struct{}{}
	}
	return set
}

// match reports whether an event is wanted. The name matters only for a Message.
func (m *matcher) match(kind Kind, namespace, name string) bool {
	return m.kinds[kind] && has(m.namespaces, namespace) && (kind != Message || has(m.names, name))
}

func has(set map[string]struct{}, name string) bool {
	if set == nil {
		return true
	}
	_, ok := set[name]
	return ok
}

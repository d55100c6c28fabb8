package broker

import (
	"fmt"

	"github.com/salabroker/sala/broker/room"
)

// namespace is one of the namespaces that the broker serves.
type namespace struct {
	b     *Broker
	name  string
	index *room.Index[*socket]
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

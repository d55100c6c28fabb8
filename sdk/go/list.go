package sala

import (
	"context"
	"iter"
)

// List is a list that the broker returns page by page. It is used by one goroutine at a time.
type List[T any] struct {
	// Partial says that a node didn't answer for one of the pages read so far, so that what it has is
	// missing.
	Partial bool
	// MissingNodes are the ids of the nodes that didn't answer for the last page.
	MissingNodes []string
	// Truncated says that more matches than the broker lists. It is known once a page is read.
	Truncated bool

	read func(ctx context.Context, pageToken string) (*page[T], error)
}

// page is one page of a list.
type page[T any] struct {
	items        []T
	next         string
	partial      bool
	missingNodes []string
	truncated    bool
}

// All iterates over the list, reading pages as they are needed. An error is the last thing that it
// yields. Each page is a call of its own, with a deadline of its own if ctx has none.
func (l *List[T]) All(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		l.Partial, l.MissingNodes, l.Truncated = false, nil, false
		for token := ""; ; {
			page, err := l.read(ctx, token)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			if page.partial {
				l.Partial, l.MissingNodes = true, page.missingNodes
			}
			l.Truncated = l.Truncated || page.truncated
			for _, item := range page.items {
				if !yield(item, nil) {
					return
				}
			}
			token = page.next
			if token == "" {
				return
			}
		}
	}
}

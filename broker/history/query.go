package history

// Query says which entries to read.
type Query struct {
	// Since selects entries after a position, the oldest ones first. With the zero Position these
	// are all that are kept.
	Since *Position
	// Before, without Since, selects the newest entries before the one with this position. Without
	// either, the newest entries are selected.
	Before *Position
	// Limit is how many entries are returned at most; none if it isn't above zero.
	Limit int
	// Bytes bounds the size of the entries that are returned, except that the first one always is.
	// Zero means [DefaultReadBytes].
	Bytes int
}

// DefaultReadBytes bounds what one read returns if the query doesn't.
const DefaultReadBytes = 4 << 20

// Selection is what a query selects of the entries that are kept, before its limits.
type Selection struct {
	// First and Last are the offsets of the entries. If there are none, First is Last + 1.
	First, Last uint64
	// Complete is as in [Page].
	Complete bool
}

// Select returns what q selects in a room whose newest entry is at end. oldest is the offset of the
// oldest entry that is kept, or end's plus one if there is none.
func (q *Query) Select(end Position, oldest uint64) Selection {
	s := Selection{First: oldest, Last: end.Offset, Complete: true}
	switch {
	case q.Since != nil:
		p := *q.Since
		known := p.Epoch == end.Epoch && p.Offset <= end.Offset
		s.Complete = known && p.Offset+1 >= oldest || p == Position{} && oldest == 1
		if known {
			s.First = max(oldest, p.Offset+1)
		}
	case q.Before != nil:
		p := *q.Before
		known := p.Epoch == end.Epoch && p.Offset <= end.Offset
		s.Complete = p.Epoch == end.Epoch && p.Offset >= oldest && (known || p.Offset == end.Offset+1)
		if known {
			s.Last = max(p.Offset, oldest) - 1
		}
	}
	return s
}

// Len returns how many entries are selected.
func (s Selection) Len() int { return int(s.Last + 1 - s.First) } //nolint:gosec // a room keeps some thousands

// Bounds returns how many entries and bytes a page may have. The first entry may have more bytes.
func (q *Query) Bounds() (entries, bytes int) {
	bytes = q.Bytes
	if bytes <= 0 {
		bytes = DefaultReadBytes
	}
	return max(q.Limit, 0), bytes
}

// Fit returns as many of the entries that are selected as a page may have: the oldest ones with Since,
// otherwise the newest.
func (q *Query) Fit(selected []Recorded) []Recorded {
	limit, bytes := q.Bounds()
	n := 0
	for ; n < min(len(selected), limit); n++ {
		next := n
		if q.Since == nil {
			next = len(selected) - 1 - n
		}
		if bytes -= selected[next].Size(); bytes < 0 && n > 0 {
			break
		}
	}
	if q.Since == nil {
		return selected[len(selected)-n:]
	}
	return selected[:n]
}

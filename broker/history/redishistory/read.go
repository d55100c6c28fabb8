package redishistory

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/rueidis"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/history"
)

// Most readers want the newest messages of a room that has some, or all since a position that is still
// there. Plain commands return that, at a fraction of what a script costs, because a script converts
// each entry twice. What they return says whether it is all that was asked for. If it isn't, because
// the room is empty or broken, or has a new epoch since the position, a script reads it.

const (
	// firstRead is how many entries are read before it is known how large they are.
	firstRead = 4
	// maxWhole is how large a room may be for one command to read any number of its entries. In a
	// larger room, one command reads maxPart entries, since Redis does nothing else meanwhile.
	maxWhole = 4 << 20
	maxPart  = 64
	// maxPartBytes is how many bytes of entries a part has at most, unless one is larger.
	maxPartBytes = 256 << 10
)

// Read implements [history.Engine].
func (e *Engine) Read(ctx context.Context, r history.Room, q history.Query) (history.Page, error) {
	client, err := e.client.Current()
	if err != nil {
		return history.Page{}, unavailable(err)
	}
	room := e.roomKey(r)
	broken := e.broken.since(room)
	limited, cancel := context.WithTimeout(ctx, e.client.Timeout())
	defer cancel()
	if broken == 0 && q.Before == nil {
		page, ok, err := e.readPlain(limited, client, room, r, q)
		switch {
		case err != nil:
			return history.Page{}, failure(ctx, err)
		case ok:
			return page, nil
		}
	}
	page, err := e.readScripted(limited, client, room, r, q, broken != 0)
	if err != nil {
		return history.Page{}, failure(ctx, err)
	}
	e.broken.repaired(room, broken)
	return page, nil
}

// stored is an entry as a stream has it.
type stored struct {
	id, field string
	value     []byte // empty if it only marks where an epoch begins
}

// answers are entries of a room as Redis has returned them with some commands, the newest first.
type answers []rueidis.RedisMessage

// at returns an entry. Its parts share memory with the answer.
func (a answers) at(i int) (s stored, err error) {
	m := &a[i]
	pair, err := m.ToArray()
	if err != nil || len(pair) != 2 {
		return s, errMalformed
	}
	fields, err := pair[1].ToArray()
	if err != nil || len(fields) < 2 {
		return s, errMalformed
	}
	id, noID := pair[0].ToString()
	field, noField := fields[0].ToString()
	value, noValue := fields[1].AsBytes()
	if noID != nil || noField != nil || noValue != nil {
		return s, errMalformed
	}
	return stored{id, field, value}, nil
}

// readPlain reads with plain commands. ok is false if a script has to.
func (e *Engine) readPlain(ctx context.Context, client rueidis.Client, room string, r history.Room, q history.Query) (page history.Page, ok bool, err error) {
	from, limit := "-", max(q.Limit, 0)
	if q.Since != nil {
		if !isEpoch(q.Since.Epoch) {
			return page, false, nil
		}
		from = id(*q.Since)
	}
	n := min(limit, r.Messages) + 1 // one more says whether there are more, or is the one at the position
	_, bytes := q.Bounds()
	entries, stopped, err := e.newest(ctx, client, room, from, n, bytes)
	count := len(entries)
	if err != nil || count == 0 {
		return page, false, err
	}
	newest, err := entries.at(0)
	if err != nil {
		return page, false, err
	}
	page.Complete = true
	if page.End, err = parseID(newest.id); err != nil {
		return page, false, err
	}
	full := count == n
	if q.Since != nil {
		last, err := entries.at(count - 1)
		switch {
		case err != nil || q.Since.Epoch != page.End.Epoch || last.id != from:
			return page, false, err
		case count == 1: // there is nothing after the position
			entry, known := e.decode(room, last)
			return page, known && entry.Time().After(e.options.Now().Add(-r.TTL)), nil // or the position is to be kept for longer
		}
		count, full = count-1, false
	}
	markers, err := e.decodePlain(&page, room, r, q, entries, count)
	if err != nil || len(page.Entries) == 0 || full && (markers || len(page.Entries) <= limit) {
		return page, false, err
	}
	fitting := q.Fit(page.Entries)
	page.More = len(fitting) < len(page.Entries)
	page.Entries = fitting
	return page, page.More || !stopped, nil
}

// decodePlain adds the newest entries that Redis has returned to a page, without the oldest ones of
// them that have expired. It returns whether some only mark where an epoch begins.
func (e *Engine) decodePlain(page *history.Page, room string, r history.Room, q history.Query, entries answers, count int) (markers bool, err error) {
	expired := e.options.Now().Add(-r.TTL)
	page.Entries = make([]history.Recorded, 0, count)
	for i := count - 1; i >= 0; i-- {
		s, err := entries.at(i)
		if err != nil {
			return false, err
		}
		if len(s.value) == 0 {
			markers = true
			continue
		}
		entry, ok := e.decode(room, s)
		switch {
		case !ok:
			page.Complete = false
		case len(page.Entries) == 0 && !entry.Time().After(expired):
			page.Complete = page.Complete && q.Since == nil
		default:
			page.Entries = append(page.Entries, entry)
		}
	}
	return markers, nil
}

// newest returns the newest n entries of a room, from an id on, or fewer if these have more than so
// many bytes; then it has stopped. Redis does nothing else while it returns entries, so it returns a
// large room in parts.
func (e *Engine) newest(ctx context.Context, client rueidis.Client, room, from string, n, bytes int) (entries answers, stopped bool, err error) {
	first := client.B().Xrevrange().Key(room).End("+").Start(from).Count(int64(min(n, firstRead))).Build()
	if n <= firstRead {
		entries, err = client.Do(ctx, first).ToArray()
		return entries, false, err
	}
	results := client.DoMulti(ctx, first, client.B().MemoryUsage().Key(room).Samples(0).Build())
	if entries, err = results[0].ToArray(); err != nil {
		return nil, false, err
	}
	size, unknown := results[1].AsInt64()
	whole := unknown == nil && size <= maxWhole
	for asked, read, used := firstRead, 0, 0; len(entries) == asked && len(entries) < n; {
		for ; !whole && read < len(entries); read++ {
			s, err := entries.at(read)
			if err != nil {
				return nil, false, err
			}
			used += len(s.value)
		}
		if used > bytes {
			return entries, true, nil
		}
		next := n - len(entries)
		if !whole {
			next = max(1, min(next, maxPart, (bytes-used)/(used/read+1)))
		}
		last, err := entries.at(len(entries) - 1)
		if err != nil {
			return nil, false, err
		}
		part, err := client.Do(ctx, client.B().Xrevrange().Key(room).End("("+last.id).Start(from).Count(int64(next)).Build()).ToArray()
		if err != nil {
			return nil, false, err
		}
		entries, asked = append(slices.Grow(entries, n-len(entries)), part...), asked+next
	}
	return entries, false, nil
}

// readScripted reads with a script, and what doesn't fit into its answer with plain commands.
func (e *Engine) readScripted(ctx context.Context, client rueidis.Client, room string, r history.Room, q history.Query, broken bool) (history.Page, error) {
	end, oldest, entries, err := e.readFirst(ctx, client, room, r, q, broken)
	if err != nil {
		return history.Page{}, err
	}
	selected := q.Select(end, oldest)
	if entries, err = e.readOn(ctx, client, room, q, end, entries, selected.Len()); err != nil {
		return history.Page{}, err
	}
	page := history.Page{End: end, Complete: selected.Complete, More: len(entries) < selected.Len(), Entries: make([]history.Recorded, 0, len(entries))}
	for _, s := range entries {
		entry, ok := e.decode(room, s)
		if !ok { // no node has signed it
			page.Complete = false
			continue
		}
		page.Entries = append(page.Entries, entry)
	}
	if q.Since == nil {
		slices.Reverse(page.Entries) // read from the newest
	}
	return page, nil
}

// readFirst has readScript read the first entries that a query selects, in the order in which they are
// read. Oldest is the offset of the oldest entry that is kept.
func (e *Engine) readFirst(ctx context.Context, client rueidis.Client, room string, r history.Room, q history.Query, broken bool) (end history.Position, oldest uint64, entries []stored, err error) {
	args := e.readArgs(r, q, broken)
	for {
		answer, err := e.scripts.read.do(ctx, client, []string{room}, args).ToArray()
		if err != nil {
			return end, 0, nil, err
		}
		if end, oldest, entries, err = parsePage(answer); err != nil || oldest > 0 {
			return end, oldest, entries, err
		}
		args[1] = flag(false) // the first call has repaired the room
	}
}

// readArgs returns the arguments of readScript.
func (e *Engine) readArgs(r history.Room, q history.Query, broken bool) []string {
	mode, at := "", history.Position{}
	switch {
	case q.Since != nil:
		mode, at = "since", *q.Since
	case q.Before != nil:
		mode, at = "before", *q.Before
	}
	entries, bytes := q.Bounds()
	return []string{
		digits(), flag(broken), millis(streamKept(r)), strconv.FormatInt(e.options.Now().Add(-r.TTL).UnixMilli(), 10),
		mode, at.Epoch, strconv.FormatUint(at.Offset, 10), strconv.Itoa(min(entries, maxPart)), strconv.Itoa(min(bytes, maxPartBytes)),
	}
}

// parsePage parses what readScript has answered.
func parsePage(answer []rueidis.RedisMessage) (end history.Position, oldest uint64, entries []stored, err error) {
	if len(answer) < 2 || len(answer)%3 != 2 {
		return end, 0, nil, errMalformed
	}
	texts := make([][]byte, len(answer)) // they share memory with the answer
	for i := range answer {
		if texts[i], err = answer[i].AsBytes(); err != nil {
			return end, 0, nil, errMalformed
		}
	}
	end, malformed := parseID(string(texts[0]))
	oldest, failed := strconv.ParseUint(string(texts[1]), 10, 64)
	if malformed != nil || failed != nil || oldest > end.Offset+1 {
		return end, 0, nil, errMalformed
	}
	for i := 2; i < len(texts); i += 3 {
		entries = append(entries, stored{string(texts[i]), string(texts[i+1]), texts[i+2]})
	}
	return end, oldest, entries, nil
}

// readOn reads on after the first of the entries that are selected, in parts, since Redis does nothing
// else while it returns one. It stops where entries were dropped meanwhile. Then the page is shorter
// than asked for, and who reads on learns that something is missing.
func (e *Engine) readOn(ctx context.Context, client rueidis.Client, room string, q history.Query, end history.Position, entries []stored, selected int) ([]stored, error) {
	limit, bytes := q.Bounds()
	limit = min(limit, selected)
	for _, s := range entries {
		bytes -= len(s.value)
	}
	for at := ""; len(entries) > 0 && len(entries) < limit; {
		last := entries[len(entries)-1]
		if at == "" {
			at = last.id
		}
		size := max(1, len(last.value))
		if bytes < size {
			return entries, nil
		}
		n := int64(max(1, min(limit-len(entries), maxPart, min(bytes, maxPartBytes)/size)))
		command := client.B().Xrevrange().Key(room).End("(" + at).Start("-").Count(n).Build()
		if q.Since != nil {
			command = client.B().Xrange().Key(room).Start("(" + at).End(id(end)).Count(n).Build()
		}
		part, err := client.Do(ctx, command).ToArray()
		if err != nil || len(part) == 0 {
			return entries, err
		}
		for i := range part {
			s, err := answers(part).at(i)
			if err != nil {
				return nil, err
			}
			at = s.id
			if len(s.value) == 0 {
				continue // it marks where an epoch begins
			}
			if bytes -= len(s.value); bytes < 0 || !follows(entries[len(entries)-1], s, q.Since != nil) {
				return entries, nil
			}
			if entries = append(entries, s); len(entries) == limit {
				return entries, nil
			}
		}
	}
	return entries, nil
}

// follows reports whether two entries are neighbours: nothing is between them. The second may be newer or older.
func follows(first, second stored, newer bool) bool {
	a, malformed := parseID(first.id)
	b, failed := parseID(second.id)
	if !newer {
		a, b = b, a
	}
	return malformed == nil && failed == nil && b.Offset == a.Offset+1
}

// field is the name of the field that has an entry. So a node with keys and one without don't take
// what the other has written for something else.
func (e *Engine) field() string {
	if e.signer.Keyed() {
		return "s"
	}
	return "m"
}

// decode returns an entry of a room, and whether a node of this cluster has recorded it.
func (e *Engine) decode(room string, s stored) (entry history.Recorded, ok bool) {
	_, after, _ := strings.Cut(s.id, "-")
	offset, err := strconv.ParseUint(after, 10, 64)
	body := s.value
	ok = err == nil && s.field == e.field()
	if ok && e.signer.Keyed() {
		n := max(len(body)-cluster.MACBytes, 0)
		ok = e.signer.Verify(room, body[n:], body[:n]) >= 0
		body = body[:n:n]
	}
	if ok {
		entry, err = history.Parse(offset, body)
		ok = err == nil
	}
	if !ok {
		e.malformed.Add(1)
	}
	return entry, ok
}

package redishistory

import (
	"context"
	"slices"
	"strconv"

	"github.com/redis/rueidis"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/history"
)

// Most readers want the newest messages of a room that has some, or all since a position that is still
// there. One command of Redis returns that, at a fraction of what a script costs, because a script
// converts each entry twice. What that command returns says whether it is all that was asked for. If
// it isn't, because the room is empty, broken or large, or has a new epoch, a script reads it.

const (
	// firstRead is how many entries are read before it is known how large they are.
	firstRead = 4
	// maxWhole is how large a room may be of which any number of entries is read with one command.
	maxWhole = 4 << 20
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
	answer, err := e.scripts.read.do(limited, client, []string{room}, e.readArgs(r, q, broken != 0)).ToArray()
	if err != nil {
		return history.Page{}, failure(ctx, err)
	}
	e.broken.repaired(room, broken)
	return e.page(room, q, answer)
}

// stored is an entry as a stream has it.
type stored struct {
	id, field string
	value     []byte // empty if it only marks where an epoch begins
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
	entries, err := e.newest(ctx, client, room, from, n)
	if err != nil || len(entries) == 0 {
		return page, false, err
	}
	page.Complete = true
	if page.End, err = parseID(entries[0].id); err != nil {
		return page, false, err
	}
	full := len(entries) == n
	if q.Since != nil {
		last := len(entries) - 1
		switch {
		case q.Since.Epoch != page.End.Epoch || entries[last].id != from:
			return page, false, nil
		case last == 0:
			return page, true, nil // there is nothing after the position
		}
		entries, full = entries[:last], false
	}
	if markers := e.decodePlain(&page, room, r, q, entries); len(page.Entries) == 0 || full && (markers || len(page.Entries) <= limit) {
		return page, false, nil
	}
	fitting := q.Fit(page.Entries)
	page.More = len(fitting) < len(page.Entries)
	page.Entries = fitting
	return page, true, nil
}

// decodePlain adds entries that Redis has returned, the newest first, to a page, without the oldest
// ones that have expired. It returns whether some of them only mark where an epoch begins.
func (e *Engine) decodePlain(page *history.Page, room string, r history.Room, q history.Query, entries []stored) (markers bool) {
	expired := e.options.Now().Add(-r.TTL)
	page.Entries = make([]history.Recorded, 0, len(entries))
	for i := range slices.Backward(entries) {
		s := &entries[i]
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
	return markers
}

// newest returns the newest n entries of a room, from an id on, the newest first. It returns none if
// that would be too large an answer of Redis, which does nothing else meanwhile.
func (e *Engine) newest(ctx context.Context, client rueidis.Client, room, from string, n int) ([]stored, error) {
	first := client.B().Xrevrange().Key(room).End("+").Start(from).Count(int64(min(n, firstRead))).Build()
	if n <= firstRead {
		return entriesOf(nil, client.Do(ctx, first))
	}
	results := client.DoMulti(ctx, first, client.B().MemoryUsage().Key(room).Samples(0).Build())
	entries, err := entriesOf(make([]stored, 0, n), results[0])
	if err != nil || len(entries) < firstRead {
		return entries, err
	}
	if size, err := results[1].AsInt64(); err != nil || size > maxWhole {
		return nil, nil
	}
	rest := client.B().Xrevrange().Key(room).End("(" + entries[firstRead-1].id).Start(from).Count(int64(n - firstRead)).Build()
	return entriesOf(entries, client.Do(ctx, rest))
}

// entriesOf appends the entries in an answer of Redis.
func entriesOf(entries []stored, result rueidis.RedisResult) ([]stored, error) {
	answer, err := result.ToArray()
	if err != nil {
		return nil, err
	}
	for i := range answer {
		pair, err := answer[i].ToArray()
		if err != nil || len(pair) != 2 {
			return nil, errMalformed
		}
		fields, err := pair[1].ToArray()
		if err != nil || len(fields) < 2 {
			return nil, errMalformed
		}
		s := stored{}
		if s.id, err = pair[0].ToString(); err != nil {
			return nil, errMalformed
		}
		if s.field, err = fields[0].ToString(); err != nil {
			return nil, errMalformed
		}
		if s.value, err = fields[1].AsBytes(); err != nil {
			return nil, errMalformed
		}
		entries = append(entries, s)
	}
	return entries, nil
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
		mode, at.Epoch, strconv.FormatUint(at.Offset, 10), strconv.Itoa(entries), strconv.Itoa(bytes),
	}
}

// page returns what readScript has answered. Entries that no node has signed are left out.
func (e *Engine) page(room string, q history.Query, answer []rueidis.RedisMessage) (history.Page, error) {
	if len(answer) < 2 || len(answer)%3 != 2 {
		return history.Page{}, unavailable(errMalformed)
	}
	texts := make([][]byte, len(answer)) // they share memory with the answer
	for i := range answer {
		var err error
		if texts[i], err = answer[i].AsBytes(); err != nil {
			return history.Page{}, unavailable(err)
		}
	}
	end, err := parseID(string(texts[0]))
	oldest, failed := strconv.ParseUint(string(texts[1]), 10, 64)
	if err != nil || failed != nil || oldest == 0 || oldest > end.Offset+1 {
		return history.Page{}, unavailable(errMalformed)
	}
	selected := q.Select(end, oldest)
	n := len(texts) / 3
	page := history.Page{End: end, Complete: selected.Complete, More: n < selected.Len(), Entries: make([]history.Recorded, 0, n)}
	for i := 2; i < len(texts); i += 3 {
		entry, ok := e.decode(room, &stored{string(texts[i]), string(texts[i+1]), texts[i+2]})
		if !ok {
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

// field is the name of the field that has an entry. So a node with keys and one without don't take
// what the other has written for something else.
func (e *Engine) field() string {
	if e.signer.Keyed() {
		return "s"
	}
	return "m"
}

// decode returns an entry of a room, and whether a node of this cluster has recorded it.
func (e *Engine) decode(room string, s *stored) (entry history.Recorded, ok bool) {
	p, err := parseID(s.id)
	body := s.value
	switch {
	case err != nil || s.field != e.field():
	case e.signer.Keyed():
		n := len(body) - cluster.MACBytes
		if ok = n > 0 && e.signer.Verify(room, body[max(n, 0):], body[:max(n, 0)]) >= 0; ok {
			body = body[:n:n]
		}
	default:
		ok = true
	}
	if ok {
		entry, err = history.Parse(p.Offset, body)
		ok = err == nil
	}
	if !ok {
		e.malformed.Add(1)
	}
	return entry, ok
}

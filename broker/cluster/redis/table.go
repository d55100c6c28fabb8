package redis

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/redis/rueidis"
)

// A table has a key for each entry, which Redis expires, and a sorted set of the entries' names,
// scored by the time at which they expire. All keys of a table have the same hash tag, so that they
// live on one server of a Redis Cluster.

// nameKept is how long a name is kept after its entry has expired. It is long, so that nodes whose
// clocks differ don't remove names that are still needed.
const nameKept = time.Hour

// readBatch is the most entries that are read with one command.
const readBatch = 512

func namesKey(table string) string      { return "{" + table + "}" }
func entryKey(table, key string) string { return namesKey(table) + key }

// Put implements [cluster.Bus].
func (b *Bus) Put(ctx context.Context, table, key string, value []byte, ttl time.Duration) error {
	s, err := b.current()
	if err != nil {
		return err
	}
	client := s.client
	expires := float64(time.Now().Add(ttl).UnixMilli())
	return failure(client.DoMulti(ctx,
		client.B().Zadd().Key(namesKey(table)).Gt().ScoreMember().ScoreMember(expires, key).Build(),
		client.B().Set().Key(entryKey(table, key)).Value(rueidis.BinaryString(value)).Px(ttl).Build(),
	)...)
}

// Remove implements [cluster.Bus].
func (b *Bus) Remove(ctx context.Context, table, key string) error {
	s, err := b.current()
	if err != nil {
		return err
	}
	client := s.client
	return failure(client.DoMulti(ctx,
		client.B().Del().Key(entryKey(table, key)).Build(),
		client.B().Zrem().Key(namesKey(table)).Member(key).Build(),
	)...)
}

// Entries implements [cluster.Bus].
func (b *Bus) Entries(ctx context.Context, table string) (map[string][]byte, error) {
	s, err := b.current()
	if err != nil {
		return nil, err
	}
	client := s.client
	cutoff := strconv.FormatInt(time.Now().Add(-nameKept).UnixMilli(), 10)
	results := client.DoMulti(ctx,
		client.B().Zremrangebyscore().Key(namesKey(table)).Min("-inf").Max(cutoff).Build(),
		client.B().Zrange().Key(namesKey(table)).Min("0").Max("-1").Build(),
	)
	names, err := results[1].AsStrSlice()
	if err = errors.Join(results[0].Error(), err); err != nil {
		return nil, unavailable(err)
	}
	entries := make(map[string][]byte, len(names))
	for len(names) > 0 {
		batch := names[:min(len(names), readBatch)]
		names = names[len(batch):]
		if err := readEntries(ctx, client, table, batch, entries); err != nil {
			return nil, unavailable(err)
		}
	}
	return entries, nil
}

// readEntries adds the entries of the names to a map, except those that have expired.
func readEntries(ctx context.Context, client rueidis.Client, table string, names []string, to map[string][]byte) error {
	keys := make([]string, len(names))
	for i, name := range names {
		keys[i] = entryKey(table, name)
	}
	values, err := client.Do(ctx, client.B().Mget().Key(keys...).Build()).ToArray()
	if err != nil {
		return err
	}
	for i, value := range values {
		if value.IsNil() {
			continue
		}
		text, err := value.ToString()
		if err != nil {
			return err
		}
		to[names[i]] = []byte(text)
	}
	return nil
}

// failure returns the first error of the results.
func failure(results ...rueidis.RedisResult) error {
	for _, result := range results {
		if err := result.Error(); err != nil {
			return unavailable(err)
		}
	}
	return nil
}

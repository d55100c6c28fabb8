package redis

import (
	"context"
	"time"

	"github.com/redis/rueidis"
)

// SetNew implements [cluster.Bus]. SET with NX and GET together needs Redis 7.0.
func (b *Bus) SetNew(ctx context.Context, name string, value []byte, ttl time.Duration) ([]byte, error) {
	s, err := b.current()
	if err != nil {
		return nil, err
	}
	existing, err := s.client.Do(ctx, s.client.B().Set().Key(name).Value(rueidis.BinaryString(value)).Nx().Get().Px(ttl).Build()).AsBytes()
	switch {
	case rueidis.IsRedisNil(err):
		return nil, nil
	case err != nil:
		return nil, unavailable(err)
	}
	return existing, nil
}

// Set implements [cluster.Bus].
func (b *Bus) Set(ctx context.Context, name string, value []byte, ttl time.Duration) error {
	s, err := b.current()
	if err != nil {
		return err
	}
	return failure(s.client.Do(ctx, s.client.B().Set().Key(name).Value(rueidis.BinaryString(value)).Px(ttl).Build()))
}

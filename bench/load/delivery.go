package load

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/salabroker/sala/bench/line"
	"github.com/salabroker/sala/bench/process"
)

// DeliveryConfig configures a [Delivery].
type DeliveryConfig struct {
	Clients int
	// Rooms is how many rooms of Members clients each there are; 1 or less for a single room of all
	// clients.
	Rooms, Members int
	// Batch is how many messages are published at a time.
	Batch int
	// Every is the time from one batch to the next; 0 to publish each batch once the one before has
	// arrived.
	Every time.Duration
}

// Delivery publishes messages to rooms of connected clients and accounts for each of them. It
// belongs to one goroutine.
type Delivery struct {
	// Pool holds the clients.
	Pool *Pool
	// Extra messages go with each batch to clients that are not in the pool.
	Extra []line.Message

	config    DeliveryConfig
	timeout   time.Duration
	layout    *layout
	publisher Publisher
	random    *rand.Rand

	number    uint64   // of the last message
	published []uint64 // by room, since publishing began
	expected  uint64   // deliveries of all that
}

// NewDelivery returns a delivery without clients. Timeout is how long messages may take to arrive
// after the last one was published; later ones are missing.
func NewDelivery(config DeliveryConfig, timeout time.Duration) *Delivery {
	return &Delivery{
		config: config, timeout: timeout,
		layout: newLayout(config.Clients, config.Rooms, config.Members),
		random: rand.New(rand.NewPCG(3, 4)), // the same choices every time
	}
}

// OpenDelivery returns a delivery with its clients and a publisher.
func OpenDelivery(ctx context.Context, t *process.Target, config DeliveryConfig, timeout time.Duration) (*Delivery, error) {
	d := NewDelivery(config, timeout)
	c, err := NewConnector(t, Options{})
	if err != nil {
		return nil, err
	}
	clients, err := d.NewClients(ctx, t)
	if err != nil {
		return nil, err
	}
	if err := d.Connect(ctx, c, clients); err != nil {
		return nil, err
	}
	if err := d.OpenPublisher(ctx, t); err != nil {
		d.Pool.Close()
		return nil, err
	}
	return d, nil
}

// NewClients returns the clients in their rooms.
func (d *Delivery) NewClients(ctx context.Context, t *process.Target) ([]Client, error) {
	return NewClients(ctx, t, d.config.Clients, d.layout.roomsOf)
}

// Connect connects the clients.
func (d *Delivery) Connect(ctx context.Context, c *Connector, clients []Client) (err error) {
	d.Pool, err = c.Pool(ctx, clients)
	return err
}

// OpenPublisher opens the publisher.
func (d *Delivery) OpenPublisher(ctx context.Context, t *process.Target) (err error) {
	d.publisher, err = NewPublisher(ctx, t)
	return err
}

// ClosePublisher returns how many deliveries the server says that it dropped.
func (d *Delivery) ClosePublisher() (dropped uint64, err error) { return d.publisher.Close() }

// Publish publishes batches and waits until all have arrived or the timeout is over. It resets the
// pool's counts first.
func (d *Delivery) Publish(ctx context.Context, batches int) error {
	d.published, d.expected = make([]uint64, len(d.layout.rooms)), 0
	d.Pool.Reset()
	next := time.Now()
	for range batches {
		if err := d.publisher.Publish(d.batch()); err != nil {
			return err
		}
		if d.config.Every == 0 {
			if err := d.arrive(ctx); err != nil {
				return err
			}
			continue
		}
		next = next.Add(d.config.Every)
		if err := Sleep(ctx, time.Until(next)); err != nil {
			return err
		}
	}
	return d.arrive(ctx)
}

// batch returns the next messages, all with the same time stamp.
func (d *Delivery) batch() []line.Message {
	batch := make([]line.Message, max(d.config.Batch, 1))
	now := d.Pool.Clock()
	for i := range batch {
		room := d.random.IntN(len(d.layout.rooms))
		d.number++
		d.published[room]++
		d.expected += uint64(len(d.layout.members[room]))
		batch[i] = line.Message{Room: d.layout.rooms[room], Payload: NewPayload(d.number, now)}
	}
	return append(batch, d.Extra...)
}

func (d *Delivery) arrive(ctx context.Context) error {
	return d.Pool.Await(ctx, d.expected, d.timeout)
}

// Missing returns how many deliveries clients lack since publishing began. A client that is gone
// lacks all of its deliveries, since nobody knows what it received.
func (d *Delivery) Missing() uint64 {
	want := make([]uint64, d.config.Clients)
	var all uint64
	for room, n := range d.published {
		for _, i := range d.layout.members[room] {
			want[i] += n
			all += n
		}
	}
	var connected uint64 // what is expected at clients that are connected
	missing := d.Pool.Missing(func(i int) uint64 {
		connected += want[i]
		return want[i]
	})
	return missing + all - connected
}

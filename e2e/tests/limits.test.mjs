// The limits of one client as stock clients experience them; others are not affected.
import assert from 'node:assert/strict';
import http from 'node:http';
import { describe, test } from 'node:test';
import { TRANSPORTS, WAYS, connect, login, open, refusal } from '../helpers/client.mjs';
import { rawGet } from '../helpers/http.mjs';
import { broker } from '../helpers/suite.mjs';
import { deadline, until } from '../helpers/wait.mjs';

const POLLING = '/socket.io/?EIO=4&transport=polling';

// metric returns one value of /metrics.
async function metric(sala, series) {
  const { body } = await sala.rest('GET', '/metrics');
  return Number(body.split('\n').find((line) => line.startsWith(`${series} `))?.split(' ')[1] ?? 0);
}

describe('connections per address', () => {
  const shared = broker({ args: ['--limit-exempt=', '--max-connections-per-ip', '6', '--max-handshakes-per-ip', '0', '--drain-timeout', '1s'] });

  test('the maximum connects, one more is refused, and another address is not affected', async (t) => {
    const { sala } = shared;
    const clients = await Promise.all(WAYS.map(({ options }) => login(t, sala, 'ada', options)));
    for (const transports of Object.values(TRANSPORTS)) {
      const err = await refusal(t, sala, { token: await sala.token('ada'), transports });
      assert.match(err.message, /poll error|websocket error/);
    }
    const answer = await rawGet(sala.url + POLLING);
    assert.equal(answer.status, 429);
    assert.ok(answer.headers['retry-after'] > 0);
    assert.match(JSON.parse(answer.body).message, /too many connections from this address/);

    for (const transports of Object.values(TRANSPORTS)) {
      const agent = new http.Agent({ keepAlive: true, localAddress: '127.0.0.9' });
      const neighbour = await login(t, sala, 'bob', { transports, agent });
      await neighbour.join('room');
    }
    for (const client of clients) await client.join('room'); // connected clients stay
    assert.equal(await metric(sala, 'sala_limits_exceeded_total{limit="connections_per_ip"}'), 4);

    clients[0].close();
    await until(() => connect(t, sala, { token: clients[0].socket.auth.token, transports: ['websocket'] }).catch(() => {}), 'a place to be free');
  });
});

describe('handshakes per address', () => {
  const shared = broker({ args: ['--limit-exempt=', '--max-handshakes-per-ip', '1'] });

  test('a refused client connects by itself a little later', async (t) => {
    const { sala } = shared;
    const token = await sala.token('ada');
    await Promise.all(Array.from({ length: 10 }, () => connect(t, sala, { token, transports: ['websocket'] })));
    const late = open(t, sala, { token, transports: ['websocket'], reconnection: true, reconnectionDelay: 500 });
    const err = await deadline(new Promise((resolve) => late.socket.once('connect_error', resolve)), 'a refusal');
    assert.equal(err.message, 'websocket error');
    await until(() => late.socket.connected, 'the connection');
  });
});

// The limits are so low that even a slow machine sends too much in a second.
describe('events per connection', () => {
  const shared = broker({ args: ['--max-events-per-second', '10'] });

  test('events over the limit are refused with a code, and other clients are not affected', async (t) => {
    const { sala } = shared;
    for (const { name, options } of WAYS) {
      const client = await login(t, sala, 'ada', options);
      const neighbour = await login(t, sala, 'bob', options);
      const acks = await Promise.all(Array.from({ length: 110 }, (_, n) => client.ask('my_event', { room: 'room', n })));
      const refused = acks.filter((ack) => ack.error?.code === 'RATE_LIMITED').length;
      // Twenty at once, minus the connect, plus those that become available meanwhile.
      assert.ok(refused > 0 && refused <= 91, `${refused} were refused ${name}`);
      assert.equal(acks.filter((ack) => ack.ok).length, 110 - refused);
      assert.deepEqual(await neighbour.ask('my_event', { room: 'room' }), { ok: true });
      const end = Date.now() + 200; // by when two more are available
      await until(() => Date.now() > end, 'a moment to pass');
      assert.deepEqual(await client.ask('my_event', { room: 'room' }), { ok: true });
    }
  });

  test('a client that goes on is disconnected with a code, and does not reconnect', async (t) => {
    const { sala } = shared;
    for (const { name, options } of WAYS) {
      const client = await login(t, sala, 'ada', { ...options, reconnection: true });
      const neighbour = await login(t, sala, 'bob', options);
      for (let n = 0; n < 300; n++) client.emit('my_event', { room: 'room' });
      const [said] = await client.next('sala:disconnect');
      assert.equal(said.code, 'RATE_LIMITED', name);
      assert.deepEqual(await client.next('disconnect'), ['io server disconnect'], name);
      assert.equal(client.socket.active, false);
      assert.deepEqual(await neighbour.ask('my_event', { room: 'room' }), { ok: true });
    }
  });

});

describe('bytes per connection', () => {
  const shared = broker({ args: ['--max-bytes-per-second', '200000', '--max-message-bytes', '100000'] });

  test('bytes over the limit are read more slowly, and other clients are not affected', async (t) => {
    const { sala } = shared;
    const client = await login(t, sala, 'ada', { transports: ['websocket'] });
    const neighbour = await login(t, sala, 'bob');
    // One message and one connect of the largest size pass at once: 1,148,576 bytes.
    const begin = Date.now();
    const sent = Promise.all(Array.from({ length: 20 }, () => client.ask('my_event', { room: 'room', data: Buffer.alloc(90_000) })));
    assert.deepEqual(await neighbour.ask('my_event', { room: 'room', data: Buffer.alloc(90_000) }), { ok: true });
    assert.ok((await sent).every((ack) => ack.ok), 'nothing is lost');
    const seconds = (Date.now() - begin) / 1000;
    assert.ok(seconds > 3, `1,800,000 bytes took ${seconds} s`); // (1.8 - 1.15) MB at 0.2 MB/s
    assert.equal(client.socket.connected, true);
    assert.ok(await metric(sala, 'sala_limits_exceeded_total{limit="bytes"}') > 0);
  });
});

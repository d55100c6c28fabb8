// What rooms remember, with stock clients, over REST and over gRPC.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CLIENTS, TRANSPORTS, login, settle } from '../helpers/client.mjs';
import { GRPCURL, SALA, run } from '../helpers/process.mjs';
import { API_KEY, CONFIG } from '../helpers/sala.mjs';
import { broker, fresh } from '../helpers/suite.mjs';
import { until } from '../helpers/wait.mjs';

const config = {
  ...CONFIG,
  history: [{ rooms: 'price:*', messages: 1, ttl: '1h' }, { rooms: 'h:**', messages: 100, ttl: '5m' }],
  relay: [
    ...CONFIG.relay,
    { event: 'typing', to: 'room', include_sender: false, conflate: true, skip_history: true, args: [{ user: '{user}' }] },
  ],
  rooms: {},
};
const shared = broker({ config });
const may = { join: ['**'], publish: ['**'], history: ['h:**', 'price:*'] };

const path = (room, query = '') => `/v1/rooms/${encodeURIComponent(room)}/messages${query}`;
const list = (sala, room, query) => sala.ok('GET', path(room, query));
const numbers = (messages) => messages.map(({ argsJson, args }) => (args ?? JSON.parse(argsJson))[0]);

async function fill(sala, room, count) {
  const emits = Array.from({ length: count }, (_, n) => ({ rooms: [room], event: 'n', args: [n] }));
  const { results } = await sala.ok('POST', '/v1/emit:batch', { emits });
  return results.map(({ positions }) => positions[0]);
}

async function refused(sala, method, pathname, body, status, reason, says) {
  const answer = await sala.rest(method, pathname, body);
  assert.equal(answer.status, status, JSON.stringify(answer.body));
  assert.equal(answer.body.details[0].reason, reason);
  assert.match(answer.body.message, says);
}

test('an emit says where it is recorded, and the history has it', async () => {
  const { sala } = shared;
  const room = fresh('h:emit');
  const sent = await sala.ok('POST', '/v1/emit', {
    rooms: [room, 'none'], event: 'pic', argsJson: '[1.50,{"_placeholder":true,"num":0}]', attachments: ['AP8='], idempotencyKey: room,
  });
  const [{ epoch, ...where }] = sent.positions;
  assert.deepEqual([sent.positions.length, where, sent.unrecordedRooms], [1, { room, offset: '1' }, []]);
  const { messages, ...end } = await list(sala, room, '?last=5');
  assert.deepEqual(end, { epoch, offset: '1', complete: true });
  const [{ time, ...message }] = messages;
  assert.ok(Math.abs(Date.parse(time) - Date.now()) < 60_000, time);
  assert.deepEqual(message, { offset: '1', event: 'pic', argsJson: '[1.50,{"_placeholder":true,"num":0}]', attachments: ['AP8='], idempotencyKey: room });
});

test('pages forward and backward have every message once', async () => {
  const { sala } = shared;
  const room = fresh('h:pages');
  await fill(sala, room, 25);
  for (const [direction, order] of [['DIRECTION_FORWARD', (n) => n], ['DIRECTION_BACKWARD', (n) => 24 - n]]) {
    const read = [];
    let since = '';
    for (let pages = 0; ; pages++) {
      const page = await list(sala, room, `?direction=${direction}&limit=10${since}`);
      assert.ok(page.complete && pages < 5, `${direction}, page ${pages}`);
      if (page.messages.length === 0) break;
      read.push(...numbers(page.messages));
      since = `&since.epoch=${page.epoch}&since.offset=${page.offset}`;
    }
    assert.deepEqual(read, Array.from({ length: 25 }, (_, n) => order(n)), direction);
  }
});

test('a page is no larger than a stock gRPC client accepts', async () => {
  const { sala } = shared;
  const room = fresh('h:large');
  const text = 'x'.repeat(90_000);
  for (let n = 0; n < 60; n++) await sala.ok('POST', '/v1/emit', { rooms: [room], event: 'n', args: [n, text] });
  const read = [];
  for (let since; ; ) {
    const { code, stdout, stderr } = await run(GRPCURL, ['-plaintext', '-H', `authorization: Bearer ${API_KEY}`, '-emit-defaults', '-d',
      JSON.stringify({ room, since, limit: 1000 }), sala.grpc, 'sala.v1.RoomService/ListMessages']);
    assert.equal(code, 0, stderr);
    const { messages, epoch, offset } = JSON.parse(stdout);
    if (messages.length === 0) break;
    assert.ok(messages.length < 60);
    read.push(...numbers(messages));
    since = { epoch, offset };
  }
  assert.deepEqual(read, Array.from({ length: 60 }, (_, n) => n));
});

test('a reader learns of gaps', async () => {
  const { sala } = shared;
  const room = fresh('h:gaps');
  const { epoch } = (await fill(sala, room, 110))[0]; // the room keeps 100
  const since = (at, of = epoch) => list(sala, room, `?since.epoch=${of}&since.offset=${at}&limit=1000`);
  for (const [what, page, complete, first] of [
    ['the last that is gone', await since(10), true, 10],
    ['before what is kept', await since(9), false, 10],
    ['an unknown epoch', await since(50, 'unknown'), false, 10],
    ['beyond the end', await since(111), false, 10],
    ['within', await since(100), true, 100],
  ]) {
    assert.equal(page.complete, complete, what);
    assert.equal(numbers(page.messages)[0], first, what);
    assert.deepEqual([page.epoch, page.offset], [epoch, '110'], what);
  }
  const end = await since(110);
  assert.deepEqual(end, { messages: [], epoch, offset: '110', complete: true });

  assert.deepEqual(await sala.ok('DELETE', path(room)), {});
  const cleared = await since(110);
  assert.deepEqual([cleared.messages, cleared.complete], [[], false]);
  assert.notEqual(cleared.epoch, epoch);
});

test('what a room does not record', async (t) => {
  const { sala } = shared;
  const room = fresh('h:not');
  const ana = await login(t, sala, 'ana', {}, may);
  await ana.join(room);
  for (const emit of [
    { rooms: [room], skipHistory: true }, { rooms: [room], volatile: true }, { sockets: [ana.id] }, { users: ['ana'] },
  ]) {
    const { positions } = await sala.ok('POST', '/v1/emit', { event: 'e', ...emit });
    assert.deepEqual(positions, [], JSON.stringify(emit));
  }
  await sala.ok('POST', '/v1/broadcast', { event: 'e' });
  await ana.ask('typing', { room });
  assert.deepEqual((await list(sala, room, '?last=10')).messages, []);
  assert.deepEqual(await ana.ask('my_event', { room, text: 'hello' }), { ok: true });
  const relayed = await until(async () => (await list(sala, room, '?last=10')).messages[0], 'the relayed event');
  assert.deepEqual([relayed.event, JSON.parse(relayed.argsJson)], ['my_response', [{ room, text: 'hello' }]]);
});

test('bad requests are explained', async () => {
  const { sala } = shared;
  const room = fresh('h:bad');
  for (const [query, says] of [
    ['?last=-1', /last: -1 is not between 1 and 1000/], ['?last=1000000', /last: 1000000 is not between/], ['?last=x', /last/],
    ['?since.offset=1', /since.epoch: an epoch can't be empty/], ['?since.epoch=x&since.offset=-1', /since.offset/],
    ['?last=1&since.epoch=x', /since: is only allowed without last/], ['?latest=1', /there is no such parameter/],
  ]) await refused(sala, 'GET', path(room, query), undefined, 400, 'INVALID_ARGUMENT', says);
  for (const method of ['GET', 'DELETE']) {
    await refused(sala, method, path('plain'), undefined, 400, 'HISTORY_DISABLED', /the room "plain" of the namespace "\/" has no history/);
  }
  const key = 'k'.repeat(256);
  await refused(sala, 'POST', '/v1/emit', { rooms: [room], event: 'e', idempotencyKey: key }, 400, 'INVALID_ARGUMENT', /idempotencyKey: a key has at most 255 bytes, this one has 256/);
  await refused(sala, 'POST', '/v1/emit', { rooms: [room], event: 'e', conflateKey: key }, 400, 'INVALID_ARGUMENT', /conflateKey: a key has at most 255 bytes/);
  for (const body of [{ room, last: -1 }, { room, last: 1e9 }]) {
    const { code, stderr } = await run(GRPCURL, ['-plaintext', '-H', `authorization: Bearer ${API_KEY}`, '-d', JSON.stringify(body), sala.grpc, 'sala.v1.RoomService/ListMessages']);
    assert.notEqual(code, 0);
    assert.match(stderr, /InvalidArgument[^]*last: -?\d+ is not between 1 and 1000/);
  }
});

test('a key sends an event once, and refuses another one', async (t) => {
  const { sala } = shared;
  const room = fresh('h:once');
  const ana = await login(t, sala, 'ana', {}, may);
  await ana.join(room);
  const emit = { rooms: [room], event: 'order', args: [{ id: 1 }], idempotencyKey: room };
  const first = await sala.ok('POST', '/v1/emit', emit);
  const again = await sala.ok('POST', '/v1/emit', emit);
  assert.deepEqual([first.duplicate, first.queued], [false, 1]);
  assert.deepEqual(again, { ...first, duplicate: true });
  await refused(sala, 'POST', '/v1/emit', { ...emit, args: [{ id: 2 }] }, 400, 'IDEMPOTENCY_MISMATCH', /./);
  const { results } = await sala.ok('POST', '/v1/emit:batch', { emits: [emit, { ...emit, event: 'other' }] });
  assert.deepEqual([results[0].duplicate, results[1].error.reason], [true, 'IDEMPOTENCY_MISMATCH']);
  const everyone = { event: 'all', idempotencyKey: `${room} all` };
  assert.equal((await sala.ok('POST', '/v1/broadcast', everyone)).duplicate, false);
  assert.equal((await sala.ok('POST', '/v1/broadcast', everyone)).duplicate, true);
  await settle(sala, ana);
  assert.deepEqual(ana.inbox.map(({ event }) => event), ['order', 'all']);
  assert.equal((await list(sala, room, '?last=10')).messages.length, 1);
});

for (const [transport, transports] of Object.entries(TRANSPORTS)) {
  for (const [version, io] of Object.entries(CLIENTS)) {
    test(`history, then the live events: over ${transport}, client ${version}`, async (t) => {
      const { sala } = shared;
      const room = fresh('h:join');
      await fill(sala, room, 5);
      const ana = await login(t, sala, 'ana', { io, transports }, may);
      let sending = true;
      const sender = (async () => {
        let n = 5;
        for (; sending || n < 30; n++) await sala.ok('POST', '/v1/emit', { rooms: [room], event: 'n', args: [n] });
        return n;
      })();
      const { ok, messages, epoch, offset, complete } = await ana.ask('join', { room, last: 100 });
      assert.deepEqual([ok, complete, offset], [true, true, messages.length]);
      sending = false;
      const all = await sender;
      await settle(sala, ana);
      const live = ana.inbox.filter(({ event }) => event === 'n').map(({ args }) => args[0]);
      assert.deepEqual([...numbers(messages), ...live], Array.from({ length: all }, (_, n) => n));

      const back = await ana.ask('join', { room, since: { epoch, offset } });
      assert.deepEqual([back.complete, numbers(back.messages)], [true, live]);
      const gap = await ana.ask('join', { room, since: { epoch: 'unknown', offset: 1 } });
      assert.deepEqual([gap.complete, gap.messages.length], [false, all]);
    });
  }
}

test('the last value, with binary data', async (t) => {
  const { sala } = shared;
  const room = fresh('price:');
  for (const n of [1, 2, 3]) {
    await sala.ok('POST', '/v1/emit', { rooms: [room], event: 'price', args: [n, { _placeholder: true, num: 0 }], attachments: [Buffer.from([n]).toString('base64')] });
  }
  const ana = await login(t, sala, 'ana', {}, may);
  const { messages } = await ana.ask('join', { room, last: 1 });
  assert.deepEqual(messages.map(({ event, args: [n, bytes] }) => [event, n, [...bytes]]), [['price', 3, [3]]]);
});

test('what a client may not read, and bad joins', async (t) => {
  const { sala } = shared;
  const room = fresh('h:may');
  const ben = await login(t, sala, 'ben', {}, { join: ['**'] });
  const code = async (client, body) => (await client.ask('join', body)).error?.code;
  assert.equal(await code(ben, { room, last: 1 }), 'HISTORY_DENIED');
  assert.equal((await sala.rest('GET', `/v1/rooms/${encodeURIComponent(room)}`)).status, 404, 'a refused join joins nothing');
  assert.equal(await code(ben, { room }), undefined);
  const ana = await login(t, sala, 'ana', {}, { ...may, history: ['**'] });
  assert.equal(await code(ana, { room: 'plain', last: 1 }), 'HISTORY_DISABLED');
  for (const bad of [{ last: -1 }, { last: 1e9 }, { last: 'x' }, { since: 'x' }, { since: { offset: 1 } }, { since: { epoch: 'x', offset: -1 } }, { last: 1, since: { epoch: 'x', offset: 1 } }]) {
    assert.equal(await code(ana, { room, ...bad }), 'INVALID_ARGUMENT', JSON.stringify(bad));
  }
});

test('the commands', async () => {
  const { sala } = shared;
  const room = fresh('h:cli');
  const command = async (...args) => {
    const { code, stdout, stderr } = await run(SALA, [...args, '--server', sala.grpc], { env: { SALA_API_KEY: API_KEY } });
    assert.equal(code, 0, stderr);
    return stdout + stderr;
  };
  assert.match(await command('emit', 'n', '7', '--room', room, '--idempotency-key', room), new RegExp(`^0 sockets matched.*\nrecorded in ${room} at \\S+:1\n$`));
  assert.match(await command('emit', 'n', '7', '--room', room, '--idempotency-key', room), /sent before/);
  const listed = await command('messages', room);
  const [, at] = /^POSITION.*\n(\S+:1) .* n +\[7\]\n$/.exec(listed) ?? assert.fail(listed);
  await command('emit', 'n', '8', '--room', room);
  assert.match(await command('messages', room, '--since', at), /^POSITION.*\n\S+:2 .* n +\[8\]\n$/);
  assert.deepEqual(numbers(JSON.parse(await command('messages', room, '--all', '-o', 'json')).messages), [7, 8]);
  assert.match(await command('messages', 'clear', room), /cleared/);
  assert.match(await command('messages', room, '--since', at), /there is a gap/);
});

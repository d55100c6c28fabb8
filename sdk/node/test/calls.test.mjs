// Calls: what is sent, what comes back, what is repeated.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SalaError } from '../dist/index.js';
import { room } from '../dist/stubs.js';
import { API_KEY, Broker, failure } from './broker.mjs';

const EMITTED = { matched: 3, queued: 2, kept: 1, dropped: 0, partial: true, missingNodes: ['n2'], positions: [{ room: 'r', epoch: 'e', offset: 7 }], unrecordedRooms: [], duplicate: false };

test('emit sends its arguments, target and key, and returns the counts', async (t) => {
  const broker = await Broker.start(t);
  broker.methods.emit = () => EMITTED;
  const sala = broker.connect(t);
  const result = await sala.emit('news', [{ text: 'hello' }, Buffer.from([1])], { namespace: '/chat', rooms: 'r', users: ['u', 'v'], exceptSockets: 's', volatile: true, conflateKey: 'c', skipHistory: true });
  assert.deepEqual(result, EMITTED);
  const [{ request, metadata, call }] = broker.calls;
  assert.deepEqual(metadata.get('authorization'), [`Bearer ${API_KEY}`]);
  assert.ok(call.getDeadline() - Date.now() <= 10_000);
  const { idempotencyKey, ...rest } = request;
  assert.match(idempotencyKey, /^[0-9a-f-]{36}$/);
  assert.deepEqual(rest, {
    namespace: '/chat', rooms: ['r'], users: ['u', 'v'], sockets: [], exceptRooms: [], exceptUsers: [], exceptSockets: ['s'],
    event: 'news', args: undefined, argsJson: '[{"text":"hello"},{"_placeholder":true,"num":0}]', attachments: [Buffer.from([1])],
    volatile: true, report: 'REPORT_UNSPECIFIED', conflateKey: 'c', skipHistory: true,
  });
});

test('an emit is repeated with the same key while the broker is unavailable', async (t) => {
  const broker = await Broker.start(t);
  broker.methods.emit = () => {
    if (broker.calls.length < 3) throw failure('UNAVAILABLE', 'in a moment', { reason: 'DRAINING' });
    return EMITTED;
  };
  const sala = broker.connect(t);
  await sala.emit('news', [], { rooms: 'r' });
  await sala.emit('news', [], { rooms: 'r', idempotencyKey: 'mine' });
  const keys = broker.calls.map(({ request }) => request.idempotencyKey);
  assert.equal(keys.length, 4);
  assert.equal(new Set(keys.slice(0, 3)).size, 1);
  assert.equal(keys[3], 'mine');
});

test('a call survives a broker that is away for a moment', async (t) => {
  const broker = await Broker.start(t);
  broker.methods.emit = () => EMITTED;
  const sala = broker.connect(t);
  await sala.emit('news', [], { rooms: 'r' });
  broker.kill();
  const emitted = sala.emit('news', [], { rooms: 'r', timeout: 30_000 });
  const again = await Broker.start(t, { port: broker.port });
  again.methods.emit = () => EMITTED;
  assert.deepEqual(await emitted, EMITTED);
});

test('an attempt without an answer is given up before the call is', async (t) => {
  const broker = await Broker.start(t);
  broker.methods.emit = () => (broker.calls.length === 1 ? new Promise(() => {}) : EMITTED);
  assert.deepEqual(await broker.connect(t).emit('news', [], { rooms: 'r', timeout: 30_000 * 0.1 }), EMITTED);
  assert.equal(broker.calls.length, 2);
});

test('what may not be repeated is called once', async (t) => {
  const broker = await Broker.start(t);
  const sala = broker.connect(t);
  for (const name of ['emit', 'clearRoom', 'getRoom']) {
    broker.methods[name] = () => {
      throw failure('UNAVAILABLE', 'in a moment');
    };
  }
  for (const call of [() => sala.emit('news', [], { rooms: 'r', retry: false }), () => sala.rooms.clear('r', { notice: { event: 'closed' } }), () => sala.rooms.get('r', { retry: false })]) {
    broker.calls.length = 0;
    await assert.rejects(call, { name: 'SalaError', code: 'UNAVAILABLE' });
    assert.equal(broker.calls.length, 1);
    assert.equal(broker.calls[0].request.idempotencyKey ?? '', '');
  }
});

test('RESOURCE_EXHAUSTED is repeated only if the broker says when', async (t) => {
  const broker = await Broker.start(t);
  broker.methods.emit = () => {
    if (broker.calls.length === 1) throw failure('RESOURCE_EXHAUSTED', 'slowly', { reason: 'RATE_LIMITED', retryDelay: 10.5 });
    throw failure('RESOURCE_EXHAUSTED', 'too much', { reason: 'OVERLOADED' });
  };
  await assert.rejects(broker.connect(t).emit('news', [], { rooms: 'r' }), { code: 'RESOURCE_EXHAUSTED', reason: 'OVERLOADED', retryDelay: undefined });
  assert.equal(broker.calls.length, 2);
  broker.calls.length = 0;
  await assert.rejects(broker.connect(t).emit('news', [], { rooms: 'r', retry: false }), { reason: 'RATE_LIMITED', retryDelay: 10.5 });
});

test('a broker without idempotency keys gets no second one', async (t) => {
  const broker = await Broker.start(t);
  broker.methods.emit = ({ idempotencyKey }) => {
    if (idempotencyKey) throw failure('FAILED_PRECONDITION', 'off', { reason: 'IDEMPOTENCY_DISABLED' });
    return EMITTED;
  };
  const sala = broker.connect(t);
  await sala.emit('news', [], { rooms: 'r' });
  await sala.emit('news', [], { rooms: 'r' });
  assert.deepEqual(broker.calls.map(({ request }) => request.idempotencyKey !== ''), [true, false, false]);
  await assert.rejects(sala.emit('news', [], { rooms: 'r', idempotencyKey: 'mine' }), { reason: 'IDEMPOTENCY_DISABLED' });
});

test('an error says what is wrong', async (t) => {
  const broker = await Broker.start(t);
  broker.methods.emit = () => {
    throw failure('INVALID_ARGUMENT', 'rooms[0] is empty', { reason: 'INVALID_ARGUMENT', violations: [{ field: 'rooms[0]', description: 'is empty' }], metadata: { limit: '3' } });
  };
  const err = await broker.connect(t).emit('news', [], { rooms: '' }).catch((thrown) => thrown);
  assert.ok(err instanceof SalaError && err instanceof Error);
  const { name, message, code, reason, fieldViolations, metadata } = err;
  assert.deepEqual({ name, message, code, reason, fieldViolations, metadata }, { name: 'SalaError', message: 'rooms[0] is empty', code: 'INVALID_ARGUMENT', reason: 'INVALID_ARGUMENT', fieldViolations: [{ field: 'rooms[0]', description: 'is empty' }], metadata: { limit: '3' } });
  await assert.rejects(broker.connect(t).emit('news', [1n], { rooms: 'r' }), TypeError);
});

test('nobody at the address is UNAVAILABLE, without waiting for the deadline once that is near', async (t) => {
  const broker = await Broker.start(t);
  const sala = broker.connect(t);
  broker.kill();
  await assert.rejects(sala.rooms.get('r', { timeout: 300 }), (err) => err instanceof SalaError && err.code === 'UNAVAILABLE' && err.reason === '');
});

test('a signal ends a call and its repetitions', async (t) => {
  const broker = await Broker.start(t);
  const sala = broker.connect(t);
  const started = new Promise((resolve) => {
    broker.methods.getRoom = () => {
      resolve();
      return new Promise(() => {});
    };
  });
  const control = new AbortController();
  const call = sala.rooms.get('r', { signal: control.signal });
  await started;
  control.abort(new Error('enough'));
  await assert.rejects(call, /enough/);
  await assert.rejects(sala.rooms.get('r', { signal: control.signal }), /enough/);

  broker.methods.getRoom = () => {
    throw failure('UNAVAILABLE', 'never');
  };
  await assert.rejects(sala.rooms.get('r', { timeout: 600_000, signal: AbortSignal.timeout(50) }), { name: 'TimeoutError' });
});

test('a list fetches pages as it is read', async (t) => {
  const broker = await Broker.start(t);
  const pages = { '': ['a', 'b'], 2: [], 3: ['c'] };
  broker.methods.listRooms = ({ pageToken }) => ({
    rooms: pages[pageToken].map((name) => ({ name, namespace: '/', sockets: 1 })),
    nextPageToken: { '': '2', 2: '3', 3: '' }[pageToken],
    partial: pageToken === '3', missingNodes: pageToken === '3' ? ['n2'] : [], truncated: false, time: undefined,
  });
  const list = broker.connect(t).rooms.list({ prefix: 'p', order: 'sockets', pageSize: 2 });
  const names = [];
  for await (const { name } of list) names.push(name);
  assert.deepEqual(names, ['a', 'b', 'c']);
  assert.deepEqual(broker.calls.map(({ request }) => [request.prefix, request.order, request.pageSize, request.pageToken]), [['p', 'ROOM_ORDER_SOCKETS', 2, ''], ['p', 'ROOM_ORDER_SOCKETS', 2, '2'], ['p', 'ROOM_ORDER_SOCKETS', 2, '3']]);

  broker.calls.length = 0;
  for await (const { name } of list) if (name === 'b') break;
  assert.equal(broker.calls.length, 1);
  const seen = [];
  for await (const { partial, missingNodes } of list.pages()) seen.push([partial, ...missingNodes]);
  assert.deepEqual(seen, [[false], [false], [true, 'n2']]);
  assert.equal((await list.toArray()).length, 3);
});

test('the history of a room comes with decoded arguments and a position to read on from', async (t) => {
  const broker = await Broker.start(t);
  broker.methods.listMessages = () => ({ messages: [{ offset: 4, event: 'said', argsJson: '[{"_placeholder":true,"num":0}]', attachments: [Buffer.from([9])], time: new Date(5), idempotencyKey: 'k' }], epoch: 'e', offset: 4, complete: false });
  const read = await broker.connect(t).rooms.messages('r', { since: { epoch: 'e', offset: 3 }, direction: 'backward' });
  assert.deepEqual(read, { messages: [{ offset: 4, event: 'said', args: [Buffer.from([9])], time: new Date(5), idempotencyKey: 'k' }], position: { epoch: 'e', offset: 4 }, complete: false });
  assert.equal(broker.calls[0].request.direction, 'DIRECTION_BACKWARD');
});

test('acks arrive one by one, then the summary', async (t) => {
  const broker = await Broker.start(t);
  const summary = { expected: 2, answered: 1, timedOut: 1, disconnected: 0, dropped: 0, partial: false, missingNodes: [] };
  let request;
  broker.methods.emitWithAck = (call) => {
    ({ request } = call);
    call.write({ kind: { $case: 'ack', value: { socket: 's', user: 'u', args: undefined, argsJson: '[1,{"_placeholder":true,"num":0}]', attachments: [Buffer.from([3])], latency: { seconds: 1, nanos: 5e6 } } } });
    call.write({ kind: { $case: 'summary', value: summary } });
    call.end();
  };
  const sala = broker.connect(t);
  const acks = sala.emitWithAck('ready?', [7], { rooms: 'r', timeout: 2500, minAcks: 1 });
  const seen = [];
  for await (const ack of acks) seen.push(ack);
  assert.deepEqual(seen, [{ socket: 's', user: 'u', args: [1, Buffer.from([3])], latency: 1005 }]);
  assert.deepEqual(await acks.summary(), summary);
  assert.deepEqual([request.argsJson, request.timeout, request.minAcks], ['[7]', { seconds: 2, nanos: 5e8 }, 1]);
  await assert.rejects(async () => { for await (const _ of acks); }, /only once/);
  assert.deepEqual(await sala.emitWithAck('ready?', [], { rooms: 'r' }).summary(), summary);
});

test('acks end with the error of the call, whenever they are read', async (t) => {
  const broker = await Broker.start(t);
  broker.methods.emitWithAck = (call) => call.emit('error', failure('RESOURCE_EXHAUSTED', 'too many', { reason: 'TOO_MANY_ACKS' }));
  const sala = broker.connect(t);
  await assert.rejects(sala.emitWithAck('ready?', [], { rooms: 'r' }).summary(), { reason: 'TOO_MANY_ACKS' });

  const late = sala.emitWithAck('ready?', [], { rooms: 'r' });
  await assert.rejects(sala.emitWithAck('ready?', [], { rooms: 'r' }).summary(), { reason: 'TOO_MANY_ACKS' }); // by now, late has failed too
  await assert.rejects(async () => { for await (const _ of late); }, { reason: 'TOO_MANY_ACKS' });
});

test('leaving the loop over acks ends the call', async (t) => {
  const broker = await Broker.start(t);
  const cancelled = new Promise((resolve) => {
    broker.methods.emitWithAck = (call) => {
      call.on('cancelled', resolve);
      call.write({ kind: { $case: 'ack', value: { socket: 's', user: '', args: undefined, argsJson: '[]', attachments: [], latency: undefined } } });
    };
  });
  const acks = broker.connect(t).emitWithAck('ready?', [], { rooms: 'r' });
  for await (const _ of acks) break;
  await cancelled;
  await assert.rejects(acks.summary(), { code: 'CANCELLED' });

  const control = new AbortController();
  const aborted = broker.connect(t).emitWithAck('ready?', [], { rooms: 'r', signal: control.signal });
  await assert.rejects(async () => {
    for await (const _ of aborted) control.abort(new Error('enough'));
  }, /enough/);
});

test('a stub shares the connection and the key', async (t) => {
  const broker = await Broker.start(t);
  broker.methods.getRoom = () => ({ name: 'r', namespace: '/', sockets: 1, users: 1, partial: false, missingNodes: [] });
  const stub = broker.connect(t).stub(room.RoomServiceClient);
  const response = await new Promise((resolve, reject) => stub.getRoom({ room: 'r', namespace: '' }, (err, answer) => (err ? reject(err) : resolve(answer))));
  assert.equal(response.sockets, 1);
  assert.deepEqual(broker.calls[0].metadata.get('authorization'), [`Bearer ${API_KEY}`]);
});

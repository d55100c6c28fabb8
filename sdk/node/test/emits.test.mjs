// Batches and streams of events.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SalaError } from '../dist/index.js';
import { Broker, Queue, failure } from './broker.mjs';

const RESULT = { matched: 1, queued: 1, kept: 0, dropped: 0, error: undefined, partial: false, missingNodes: [], positions: [], unrecordedRooms: [], duplicate: false };
const refused = (reason) => ({ ...RESULT, matched: 0, queued: 0, error: { code: 9, reason, message: 'no' } });

test('a batch has an outcome for each event, and is repeated with the same keys', async (t) => {
  const broker = await Broker.start(t);
  const sala = broker.connect(t);
  let failures = 1;
  broker.methods.emitBatch = () => {
    if (failures-- > 0) throw failure('UNAVAILABLE', 'going away');
    return { results: [RESULT, refused('ROOM_FULL')] };
  };
  const emits = [{ rooms: 'r', event: 'a', args: [1] }, { rooms: 'r', event: 'b', idempotencyKey: 'k' }];
  const [first, second] = await sala.emitBatch(emits);
  assert.equal(first.result.matched, 1);
  assert.ok(second.error instanceof SalaError);
  assert.deepEqual([second.error.code, second.error.reason, second.error.message], ['FAILED_PRECONDITION', 'ROOM_FULL', 'no']);
  const keys = broker.calls.map(({ request }) => request.emits.map(({ idempotencyKey }) => idempotencyKey));
  assert.deepEqual(keys[0], keys[1]);
  assert.ok(keys[0][0] && keys[0][1] === 'k');
  failures = 1;
  await assert.rejects(sala.emitBatch(emits, { retry: false }), { code: 'UNAVAILABLE' });
  assert.equal(broker.calls.length, 3);

  // A broker that remembers no keys gets only those of the caller's.
  broker.methods.emitBatch = ({ emits: sent }) => ({ results: sent.map(({ idempotencyKey }) => (idempotencyKey ? refused('IDEMPOTENCY_DISABLED') : RESULT)) });
  const outcomes = await sala.emitBatch(emits);
  assert.deepEqual(outcomes.map(({ error }) => error?.reason), [undefined, 'IDEMPOTENCY_DISABLED']);
  assert.deepEqual(broker.calls.at(-1).request.emits.map(({ event }) => event), ['a']);
});

/** The events that a stream has been given, and how to answer them. */
async function nextStream(broker) {
  const call = await broker.emitStreams.next();
  const requests = new Queue();
  call.on('data', (request) => requests.put(request));
  call.on('error', () => {});
  return { call, requests, answer: ({ sequence }, result = RESULT) => call.write({ sequence, result }) };
}

test('events of a stream that breaks are sent again if they have a key, and fail if not', async (t) => {
  const broker = await Broker.start(t);
  const sala = broker.connect(t);
  const emits = [undefined, 'b', undefined, 'd'].map((idempotencyKey, n) => ({ rooms: 'r', event: 'news', args: [n], idempotencyKey }));
  const outcomes = sala.emitStream(emits);
  const first = outcomes.next();
  const one = await nextStream(broker);
  for (let n = 0; n < 4; n++) {
    const request = await one.requests.next();
    if (n === 0) one.answer(request);
  }
  assert.equal((await first).value.result.matched, 1);
  one.call.emit('error', failure('UNAVAILABLE', 'going away', { reason: 'DRAINING' }));
  const rest = (async () => {
    const all = [];
    for await (const outcome of outcomes) all.push(outcome);
    return all;
  })();
  const two = await nextStream(broker);
  for (const result of [{ ...RESULT, duplicate: true }, refused('NO')]) two.answer(await two.requests.next(), result);
  const [b, c, d] = await rest;
  assert.equal(b.result.duplicate, true);
  assert.equal(c.error.code, 'UNAVAILABLE');
  assert.match(c.error.message, /^going away; the event may have been sent/);
  assert.equal(d.error.reason, 'NO');
  assert.equal(two.requests.length, 0);
});

test('a stream takes no more events than its window, and gives each its time', async (t) => {
  const broker = await Broker.start(t);
  const sala = broker.connect(t);
  let taken = 0;
  function* source() {
    for (;;) {
      taken++;
      yield { rooms: 'r', event: 'news', idempotencyKey: `${taken}` };
    }
  }
  const outcomes = sala.emitStream(source(), { window: 3, timeout: 200 });
  const { value } = await outcomes.next();
  assert.equal(value.error.code, 'DEADLINE_EXCEEDED');
  assert.equal(taken, 3);
  const stream = await nextStream(broker);
  const cancelled = new Promise((resolve) => stream.call.on('cancelled', resolve));
  await outcomes.return();
  await cancelled;
  assert.equal(taken, 3);
});

test('an error of the source comes after the outcomes, and one of the broker ends all events', async (t) => {
  const broker = await Broker.start(t);
  const sala = broker.connect(t);
  async function* source() {
    yield { rooms: 'r', event: 'news' };
    throw new Error('the source is dry');
  }
  const outcomes = sala.emitStream(source());
  const first = outcomes.next();
  const stream = await nextStream(broker);
  stream.answer(await stream.requests.next());
  assert.ok((await first).value.result);
  await assert.rejects(outcomes.next(), /the source is dry/);

  const denied = sala.emitStream([1, 2].map((n) => ({ rooms: 'r', event: 'news', args: [n], idempotencyKey: `${n}` })));
  const failed = denied.next();
  (await nextStream(broker)).call.emit('error', failure('PERMISSION_DENIED', 'no'));
  assert.equal((await failed).value.error.code, 'PERMISSION_DENIED');
  assert.equal((await denied.next()).value.error.code, 'PERMISSION_DENIED');
  assert.ok((await denied.next()).done);
});

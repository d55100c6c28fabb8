// Subscriptions: handlers, answers, order, credits, redelivery, reconnects and graceful leave.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ack, ClientError, Refuse } from '../dist/index.js';
import { Broker, Queue, failure } from './broker.mjs';

/** A logger that keeps what it gets. */
function keptLog() {
  const lines = [];
  const level = (name) => (message, { error, ...fields }) => lines.push([name, message, JSON.stringify({ error: error?.message ?? error, ...fields })].join(' '));
  return { lines, ...Object.fromEntries(['info', 'warn', 'error'].map((name) => [name, level(name)])), get problems() { return lines.filter((line) => !line.startsWith('info')); } };
}

/** Runs a subscription, and returns it with the broker's side of its stream. */
async function subscribe(t, broker, register, options = {}) {
  const subscription = broker.connect(t).subscribe({ group: 'g', logger: keptLog(), ...options });
  register(subscription);
  const ended = subscription.run();
  ended.catch(() => {});
  const subscriber = await broker.subscribers.next();
  const start = await subscriber.requests.next();
  subscriber.start();
  return { subscription, subscriber, start: start.value, ended };
}

/** A promise and its resolve. */
function gate() {
  let open;
  const opened = new Promise((resolve) => (open = resolve));
  return { open, opened };
}

test('the start asks for what has handlers', async (t) => {
  const broker = await Broker.start(t);
  const nothing = () => {};
  for (const [register, options, want] of [
    [(s) => s.on('say', nothing).on('see', nothing), {}, { kinds: ['EVENT_KIND_MESSAGE'], events: ['say', 'see'], decide: false }],
    [(s) => s.on('say', nothing).onAny(nothing), {}, { kinds: ['EVENT_KIND_MESSAGE'], events: [] }],
    [(s) => s.decide(nothing), { namespaces: '/chat' }, { kinds: ['EVENT_KIND_CONNECT'], decide: true, namespaces: ['/chat'] }],
    [(s) => s.onConnect(nothing).onDisconnect(nothing).onAway(nothing).onResumed(nothing), { observe: true }, { kinds: ['EVENT_KIND_CONNECT', 'EVENT_KIND_DISCONNECT', 'EVENT_KIND_AWAY', 'EVENT_KIND_RESUMED'], observe: true }],
    [(s) => s.onJoin(nothing).onLeave(nothing).onRoomOpened(nothing).onRoomClosed(nothing), { concurrency: 3 }, { kinds: ['EVENT_KIND_JOIN', 'EVENT_KIND_LEAVE', 'EVENT_KIND_ROOM_OPENED', 'EVENT_KIND_ROOM_CLOSED'], credits: 6 }],
    [(s) => s.onUserOnline(nothing).onUserOffline(nothing).onUserJoined(nothing).onUserLeft(nothing), { credits: 7 }, { kinds: ['EVENT_KIND_USER_ONLINE', 'EVENT_KIND_USER_OFFLINE', 'EVENT_KIND_USER_JOINED', 'EVENT_KIND_USER_LEFT'], credits: 7 }],
  ]) {
    const { start } = await subscribe(t, broker, register, options);
    assert.deepEqual(start, { group: 'g', namespaces: [], events: [], credits: 128, decide: false, observe: false, ...want });
  }
  const sala = broker.connect(t);
  await assert.rejects(sala.subscribe().run(), /at least one handler/);
  for (const options of [{ concurrency: 0 }, { credits: 0 }, { credits: 100_001 }]) assert.throws(() => sala.subscribe(options), RangeError);
});

test('what a handler returns or throws is the answer', async (t) => {
  const broker = await Broker.start(t);
  const logger = keptLog();
  const results = {
    nothing: () => undefined,
    one: async () => ({ id: 7 }),
    array: () => [1, 2],
    several: () => new Ack(null, 'b', Buffer.from([1])),
    none: () => new Ack(),
    refused: () => { throw new ClientError('MODERATED', 'mind your language'); },
    cut: () => { throw new ClientError('CUT', 'abcd👍'.slice(0, 5)); },
    failed: async () => { throw new Error('secret'); },
    unsendable: () => 1n,
  };
  const { subscriber } = await subscribe(t, broker, (s) => s.onAny((event) => results[event.name](event)), { logger });
  const reply = { args: undefined, argsJson: '', attachments: [], error: undefined };
  const HANDLER_FAILED = { code: 'HANDLER_FAILED', message: "the backend's handler has failed" };
  for (const [name, want] of [
    ['nothing', { argsJson: '[]' }],
    ['one', { argsJson: '[{"id":7}]' }],
    ['array', { argsJson: '[[1,2]]' }],
    ['several', { argsJson: '[null,"b",{"_placeholder":true,"num":0}]', attachments: [Buffer.from([1])] }],
    ['none', { argsJson: '[]' }],
    ['refused', { error: { code: 'MODERATED', message: 'mind your language' } }],
    ['cut', { error: { code: 'CUT', message: 'abcd\ufffd' } }],
    ['failed', { error: HANDLER_FAILED }],
    ['unsendable', { error: HANDLER_FAILED }],
  ]) {
    subscriber.send({ deliveryId: name, event: name, needsAck: true });
    assert.deepEqual(await subscriber.requests.next(), { $case: 'reply', value: { ...reply, deliveryId: name, ...want } });
  }
  assert.equal(logger.problems.length, 2);
  assert.match(logger.problems[0], /^error sala: a handler has failed \{"error":".*secret.*","group":"g","kind":"message","event":"failed","delivery":"failed"\}$/);
  assert.match(logger.problems[1], /"event":"unsendable"/);

  // Without an ack, there is no answer to anything.
  for (const event of ['one', 'refused', 'failed']) subscriber.send({ deliveryId: event, event });
  subscriber.send({ deliveryId: 'last', event: 'one', needsAck: true });
  assert.equal((await subscriber.requests.next()).value.deliveryId, 'last');
});

test('decide accepts with rooms and data, and refuses', async (t) => {
  const broker = await Broker.start(t);
  const logger = keptLog();
  const decisions = {
    plain: () => undefined,
    rich: async () => ({ rooms: ['lobby'], data: { plan: 'pro', since: undefined } }),
    banned: () => { throw new Refuse('BANNED', 'you are banned'); },
    broken: () => { throw new Error('secret'); },
    wrong: () => false,
  };
  const connected = new Queue();
  const { subscriber } = await subscribe(t, broker, (s) => s.decide((event) => decisions[event.socket.auth.as]()).onConnect(({ socket }) => connected.put(socket.id)), { logger });
  for (const [as, want] of [
    ['plain', { $case: 'accept', value: { rooms: [], data: undefined } }],
    ['rich', { $case: 'accept', value: { rooms: ['lobby'], data: { plan: 'pro' } } }],
    ['banned', { $case: 'refuse', value: { code: 'BANNED', message: 'you are banned' } }],
    ['broken', { $case: 'refuse', value: { code: 'HANDLER_FAILED', message: "the backend's handler has failed" } }],
    ['wrong', { $case: 'refuse', value: { code: 'HANDLER_FAILED', message: "the backend's handler has failed" } }],
  ]) {
    subscriber.send({ deliveryId: as, kind: 'EVENT_KIND_CONNECT', needsDecision: true, auth: { as } });
    assert.deepEqual(await subscriber.requests.next(), { $case: 'decision', value: { deliveryId: as, decision: want } });
  }
  subscriber.send({ kind: 'EVENT_KIND_CONNECT', socket: 's9' });
  assert.equal(await connected.next(), 's9');
  assert.equal(connected.length, 0);
  assert.equal(logger.problems.length, 2);
});

test('an event has what the broker says, and emits back', async (t) => {
  const broker = await Broker.start(t);
  broker.methods.emit = () => ({ matched: 1, queued: 1, kept: 0, dropped: 0, partial: false, missingNodes: [], positions: [], unrecordedRooms: [], duplicate: false });
  const seen = new Queue();
  const { subscriber } = await subscribe(t, broker, (s) => s.on('say', async (event) => {
    await event.emit('echo', [1]);
    await event.emitTo('lobby', 'said', [2], { exceptSockets: event.socket.id });
    seen.put(event);
  }).onUserJoined((event) => seen.put(event)));
  const time = new Date(1_795_396_533_724);
  subscriber.send({ deliveryId: 'd', args: [{ _placeholder: true, num: 0 }], attachments: [Buffer.from([5])], needsAck: true, redelivered: true, time, traceContext: 'tc', namespace: '/chat', auth: { lang: 'es' }, data: { plan: 'pro' } });
  const event = await seen.next();
  assert.deepEqual({ ...event, socket: { ...event.socket } }, {
    deliveryId: 'd', kind: 'message', namespace: '/chat', name: 'say', args: [Buffer.from([5])], argsJson: '[{"_placeholder":true,"num":0}]', attachments: [Buffer.from([5])],
    needsAck: true, needsDecision: false, redelivered: true, time, room: '', user: '', reason: '', previousSocketId: '', notRecovered: '', traceContext: 'tc',
    socket: { id: 's1', user: 'ana', namespace: '/', auth: { lang: 'es' }, data: { plan: 'pro' }, address: '', transport: '', connectTime: undefined },
  });
  assert.deepEqual(broker.calls.map(({ request: { namespace, sockets, rooms, exceptSockets, event: name } }) => [namespace, sockets, rooms, exceptSockets, name]), [
    ['/chat', ['s1'], [], [], 'echo'],
    ['/chat', [], ['lobby'], ['s1'], 'said'],
  ]);
  subscriber.send({ kind: 'EVENT_KIND_USER_JOINED', socket: null, user: 'ben', room: 'lobby' });
  const joined = await seen.next();
  assert.deepEqual([joined.kind, joined.user, joined.room, joined.socket], ['userJoined', 'ben', 'lobby', undefined]);
  await assert.rejects(joined.emit('echo'), TypeError);
});

test('the events of a socket are handled in order, those of others at the same time', async (t) => {
  const broker = await Broker.start(t);
  const handled = new Queue();
  const gates = { a1: gate(), b1: gate() };
  const arrived = gate();
  const { subscriber } = await subscribe(t, broker, (s) => s.on('say', async ({ args: [name] }) => {
    handled.put(`${name} begins`);
    await gates[name]?.opened;
    handled.put(`${name} ends`);
  }).onRejected(arrived.open), { concurrency: 2 });
  for (const name of ['a1', 'a2', 'b1', 'b2', 'c1']) subscriber.send({ deliveryId: name, socket: name[0], args: [name] });
  subscriber.reject({ reason: 'A_SIGN', message: 'that everything has arrived' });
  await arrived.opened;
  assert.equal(await handled.next(), 'a1 begins');
  assert.equal(await handled.next(), 'b1 begins'); // a2 waits for a1, and c1 for one of two
  gates.b1.open();
  assert.deepEqual([await handled.next(), await handled.next(), await handled.next(), await handled.next(), await handled.next()], ['b1 ends', 'c1 begins', 'c1 ends', 'b2 begins', 'b2 ends']);
  assert.equal(handled.length, 0);
  gates.a1.open();
  assert.deepEqual([await handled.next(), await handled.next(), await handled.next()], ['a1 ends', 'a2 begins', 'a2 ends']);
});

test('credits follow the handlers', async (t) => {
  const broker = await Broker.start(t);
  const held = gate();
  const { subscriber, start } = await subscribe(t, broker, (s) => s.on('wait', () => held.opened).on('go', () => {}), { concurrency: 2, credits: 3 });
  assert.equal(start.credits, 3);
  subscriber.send({ deliveryId: '1', event: 'wait', socket: 'a' });
  for (let n = 0; n < 20; n++) {
    await subscriber.creditsReach(2);
    subscriber.send({ deliveryId: `g${n}`, event: 'go', socket: 'b' });
  }
  await subscriber.creditsReach(2);
  assert.equal(subscriber.credits, 2);
  held.open();
  await subscriber.creditsReach(3);
  // A kind of a later release uses a credit too, and gives it back.
  subscriber.send({ deliveryId: 'x', kind: 99 });
  subscriber.send({ deliveryId: 'y', event: 'go', needsAck: true });
  await subscriber.requests.next();
  await subscriber.creditsReach(3);
  assert.equal(subscriber.credits, 3);
});

test('an event that comes again is answered again, but not handled again', async (t) => {
  const broker = await Broker.start(t);
  let handled = 0;
  const held = gate();
  const begun = new Queue();
  const reconnected = new Queue();
  const { subscriber } = await subscribe(t, broker, (s) => s.on('say', async ({ deliveryId }) => {
    begun.put(deliveryId);
    if (deliveryId === 'running') await held.opened;
    return ++handled;
  }).onReconnect((report) => reconnected.put(report)));
  subscriber.send({ deliveryId: 'done', needsAck: true, socket: 'a' });
  assert.equal((await subscriber.requests.next()).value.argsJson, '[1]');
  subscriber.send({ deliveryId: 'running', needsAck: true, socket: 'b' });
  subscriber.send({ deliveryId: 'waiting', needsAck: true, socket: 'b' });
  subscriber.send({ deliveryId: 'no ack', socket: 'b' });
  assert.deepEqual([await begun.next(), await begun.next()], ['done', 'running']);
  subscriber.end(failure('UNAVAILABLE', 'going away', { reason: 'DRAINING' }));

  const second = await broker.subscribers.next();
  assert.equal((await second.requests.next()).value.credits, 128 - 3); // three events of the first stream are still here
  second.start();
  const { cause, gap, undelivered } = await reconnected.next();
  assert.deepEqual([cause.reason, undelivered], ['DRAINING', 0]);
  assert.ok(gap >= 0 && gap < 30_000);
  // The one that is done comes last: once it is answered, the others have arrived too.
  for (const [deliveryId, socket] of [['running', 'b'], ['waiting', 'b'], ['done', 'a']]) second.send({ deliveryId, socket, needsAck: true, redelivered: true });
  const answers = [await second.requests.next()];
  held.open();
  answers.push(await second.requests.next(), await second.requests.next());
  assert.deepEqual(answers.map(({ value }) => [value.deliveryId, value.argsJson]), [['done', '[1]'], ['running', '[2]'], ['waiting', '[3]']]);
  assert.deepEqual([await begun.next(), await begun.next()], ['waiting', 'no ack']);
  await second.creditsReach(128);
  assert.deepEqual([second.credits, handled, begun.length], [128, 4, 0]);
});

test('answers without a stream are counted, and sent when the event comes again', async (t) => {
  const broker = await Broker.start(t);
  const held = gate();
  const handled = new Queue();
  const reconnected = new Queue();
  const { subscriber } = await subscribe(t, broker, (s) => s.on('say', async ({ deliveryId }) => {
    await held.opened;
    handled.put(deliveryId);
    return deliveryId;
  }).onReconnect((report) => reconnected.put(report)), { logger: { info() {}, warn: () => held.open() } }); // the line says that the stream has ended
  for (const deliveryId of ['running', 'waiting']) subscriber.send({ deliveryId, needsAck: true });
  subscriber.send({ deliveryId: 'no ack' });
  subscriber.end(failure('UNAVAILABLE', 'going away'));
  assert.deepEqual([await handled.next(), await handled.next()], ['running', 'no ack']);

  const second = await broker.subscribers.next();
  await second.creditsReach(128);
  second.start();
  assert.equal((await reconnected.next()).undelivered, 2);
  await second.requests.next();
  for (const deliveryId of ['running', 'waiting']) second.send({ deliveryId, needsAck: true, redelivered: true });
  assert.deepEqual([(await second.requests.next()).value.argsJson, (await second.requests.next()).value.argsJson], ['["running"]', '["waiting"]']);
  assert.deepEqual([await handled.next(), handled.length], ['waiting', 0]); // only now, since another member could have had it
});

test('a subscription survives brokers that come and go', async (t) => {
  const broker = await Broker.start(t);
  const logger = keptLog();
  const started = new Queue();
  const reports = [];
  const { ended, subscription } = await subscribe(t, broker, (s) => s.on('say', () => 'ok').onStarted((message) => started.put(message)).onReconnect(async (report) => {
    reports.push(report);
    throw new Error('the hook is broken');
  }), { logger });
  assert.deepEqual(await started.next(), { partial: false, missingNodes: [] });
  broker.kill();
  const again = await Broker.start(t, { port: broker.port });
  const refused = await again.subscribers.next();
  refused.end(failure('RESOURCE_EXHAUSTED', 'too many', { reason: 'TOO_MANY_SUBSCRIPTIONS' }));
  const second = await again.subscribers.next();
  await second.requests.next();
  second.start({ partial: true, missingNodes: ['n2'] });
  assert.deepEqual(await started.next(), { partial: true, missingNodes: ['n2'] });
  second.end(); // without an error and without being asked
  const third = await again.subscribers.next();
  await third.requests.next();
  third.start();
  await started.next();
  assert.deepEqual(reports.map(({ cause, undelivered }) => [cause?.code, undelivered]), [['CANCELLED', 0], [undefined, 0]]); // CANCELLED is how a grpc-js server dies
  third.send({ deliveryId: 'd', needsAck: true });
  assert.equal((await third.requests.next()).value.argsJson, '["ok"]');
  const times = (line) => line.replaceAll(/"\d+\.\d{3}s"/g, '"…s"');
  assert.deepEqual(logger.lines.map(times).filter((line) => !line.includes('hook')), [
    'info sala: subscribed {"group":"g","partial":false,"missing_nodes":[]}',
    'warn sala: the event stream has ended {"error":"Call cancelled","group":"g","again_in":"…s"}',
    'warn sala: can\'t subscribe {"error":"too many (TOO_MANY_SUBSCRIPTIONS)","group":"g","again_in":"…s"}',
    'warn sala: subscribed again {"error":"Call cancelled","group":"g","gap":"…s","undelivered":0,"partial":true,"missing_nodes":["n2"]}',
    'warn sala: the event stream has ended {"error":"the broker has closed it","group":"g","again_in":"…s"}',
    'warn sala: subscribed again {"error":"the broker has closed it","group":"g","gap":"…s","undelivered":0,"partial":false,"missing_nodes":[]}',
  ]);
  assert.match(logger.lines.join('\n'), /error sala: a hook has failed \{"error":"the hook is broken","group":"g","hook":"onReconnect"\}/);
  const stopped = subscription.stop();
  await third.closed;
  await stopped;
  await ended;
});

test('errors that another attempt would meet again end the run', async (t) => {
  const broker = await Broker.start(t);
  for (const code of ['UNAUTHENTICATED', 'PERMISSION_DENIED', 'INVALID_ARGUMENT']) {
    const logger = keptLog();
    const subscription = broker.connect(t).subscribe({ logger }).on('say', () => {});
    const run = subscription.run();
    const subscriber = await broker.subscribers.next();
    subscriber.end(failure(code, 'no', { reason: 'API_KEY_INVALID' }));
    await assert.rejects(run, { name: 'SalaError', code, reason: 'API_KEY_INVALID', message: 'no' });
    assert.deepEqual(logger.lines, []); // whoever runs it has the error
    await assert.rejects(subscription.run(), /only once/);
    await subscription.stop();
  }
});

test('a graceful leave answers what has arrived, and leaves the rest to others', async (t) => {
  const broker = await Broker.start(t);
  const held = gate();
  const arrived = gate();
  const handled = new Queue();
  const { subscription, subscriber, ended } = await subscribe(t, broker, (s) => s.on('say', async ({ deliveryId }) => {
    handled.put(deliveryId);
    await held.opened;
  }).onRejected(arrived.open));
  subscriber.send({ deliveryId: 'running', needsAck: true });
  subscriber.send({ deliveryId: 'waiting', needsAck: true });
  subscriber.reject({ reason: 'A_SIGN', message: 'that everything has arrived' });
  await arrived.opened;
  assert.equal(await handled.next(), 'running');
  subscriber.endsLate = true;
  const stopped = subscription.stop();
  const twice = subscription.stop();
  held.open();
  assert.equal((await subscriber.requests.next()).value.deliveryId, 'running');
  assert.equal((await subscriber.requests.next()).value.deliveryId, 'waiting');
  await subscriber.closed;
  assert.equal(subscriber.credits, 126); // no new ones
  // What the broker had handed over arrives late.
  subscriber.send({ deliveryId: 'late', needsAck: true });
  subscriber.send({ deliveryId: 'late, without an ack' });
  subscriber.end();
  await Promise.all([stopped, twice, ended]);
  assert.deepEqual([await handled.next(), await handled.next()], ['waiting', 'late, without an ack']);
  assert.equal(handled.length + subscriber.requests.length, 0);
});

test('after the grace time the stream is cut', async (t) => {
  const broker = await Broker.start(t);
  const logger = keptLog();
  const begun = gate();
  const { subscription, subscriber } = await subscribe(t, broker, (s) => s.on('say', () => {
    begun.open();
    return new Promise(() => {});
  }), { grace: 20, logger });
  subscriber.send({ deliveryId: 'd', needsAck: true });
  await begun.opened;
  await subscription.stop();
  await subscriber.cancelled;
  assert.match(logger.lines.at(-1), /^warn sala: handlers still run after the grace time \{"group":"g","events":1\}$/);
});

test('a subscription that cannot connect stops at once', async (t) => {
  const broker = await Broker.start(t);
  const sala = broker.connect(t);
  broker.kill();
  const control = new AbortController();
  const logger = keptLog();
  const run = sala.subscribe({ logger: { ...logger, warn: () => control.abort() } }).on('say', () => {}).run({ signal: control.signal });
  await run;
  await sala.subscribe().on('say', () => {}).run({ signal: control.signal }); // aborted before it began
});

test('closing the client leaves gracefully', async (t) => {
  const broker = await Broker.start(t);
  const sala = broker.connect(t);
  const run = sala.subscribe({ logger: keptLog() }).on('say', () => {}).run();
  const subscriber = await broker.subscribers.next();
  subscriber.start();
  await subscriber.requests.next();
  await sala[Symbol.asyncDispose]();
  await run;
});

test('an answer that the broker cannot take is replaced, once', async (t) => {
  const broker = await Broker.start(t);
  const logger = keptLog();
  const rejections = [];
  const { subscriber } = await subscribe(t, broker, (s) => s.on('say', () => 'too large').decide(() => ({ rooms: ['?'] })).onRejected((rejected) => rejections.push(rejected)), { logger });
  subscriber.send({ deliveryId: 'd', needsAck: true });
  await subscriber.requests.next();
  subscriber.reject({ deliveryId: 'd', reason: 'REQUEST_TOO_LARGE', message: 'too large' });
  assert.equal((await subscriber.requests.next()).value.error.code, 'HANDLER_FAILED');
  subscriber.reject({ deliveryId: 'd', reason: 'INVALID_ARGUMENT', message: 'again' });
  subscriber.reject({ deliveryId: 'unknown', reason: 'INVALID_ARGUMENT', message: 'unknown' });
  subscriber.send({ deliveryId: 'c', kind: 'EVENT_KIND_CONNECT', needsDecision: true });
  assert.equal((await subscriber.requests.next()).value.decision.$case, 'accept');
  subscriber.reject({ deliveryId: 'c', reason: 'DELIVERY_EXPIRED', message: 'late' });
  subscriber.reject({ deliveryId: 'c', reason: 'INVALID_ARGUMENT', message: 'no room' });
  assert.equal((await subscriber.requests.next()).value.decision.value.code, 'HANDLER_FAILED');
  assert.equal(logger.problems.length, 5);
  assert.deepEqual(rejections[0], { deliveryId: 'd', reason: 'REQUEST_TOO_LARGE', message: 'too large' });
  assert.equal(rejections.length, 5);
});

test('an event that cannot be decoded is answered, and the others go on', async (t) => {
  const broker = await Broker.start(t);
  const logger = keptLog();
  const { subscriber } = await subscribe(t, broker, (s) => s.on('say', () => 'ok'), { logger });
  subscriber.send({ deliveryId: 'd', needsAck: true, argsJson: 'not JSON' });
  assert.equal((await subscriber.requests.next()).value.error.code, 'HANDLER_FAILED');
  subscriber.send({ deliveryId: 'e', needsAck: true });
  assert.equal((await subscriber.requests.next()).value.argsJson, '["ok"]');
  assert.equal(logger.problems.length, 1);
});

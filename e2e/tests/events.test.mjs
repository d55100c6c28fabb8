// The event stream: backends receive what stock clients do, over gRPC from
// bin/sala.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WAYS, connect, login, refusal } from '../helpers/client.mjs';
import { Backend, MESSAGES, answering, status, subscribe } from '../helpers/events.mjs';
import { Child, SALA } from '../helpers/process.mjs';
import { API_KEY, Sala } from '../helpers/sala.mjs';
import { broker, fresh } from '../helpers/suite.mjs';
import { deadline, until } from '../helpers/wait.mjs';

const shared = broker();

const acked = (client, event, ...args) => deadline(new Promise((resolve) => client.emit(event, ...args, (...answer) => resolve(answer))), `the ack of ${event}`);

for (const { name, options } of WAYS) {
  test(`acks from backends, ${name}`, async (t) => {
    const event = fresh('ask');
    const backend = await subscribe(t, shared.sala, { kinds: MESSAGES, events: [event] });
    const ada = await login(t, shared.sala, 'ada', options);
    for (const [what, args, answer, attachments = [], expected = answer] of [
      ['nothing', [], []],
      ['one', ['x'], [{ ok: true }]],
      ['many', [1, 'two', [3]], [1, 'two', { three: 3 }, null]],
      ['binary', [{ picture: Buffer.from([0, 255]) }], [{ _placeholder: true, num: 0 }, 'and text'], [Buffer.from([1, 2, 3])], [Buffer.from([1, 2, 3]), 'and text']],
    ]) {
      const ack = acked(ada, event, ...args);
      const received = await backend.next();
      assert.equal(received.kind, 'EVENT_KIND_MESSAGE');
      assert.equal(received.event, event);
      assert.equal(received.needsAck, true);
      assert.equal(received.redelivered, false);
      assert.equal(received.socket.id, ada.id);
      assert.equal(received.socket.user, 'ada');
      if (what === 'binary') {
        assert.deepEqual(JSON.parse(received.argsJson), [{ picture: { _placeholder: true, num: 0 } }]);
        assert.deepEqual(received.attachments, [Buffer.from([0, 255])]);
      } else {
        assert.deepEqual(JSON.parse(received.argsJson), args);
      }
      backend.reply(received, answer, { attachments });
      assert.deepEqual(await ack, expected, what);
    }
    const ack = acked(ada, event);
    const { deliveryId } = await backend.next();
    backend.send({ reply: { deliveryId, error: { code: 'NOT_TODAY', message: 'come back tomorrow' } } });
    assert.deepEqual(await ack, [{ error: { code: 'NOT_TODAY', message: 'come back tomorrow' } }]);
  });
}

test('a backend receives events of sockets and rooms, in order', async (t) => {
  const room = fresh('room');
  const backend = await subscribe(t, shared.sala);
  const ada = await login(t, shared.sala, 'ada', { auth: { token: await shared.sala.token('ada', { data: { plan: 'pro' } }), app: 'e2e' } });
  await ada.join(room);
  ada.emit('hello');
  assert.deepEqual(await ada.ask('leave', { room }), { ok: true });
  const { id } = ada;
  ada.close();
  const received = [];
  while (received.at(-1)?.kind !== 'EVENT_KIND_DISCONNECT') {
    const event = await backend.next();
    if (event.socket?.id === id || event.room === room) received.push(event);
  }
  assert.deepEqual(received.map(({ kind }) => kind.replace('EVENT_KIND_', '')), ['CONNECT', 'ROOM_OPENED', 'JOIN', 'MESSAGE', 'LEAVE', 'ROOM_CLOSED', 'DISCONNECT']);
  const [connected] = received;
  assert.deepEqual(JSON.parse(connected.socket.authJson), { app: 'e2e' }, 'all of auth but the token');
  assert.equal(connected.socket.data.structValue.fields.plan.stringValue, 'pro');
  assert.match(connected.socket.address, /^127\.0\.0\.1:\d+$/);
  assert.equal(received.at(-1).reason, 'client namespace disconnect');
});

test('without a backend, or with one that only observes, the client gets an error immediately', async (t) => {
  const event = fresh('lonely');
  const ada = await login(t, shared.sala, 'ada');
  assert.equal((await ada.ask(event)).error.code, 'NO_HANDLER');
  const observer = await subscribe(t, shared.sala, { observe: true, kinds: MESSAGES, events: [event] });
  assert.equal((await ada.ask(event, 1)).error.code, 'NO_HANDLER');
  const seen = await observer.next();
  assert.deepEqual([seen.needsAck, seen.argsJson], [false, '[1]']);
});

test('a group: each event goes to one member, and those of a socket arrive in order', async (t) => {
  const event = fresh('work');
  const start = { group: fresh('group'), kinds: MESSAGES, events: [event], credits: 10 };
  const members = [];
  for (let n = 0; n < 2; n++) members.push(answering(await subscribe(t, shared.sala, start), ({ argsJson }) => [n, ...JSON.parse(argsJson)]));
  const clients = [];
  for (let n = 0; n < 20; n++) clients.push(await login(t, shared.sala, `user-${n}`));
  const count = 50;
  const received = new Map();
  for (const member of members) {
    const answer = member.onResponse;
    member.onResponse = (response) => {
      if (response.event) received.set(response.event.socket.id, [...(received.get(response.event.socket.id) ?? []), JSON.parse(response.event.argsJson)[0]]);
      answer(response);
    };
  }
  const used = new Set();
  await Promise.all(clients.map(async (client) => {
    const answers = await Promise.all(Array.from({ length: count }, (_, n) => acked(client, event, n)));
    assert.deepEqual(answers.map(([, n]) => n), Array.from({ length: count }, (_, n) => n));
    assert.equal(new Set(answers.map(([member]) => member)).size, 1, 'a socket stays with its member');
    used.add(answers[0][0]);
    assert.deepEqual(received.get(client.id), Array.from({ length: count }, (_, n) => n), 'each once, in order');
  }));
  assert.equal(used.size, 2, 'both members work');
});

test('answers without effect are rejected, each with its reason', async (t) => {
  const sala = await Sala.start({ args: ['--ack-timeout', '2s'] });
  t.after(() => sala.stop());
  const backend = await subscribe(t, sala, { kinds: MESSAGES });
  const ada = await login(t, sala, 'ada');
  const rejected = async (request, reason, code) => {
    backend.send(request);
    const answer = await backend.next('rejected');
    assert.deepEqual([answer.reason, answer.code], [reason, code], answer.message);
    assert.ok(answer.message);
  };
  await rejected({ reply: { deliveryId: '1', argsJson: '[]' } }, 'DELIVERY_NOT_FOUND', status.NOT_FOUND);
  await rejected({ reply: { deliveryId: 'mine', argsJson: '[]' } }, 'DELIVERY_NOT_FOUND', status.NOT_FOUND);

  let ack = acked(ada, 'a');
  const first = await backend.next();
  await rejected({ reply: { deliveryId: first.deliveryId, argsJson: '{' } }, 'INVALID_ARGUMENT', status.INVALID_ARGUMENT);
  await rejected({ decision: { deliveryId: first.deliveryId, accept: {} } }, 'DELIVERY_MISMATCH', status.FAILED_PRECONDITION);
  backend.reply(first, ['once']);
  assert.deepEqual(await ack, ['once']);
  await rejected({ reply: { deliveryId: first.deliveryId, argsJson: '["twice"]' } }, 'DELIVERY_ANSWERED', status.FAILED_PRECONDITION);

  ack = acked(ada, 'b');
  const second = await backend.next();
  assert.equal((await ack)[0].error.code, 'HANDLER_TIMEOUT');
  await rejected({ reply: { deliveryId: second.deliveryId, argsJson: '["late"]' } }, 'DELIVERY_EXPIRED', status.FAILED_PRECONDITION);
  assert.deepEqual(ada.inbox, [], 'nothing else has come');
});

for (const [name, start, words, ...more] of [
  ['too many credits at first', { credits: 100_001 }, /credits/],
  ['too many credits', { credits: 100_000 }, /credits/, { credit: { credits: 1 } }],
  ['an unknown kind', { kinds: [42] }, /kinds/],
  ['an unknown namespace', { namespaces: ['/none'] }, /namespaces/],
  ['observe and decide', { observe: true, decide: true }, /observe/],
  ['a second start', {}, /start/, { start: {} }],
  ['an empty request', {}, /request/, {}],
]) {
  test(`an invalid stream: ${name}`, async (t) => {
    const backend = new Backend(shared.sala.grpc, start);
    t.after(() => backend.close());
    for (const request of more) backend.send(request);
    const ended = await deadline(backend.ended, 'the end of the stream');
    assert.equal(ended.code, status.INVALID_ARGUMENT, ended.details);
    assert.match(ended.details, words);
  });
}

test('a drain ends streams with UNAVAILABLE, after the last events', async (t) => {
  const sala = await Sala.start();
  const backend = await subscribe(t, sala, { kinds: ['EVENT_KIND_DISCONNECT'] });
  const ada = await login(t, sala, 'ada');
  const stopped = sala.stop();
  const { socket } = await backend.next();
  assert.equal(socket.user, 'ada');
  const ended = await deadline(backend.ended, 'the end of the stream');
  assert.equal(ended.code, status.UNAVAILABLE, ended.details);
  await stopped;
  assert.ok(ada.inbox.some(({ event }) => event === 'sala:disconnect'));
});

test('backends that grant or read too little are disconnected, and slow nobody down', async (t) => {
  const sala = await Sala.start({ args: ['--max-bytes-per-second', '0'] });
  t.after(() => sala.stop());
  const credits = 10;
  const idle = await subscribe(t, sala, { kinds: MESSAGES, events: ['load'], credits });
  const deaf = await subscribe(t, sala, { kinds: MESSAGES, events: ['load'], credits: 100_000 });
  deaf.stream.pause();
  const reader = await subscribe(t, sala, { kinds: MESSAGES, events: ['ask'] });
  answering(reader, () => ['here']);
  const ada = await login(t, sala, 'ada', { transports: ['websocket'] });
  const large = 'x'.repeat(100_000);
  for (let n = 0; n < 400; n++) ada.emit('load', n, large); // 40 MB, more than may wait for one subscriber
  assert.deepEqual(await ada.ask('ask'), 'here');
  const ended = await deadline(idle.ended, 'the end of the slow one');
  assert.equal(ended.code, status.RESOURCE_EXHAUSTED, ended.details);
  // Events that it had credit for and that were in flight when it was disconnected may be missing.
  assert.ok(idle.received.length > 0 && idle.received.length <= credits, `it had credit for ${credits} and got ${idle.received.length}`);
  const metric = async (line) => (await sala.rest('GET', '/metrics')).body.split('\n').includes(line);
  await until(() => metric('sala_subscriptions_ended_total{reason="SLOW_SUBSCRIBER"} 2'), 'the end of both');
  assert.deepEqual(await ada.ask('ask'), 'here');
});

test('decide: accepted clients get rooms and data, refused ones a code', async (t) => {
  const sala = await Sala.start({ args: ['--decide-timeout', '2s'] });
  t.after(() => sala.stop());
  const backend = await subscribe(t, sala, { group: 'door', kinds: ['EVENT_KIND_CONNECT'], decide: true });
  backend.onResponse = ({ event }) => {
    if (!event?.needsDecision || event.socket.user === 'silent') return;
    if (event.socket.user === 'mallory') return backend.decide(event, { refuse: { code: 'BANNED', message: 'not you' } });
    return backend.decide(event, { accept: { rooms: ['lobby'], data: { stringValue: 'checked' } } });
  };
  const ada = await login(t, sala, 'ada');
  const { socket } = await sala.ok('GET', `/v1/sockets/${ada.id}`);
  assert.deepEqual([socket.rooms, socket.data], [['lobby'], 'checked']);
  const refused = await refusal(t, sala, { token: await sala.token('mallory') });
  assert.deepEqual([refused.message, refused.data.code], ['not you', 'BANNED']);
  const undecided = await refusal(t, sala, { token: await sala.token('silent') });
  assert.equal(undecided.data.code, 'UNDECIDED');
  backend.close();
  await until(async () => (await sala.rest('GET', '/metrics')).body.includes('sala_subscriptions 0'), 'the end of the subscription');
  await login(t, sala, 'mallory'); // nobody decides any longer
});

test('decide: without a backend accepted by default, refused with --decide-required', async (t) => {
  const lenient = await Sala.start({ args: ['--decide-timeout', '200ms', '--decide-default', 'accept'] });
  t.after(() => lenient.stop());
  await subscribe(t, lenient, { kinds: ['EVENT_KIND_CONNECT'], decide: true });
  await login(t, lenient, 'ada');
  const strict = await Sala.start({ args: ['--decide-required'] });
  t.after(() => strict.stop());
  assert.equal((await refusal(t, strict, { token: await strict.token('ada') })).data.code, 'UNDECIDED');
  const backend = await subscribe(t, strict, { kinds: ['EVENT_KIND_CONNECT'], decide: true });
  backend.onResponse = ({ event }) => { if (event?.needsDecision) backend.decide(event, { accept: {} }); };
  await connect(t, strict, { token: await strict.token('ada') });
});

test('sala tail: JSON for scripts, text for people, and Ctrl-C exits with success', async (t) => {
  const { sala } = shared;
  const event = fresh('tailed');
  const env = { SALA_SERVER: sala.grpc, SALA_API_KEY: API_KEY };
  const people = new Child(SALA, ['tail', '--event', event], { env });
  const script = new Child(SALA, ['tail', '--event', event, '-n', '2', '-o', 'json'], { env });
  for (const child of [people, script]) {
    t.after(() => child.end('SIGKILL'));
    await child.see(({ stderr }) => stderr.includes('listening to'), 'that it listens');
  }
  const ada = await login(t, sala, 'ada');
  assert.equal((await ada.ask(event, { text: 'hola' }, Buffer.from('abc'))).error.code, 'NO_HANDLER', 'a tail answers nothing');
  ada.emit(event, 'again');
  assert.equal(await deadline(script.exited, 'the end of the tail'), 0);
  const [first, second] = script.stdout.trimEnd().split('\n').map((line) => JSON.parse(line));
  assert.deepEqual([first.kind, first.socket.user, first.event, first.attachments], ['EVENT_KIND_MESSAGE', 'ada', event, ['YWJj']]);
  assert.equal(second.argsJson, '["again"]');
  await people.see(({ stdout }) => stdout.includes(`${event} ["again"]`), 'the second event');
  assert.match(people.stdout, new RegExp(`message +/ ada ${ada.id} ${event} \\[\\{"text":"hola"\\},\\{.*\\}\\] \\[attachment 0: 3 bytes\\]`));
  assert.ok(!people.stdout.includes('\x1b'), 'no colours where it is no terminal');
  assert.equal(await people.end('SIGINT'), 0);
});

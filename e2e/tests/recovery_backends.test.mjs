// What backends see and do while a client is away.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect, login, refusal, settle } from '../helpers/client.mjs';
import { subscribe } from '../helpers/events.mjs';
import { Child } from '../helpers/process.mjs';
import { RETURN, away, back, bare, missed, recoverer, refused, state } from '../helpers/recovery.mjs';
import { API_KEY, UNRECORDED, WHOLE, Sala } from '../helpers/sala.mjs';
import { broker, fresh } from '../helpers/suite.mjs';
import { deadline } from '../helpers/wait.mjs';

const shared = broker({ args: ['--ping-interval', '1s', '--ping-timeout', '3s'] });
const WEBSOCKET = { transports: ['websocket'] };
const LIFE = ['CONNECT', 'AWAY', 'RESUMED', 'DISCONNECT'].map((kind) => `EVENT_KIND_${kind}`);

// life collects events of a socket until one of a kind.
async function life(backend, id, last) {
  const events = [];
  while (events.at(-1)?.kind !== `EVENT_KIND_${last}`) {
    const event = await backend.next();
    if (event.socket?.id === id) events.push(event);
  }
  return events;
}

const kindsOf = (events) => events.map(({ kind }) => kind.replace('EVENT_KIND_', ''));

test('backends receive AWAY, RESUMED and DISCONNECT in order', async (t) => {
  const sala = await Sala.start({ args: ['--recovery-window', '1s'] });
  t.after(() => sala.stop());
  const backend = await subscribe(t, sala, { kinds: LIFE });
  const ada = await recoverer(t, sala, 'ada', WEBSOCKET);
  const { id } = ada;
  for (let n = 0; n < 3; n++) {
    await away(sala, ada);
    const returned = back(ada);
    ada.line.repair();
    assert.equal(await returned, true);
  }
  await away(sala, ada);
  const events = await life(backend, id, 'DISCONNECT');
  assert.deepEqual(kindsOf(events), ['CONNECT', 'AWAY', 'RESUMED', 'AWAY', 'RESUMED', 'AWAY', 'RESUMED', 'AWAY', 'DISCONNECT']);
  for (const { kind, reason, socket } of events) {
    assert.equal(socket.user, 'ada');
    if (kind === 'EVENT_KIND_AWAY') assert.match(reason, /^transport (close|error)$/);
    if (kind === 'EVENT_KIND_DISCONNECT') assert.ok(reason, 'a reason');
    if (kind === 'EVENT_KIND_RESUMED') assert.match(socket.address, /^127\.0\.0\.1:\d+$/);
  }
  assert.deepEqual(events[0].socket.connectTime, events[2].socket.connectTime, 'it has connected once');
});

test('a client that leaves on purpose is disconnected, not away', async (t) => {
  const { sala } = shared;
  const backend = await subscribe(t, sala, { kinds: LIFE });
  const ada = await recoverer(t, sala, fresh('ada'), WEBSOCKET);
  const { id } = ada;
  ada.socket.disconnect();
  const events = await life(backend, id, 'DISCONNECT');
  assert.deepEqual(kindsOf(events), ['CONNECT', 'DISCONNECT']);
  assert.equal(events[1].reason, 'client namespace disconnect');
});

test('events that a client sends after its return reach the same backend', async (t) => {
  const { sala } = shared;
  const event = fresh('work');
  const start = { group: fresh('group'), kinds: ['EVENT_KIND_MESSAGE'], events: [event] };
  const members = [await subscribe(t, sala, start), await subscribe(t, sala, start)];
  const ada = await recoverer(t, sala, fresh('ada'), WEBSOCKET);
  ada.emit(event, 0);
  const first = await Promise.race(members.map(async (member) => ({ member, event: await member.next() })));
  for (let n = 1; n <= 5; n++) {
    await away(sala, ada);
    ada.emit(event, n); // the client keeps it until it is connected
    const returned = back(ada);
    ada.line.repair();
    assert.equal(await returned, true);
    const next = await first.member.next();
    assert.deepEqual([next.socket.id, next.argsJson], [ada.id, `[${n}]`]);
  }
});

test('pid and offset are not shown to backends', async (t) => {
  const { sala } = shared;
  const user = fresh('ada');
  const backend = await subscribe(t, sala, { kinds: LIFE });
  const ada = await recoverer(t, sala, user, { ...WEBSOCKET, auth: { app: 'e2e' } });
  await settle(sala, ada);
  const secret = ada.socket._pid.split('~')[1];
  const { id } = ada;
  await away(sala, ada);
  const returned = back(ada);
  ada.line.repair();
  assert.equal(await returned, true);
  for (const event of await life(backend, id, 'RESUMED')) {
    assert.equal(JSON.parse(event.socket.authJson).app, 'e2e');
    assert.ok(!JSON.stringify(event).includes(secret), 'a backend sees the secret of a pid');
    assert.deepEqual(Object.keys(JSON.parse(event.socket.authJson)).filter((key) => ['pid', 'offset', 'token'].includes(key)), []);
  }
});

test('lists and reports count a socket that is away', async (t) => {
  const { sala } = shared;
  const user = fresh('ada');
  const room = fresh('room');
  const ada = await recoverer(t, sala, user, WEBSOCKET);
  await ada.join(room);
  const ben = await login(t, sala, fresh('ben'));
  await ben.join(room);
  const id = await away(sala, ada);
  const { sockets } = await sala.ok('GET', `/v1/sockets?room=${room}`);
  assert.deepEqual(Object.fromEntries(sockets.map((socket) => [socket.id, socket.state])), { [id]: 'SOCKET_STATE_AWAY', [ben.id]: 'SOCKET_STATE_CONNECTED' });
  assert.deepEqual(await sala.emit([room], 'n', 1), { matched: 2, queued: 1, kept: 1, dropped: 0, ...WHOLE, ...UNRECORDED });
  assert.equal((await sala.ok('GET', `/v1/rooms/${room}`)).sockets, 2);
  assert.equal((await sala.ok('POST', '/v1/broadcast', { event: 'n', args: [2] })).kept >= 1, true);
  const batch = await sala.ok('POST', '/v1/emit:batch', { emits: [{ rooms: [room], event: 'n', args: [3] }] });
  assert.deepEqual([batch.results[0].queued, batch.results[0].kept], [1, 1]);
  const returned = back(ada);
  ada.line.repair();
  assert.equal(await returned, true);
  await state(sala, { id }, 'SOCKET_STATE_CONNECTED');
  await settle(sala, ada);
  assert.deepEqual(missed(ada).filter(([event]) => event === 'n').map(([, n]) => n), [1, 2, 3]);
  assert.deepEqual(await sala.emit([room], 'n', 4), { matched: 2, queued: 2, kept: 0, dropped: 0, ...WHOLE, ...UNRECORDED });
});

test('an emit that asks for acks counts a socket that is away as disconnected, at once', async (t) => {
  const { sala } = shared;
  const user = fresh('ada');
  const ada = await recoverer(t, sala, user, WEBSOCKET);
  const ask = async () => {
    const curl = new Child('curl', ['-sSN', '-H', `Authorization: Bearer ${API_KEY}`, `${sala.http}/v1/emit:ack`, '-d', JSON.stringify({ users: [user], event: 'q', timeout: '60s' })]);
    t.after(() => curl.end('SIGKILL'));
    assert.equal(await deadline(curl.exited, 'the summary, long before the timeout'), 0, curl.output);
    return JSON.parse(curl.stdout.trim().split('\n').at(-1)).result.summary;
  };
  await away(sala, ada);
  assert.deepEqual(await ask(), { expected: 1, answered: 0, timedOut: 0, disconnected: 1, dropped: 0, ...WHOLE });

  // One that is asked and then loses its connection counts as disconnected as soon as it is away.
  const returned = back(ada);
  ada.line.repair();
  assert.equal(await returned, true);
  const asked = new Promise((resolve) => { ada.socket.on('q', (...args) => resolve(args.at(-1))); });
  const summary = ask();
  await asked;
  await away(sala, ada);
  assert.deepEqual(await summary, { expected: 1, answered: 0, timedOut: 0, disconnected: 1, dropped: 0, ...WHOLE });
  const again = back(ada);
  ada.line.repair();
  assert.equal(await again, true);
  await settle(sala, ada);
  assert.equal(ada.inbox.filter(({ event }) => event === 'q').length, 1, 'requests for acks are not replayed');
});

test('joins and leaves by a backend apply while a client is away', async (t) => {
  const { sala } = shared;
  const user = fresh('ada');
  const [stays, left, joined] = ['stays', 'left', 'joined'].map(fresh);
  const ada = await recoverer(t, sala, user, { ...WEBSOCKET, grants: { rooms: [stays, left] } });
  const id = await away(sala, ada);
  await sala.ok('POST', '/v1/sockets:join', { selector: { users: [user] }, rooms: [joined] });
  await sala.ok('POST', '/v1/sockets:leave', { selector: { sockets: [id] }, rooms: [left] });
  await sala.ok('POST', '/v1/sockets:update', { selector: { users: [user] }, data: { plan: 'pro' } });
  for (const room of [stays, left, joined]) await sala.emit([room], 'in', room);
  const returned = back(ada);
  ada.line.repair();
  assert.equal(await returned, true);
  await settle(sala, ada);
  assert.deepEqual(missed(ada), [['in', stays], ['in', joined]]);
  const { socket } = await sala.ok('GET', `/v1/sockets/${id}`);
  assert.deepEqual(socket.rooms, [stays, joined].sort());
  assert.deepEqual(socket.data, { plan: 'pro' });
});

test('a room that is cleared while a client is away', async (t) => {
  const { sala } = shared;
  const user = fresh('ada');
  const room = fresh('room');
  const ada = await recoverer(t, sala, user, { ...WEBSOCKET, grants: { rooms: [room] } });
  const id = await away(sala, ada);
  await sala.emit([room], 'n', 1);
  await sala.ok('POST', `/v1/rooms/${room}:clear`, { notice: { event: 'cleared', args: [2] } });
  assert.equal((await sala.emit([room], 'n', 3)).matched, 0);
  const returned = back(ada);
  ada.line.repair();
  assert.equal(await returned, true);
  assert.equal(ada.id, id);
  await settle(sala, ada);
  assert.deepEqual(missed(ada), [['n', 1], ['cleared', 2]]);
});

// What ends a session while its client is away: the client is told when it returns, as if it had been connected.
for (const [what, reason, end] of [
  ['a room is cleared with disconnect', /^the room room-\d+ was cleared$/, (sala, { room }) => sala.ok('POST', `/v1/rooms/${room}:clear`, { disconnect: true })],
  ['a backend disconnects the socket', /^enough$/, (sala, { id }) => sala.ok('POST', '/v1/sockets:disconnect', { selector: { sockets: [id] }, reason: 'enough' })],
  ['a backend disconnects the user', /^enough$/, (sala, { user }) => sala.ok('POST', '/v1/sockets:disconnect', { selector: { users: [user] }, reason: 'enough' })],
]) {
  test(`${what} while the client is away: it is told on return`, async (t) => {
    const { sala } = shared;
    const backend = await subscribe(t, sala, { kinds: LIFE });
    const user = fresh('ada');
    const room = fresh('room');
    const ada = await recoverer(t, sala, user, { ...WEBSOCKET, grants: { rooms: [room] } });
    const id = await away(sala, ada);
    await sala.ok('POST', '/v1/emit', { users: [user], event: 'n', args: [1] });
    await end(sala, { id, user, room });
    await state(sala, { id }, undefined);
    assert.deepEqual(kindsOf(await life(backend, id, 'DISCONNECT')), ['CONNECT', 'AWAY', 'DISCONNECT']);
    assert.equal((await sala.ok('POST', '/v1/emit', { users: [user], event: 'n', args: [2] })).matched, 0);
    const answer = refused(ada);
    ada.line.repair();
    const err = await answer;
    assert.equal(err.data.code, 'DISCONNECTED');
    assert.match(err.message, reason);
    assert.equal(ada.socket.active, false, 'a stock client does not try again');
  });
}

test('a token that is revoked while the client is away', async (t) => {
  const { sala } = shared;
  const user = fresh('ada');
  const ada = await recoverer(t, sala, user, WEBSOCKET);
  const id = await away(sala, ada);
  await sala.ok('POST', '/v1/tokens:revoke', { user });
  await state(sala, { id }, undefined);
  const answer = refused(ada);
  ada.line.repair();
  assert.equal((await answer).data.code, 'TOKEN_REVOKED');
});

test('a token that expires while the client is away', async (t) => {
  const { sala } = shared;
  const user = fresh('ada');
  const ada = await recoverer(t, sala, user, { ...WEBSOCKET, grants: { ttl: '2s' } });
  const id = await away(sala, ada);
  await state(sala, { id }, undefined);
  const answer = refused(ada);
  ada.line.repair();
  assert.equal((await answer).data.code, 'TOKEN_EXPIRED');
});

test('a client that returns with a fresh token lives on with that', async (t) => {
  const { sala } = shared;
  const user = fresh('ada');
  const room = fresh('room');
  let token = await sala.token(user, { ttl: '3s' });
  const ada = await recoverer(t, sala, user, { ...WEBSOCKET });
  ada.socket.auth = (send) => send({ token, recover: true });
  await away(sala, ada);
  token = await sala.token(user, { rooms: [room] });
  await sala.ok('POST', '/v1/emit', { users: [user], event: 'n', args: [1] });
  const returned = back(ada);
  ada.line.repair();
  assert.equal(await returned, true);
  assert.equal((await sala.emit([room], 'n', 2)).queued, 1, 'it is in the rooms of the new token');
  await settle(sala, ada);
  assert.deepEqual(missed(ada), [['n', 1], ['n', 2]]);
});

test('backends that decide are asked again, and may refuse', async (t) => {
  const sala = await Sala.start({ args: ['--ping-interval', '1s', '--ping-timeout', '3s'] });
  t.after(() => sala.stop());
  const backend = await subscribe(t, sala, { kinds: ['EVENT_KIND_CONNECT'], decide: true });
  const user = fresh('ada');
  const decisions = [];
  const verdicts = [{ accept: {} }, { accept: {} }, { refuse: { code: 'BANNED', message: 'go away' } }];
  backend.onResponse = ({ event }) => {
    if (!event?.needsDecision) return;
    decisions.push(event);
    backend.decide(event, verdicts[decisions.length - 1]);
  };
  const ada = await recoverer(t, sala, user, WEBSOCKET);
  const { id } = ada;
  await away(sala, ada);
  const returned = back(ada);
  ada.line.repair();
  assert.equal(await returned, true);
  assert.equal(ada.id, id);
  assert.equal(decisions.length, 2, 'asked again');
  assert.equal(decisions[1].socket.user, user);

  await away(sala, ada);
  const answer = refused(ada);
  ada.line.repair();
  const err = await answer;
  assert.deepEqual([err.data.code, err.message], ['BANNED', 'go away']);
});

test('a page reload is not refused for the session of the page before: the oldest that is away goes', async (t) => {
  const sala = await Sala.start({ args: ['--max-connections-per-user', '2'] });
  t.after(() => sala.stop());
  const user = fresh('ada');
  const pages = [];
  for (let n = 0; n < 2; n++) pages.push(await recoverer(t, sala, user, WEBSOCKET));
  const err = await refusal(t, sala, { token: await sala.token(user), ...WEBSOCKET });
  assert.equal(err.data.code, 'TOO_MANY_CONNECTIONS', 'the limit counts those that are connected');
  const first = await away(sala, pages[0]);
  const second = await away(sala, pages[1]);
  const third = await login(t, sala, user, WEBSOCKET);
  const listed = async () => (await sala.ok('GET', `/v1/sockets?user=${user}`)).sockets.map(({ id }) => id).sort();
  assert.deepEqual(await listed(), [second, third.id].sort());
  const returned = back(pages[0]);
  pages[0].line.repair();
  assert.equal(await returned, false, 'the oldest is gone');
  assert.equal((await pages[0].next('sala:session'))[0].recovered, false);
  assert.ok(!(await listed()).includes(first));
});

test('a session returns even if its user has the maximum number of connections', async (t) => {
  const sala = await Sala.start({ args: ['--max-connections-per-user', '1', '--ping-interval', '1s', '--ping-timeout', '3s'] });
  t.after(() => sala.stop());
  const user = fresh('ada');
  for (const lose of ['cut', 'lose']) {
    const ada = await recoverer(t, sala, user, WEBSOCKET);
    const { id } = ada;
    ada.line[lose]();
    await ada.next('disconnect');
    const returned = back(ada);
    ada.line.repair();
    assert.equal(await returned, true, lose);
    assert.equal(ada.id, id);
    ada.close();
    await state(sala, { id }, undefined);
  }
});

test('a drain tells a client that has a session, and its session ends with the node', async (t) => {
  const sala = await Sala.start({ args: ['--drain-spread', '0s'] });
  const ada = await connect(t, sala, { auth: { token: await sala.token('ada'), recover: true }, ...RETURN, ...WEBSOCKET });
  await sala.emit(['nobody'], 'n');
  await sala.ok('POST', '/v1/emit', { users: ['ada'], event: 'last', args: [] });
  assert.deepEqual(bare(await ada.next('last')), []);
  const stopped = sala.stop();
  assert.equal((await ada.next('sala:disconnect'))[0].code, 'DRAINING');
  await stopped;
});

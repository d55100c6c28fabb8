// A client that can't get its session back connects as any other, and is told why. Bad input is no more than that.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { connect, login, open, settle } from '../helpers/client.mjs';
import { subscribe } from '../helpers/events.mjs';
import { RETURN, away, back, bare, missed, recoverer, state } from '../helpers/recovery.mjs';
import { Sala, logLines } from '../helpers/sala.mjs';
import { broker, fresh } from '../helpers/suite.mjs';
import { deadline, until } from '../helpers/wait.mjs';

const shared = broker({ args: ['--recovery-messages', '32', '--ping-interval', '1s', '--ping-timeout', '3s', '--namespaces', '/,/chat'] });
const WEBSOCKET = { transports: ['websocket'] };

// lost is what a client is told whose session can't be recovered.
const lost = (code) => [{ recovered: false, code }];

// attempt connects a client that claims a session, and returns it. It is an ordinary connect, whatever it claims.
async function attempt(t, sala, token, claim) {
  const client = await connect(t, sala, { auth: { token, recover: true, ...claim }, ...WEBSOCKET });
  await settle(sala, client);
  return client;
}

test('after the window', async (t) => {
  const sala = await Sala.start({ args: ['--recovery-window', '3s'] });
  t.after(() => sala.stop());
  const backend = await subscribe(t, sala, { kinds: ['EVENT_KIND_CONNECT', 'EVENT_KIND_DISCONNECT'] });
  const user = fresh('ada');
  const room = fresh('room');
  const ada = await recoverer(t, sala, user, WEBSOCKET);
  await ada.join(room);
  await ada.next('message');
  const id = await away(sala, ada);
  assert.equal((await sala.emit([room], 'in time')).kept, 1);
  await state(sala, { id }, undefined);
  assert.equal((await sala.emit([room], 'too late')).matched, 0);
  const returned = back(ada);
  ada.line.repair();
  assert.equal(await returned, false);
  assert.notEqual(ada.id, id);
  assert.deepEqual(await ada.next('sala:session'), lost('EXPIRED'));
  await settle(sala, ada);
  assert.deepEqual(missed(ada), [], 'nothing is replayed in part');
  const events = [await backend.next(), await backend.next(), await backend.next()];
  assert.deepEqual(events.map(({ kind, socket, previousSocketId, notRecovered }) => [kind, socket.id, previousSocketId, notRecovered]), [
    ['EVENT_KIND_CONNECT', id, '', ''], ['EVENT_KIND_DISCONNECT', id, '', ''], ['EVENT_KIND_CONNECT', ada.id, id, 'EXPIRED'],
  ]);

  // The client keeps its old offset, and its new session works with that.
  await ada.join(room);
  ada.line.cut();
  await ada.next('disconnect');
  const again = back(ada);
  ada.line.repair();
  assert.equal(await again, true);
});

test('after an eviction', async (t) => {
  const { sala } = shared;
  const user = fresh('ada');
  const ada = await recoverer(t, sala, user, WEBSOCKET);
  const id = await away(sala, ada);
  for (let n = 0; n < 33; n++) await sala.ok('POST', '/v1/emit', { users: [user], event: 'n', args: [n] });
  const returned = back(ada);
  ada.line.repair();
  assert.equal(await returned, false);
  assert.notEqual(ada.id, id);
  assert.deepEqual(await ada.next('sala:session'), lost('EVICTED'));
  await settle(sala, ada);
  assert.deepEqual(missed(ada), []);
});

test('as many as the session holds are recovered', async (t) => {
  const { sala } = shared;
  const user = fresh('ada');
  const ada = await recoverer(t, sala, user, WEBSOCKET);
  await away(sala, ada);
  for (let n = 0; n < 32; n++) await sala.ok('POST', '/v1/emit', { users: [user], event: 'n', args: [n] });
  const returned = back(ada);
  ada.line.repair();
  assert.equal(await returned, true);
  await settle(sala, ada);
  assert.deepEqual(missed(ada).map(([, n]) => n), Array.from({ length: 32 }, (_, n) => n));
});

test('with the token of another user, a session is neither recovered nor ended', async (t) => {
  const { sala } = shared;
  const user = fresh('ada');
  const ada = await recoverer(t, sala, user, WEBSOCKET);
  await settle(sala, ada);
  const { _pid: pid, _lastOffset: offset } = ada.socket;
  const id = await away(sala, ada);
  await sala.ok('POST', '/v1/emit', { users: [user], event: 'secret', args: [] });
  const eve = await attempt(t, sala, await sala.token(fresh('eve')), { pid, offset });
  assert.notEqual(eve.id, id);
  assert.notEqual(eve.socket._pid, pid);
  assert.deepEqual(await eve.next('sala:session'), lost('USER_CHANGED'));
  assert.deepEqual(missed(eve), []);
  const returned = back(ada);
  ada.line.repair();
  assert.equal(await returned, true, 'the owner still can');
  await settle(sala, ada);
  assert.deepEqual(missed(ada), [['secret']]);
});

test('a session is of one namespace', async (t) => {
  const { sala } = shared;
  const user = fresh('ada');
  const ada = await recoverer(t, sala, user, WEBSOCKET);
  const { _pid: pid } = ada.socket;
  const id = await away(sala, ada);
  const other = await connect(t, sala, { namespace: '/chat', auth: { token: await sala.token(user), recover: true, pid }, ...WEBSOCKET });
  assert.notEqual(other.id, id);
  assert.equal((await other.next('sala:session'))[0].recovered, false);
  const returned = back(ada);
  ada.line.repair();
  assert.equal(await returned, true);
});

test('pids and offsets that nobody has been given', async (t) => {
  const { sala } = shared;
  const user = fresh('ada');
  const token = await sala.token(user);
  const ada = await recoverer(t, sala, user, WEBSOCKET);
  await sala.ok('POST', '/v1/emit', { users: [user], event: 'n', args: [0] });
  await ada.next('n');
  const { _pid: pid, _lastOffset: offset } = ada.socket;
  const id = await away(sala, ada);
  await sala.ok('POST', '/v1/emit', { users: [user], event: 'n', args: [1] });
  const [socket, secret] = pid.split('~');
  const claims = {
    'a forged secret': { pid: `${socket}~${'A'.repeat(secret.length)}`, offset },
    'a shorter secret': { pid: pid.slice(0, -1), offset },
    'a longer secret': { pid: `${pid}A`, offset },
    'another case': { pid: `${socket}~${secret.toUpperCase() === secret ? secret.toLowerCase() : secret.toUpperCase()}`, offset },
    'the id alone': { pid: socket, offset },
    'no secret': { pid: `${socket}~`, offset },
    'a socket that never was': { pid: `${socket.slice(0, -2)}zz~${secret}`, offset },
    'another node': { pid: `${'z'.repeat(socket.length)}~${secret}`, offset },
    'words': { pid: 'give me everything', offset },
    'empty': { pid: '', offset: '' },
    'a number': { pid: 7, offset: 7 },
    'an object': { pid: { a: 1 }, offset: [1] },
    'null': { pid: null, offset: null },
    'an offset only': { offset },
    'control characters': { pid: `${socket}~\0\n`, offset },
  };
  for (const [what, claim] of Object.entries(claims)) {
    await t.test(what, async (t) => {
      const client = await attempt(t, sala, token, claim);
      assert.notEqual(client.id, id);
      assert.notEqual(client.socket._pid, pid);
      assert.deepEqual(missed(client), []);
      if (typeof claim.pid === 'string' && claim.pid) assert.deepEqual(await client.next('sala:session'), lost('UNKNOWN'));
      client.close();
    });
  }
  const returned = back(ada);
  ada.line.repair();
  assert.equal(await returned, true, 'the owner still can');
  await settle(sala, ada);
  assert.deepEqual(missed(ada), [['n', 1]]);
});

// With the right pid, a wrong offset must not lead to a partial replay: everything that is unconfirmed comes, or the session
// isn't recovered.
test('offsets that are wrong', async (t) => {
  const { sala } = shared;
  const wrong = (offset) => ({
    'from the future': `${offset.slice(0, 9)}${(parseInt(offset.slice(9), 36) + 1_000_000).toString(36)}`,
    'far in the future': `${offset.slice(0, 9)}${'z'.repeat(12)}`,
    'of another epoch': `AAAAAAAA.${offset.slice(9)}`,
    'text': 'hello world',
    'empty number': offset.slice(0, 9),
    'a sign': `${offset.slice(0, 9)}-1`,
    'capitals': offset.toUpperCase() === offset ? `${offset}Z` : offset.toUpperCase(),
    'a number': 12,
    'an object': { at: offset },
    'long': 'x'.repeat(4000),
  });
  for (const what of Object.keys(wrong('AAAAAAAA.1'))) {
    await t.test(what, async (t) => {
      const user = fresh('ada');
      const token = await sala.token(user);
      const ada = await recoverer(t, sala, user, WEBSOCKET);
      await sala.ok('POST', '/v1/emit', { users: [user], event: 'n', args: [0] });
      await ada.next('n');
      const { _pid: pid, _lastOffset: offset } = ada.socket;
      const id = await away(sala, ada);
      for (const n of [1, 2]) await sala.ok('POST', '/v1/emit', { users: [user], event: 'n', args: [n] });
      const client = await attempt(t, sala, token, { pid, offset: wrong(offset)[what] });
      const got = missed(client).map(([, n]) => n);
      if (client.id === id) {
        assert.deepEqual(got.slice(-2), [1, 2], 'recovered: everything that it has not confirmed');
      } else {
        assert.deepEqual(got, [], 'not recovered: nothing');
        assert.equal((await client.next('sala:session'))[0].recovered, false);
      }
    });
  }
});

test('an offset of 1 MB is refused as any auth of that size', async (t) => {
  const { sala } = shared;
  const token = await sala.token('ada');
  await assert.rejects(connect(t, sala, { auth: { token, recover: true, pid: 'x', offset: 'x'.repeat(1_000_000) }, ...WEBSOCKET }));
  await assert.rejects(connect(t, sala, { auth: { token, recover: true, pid: 'x', offset: 'x'.repeat(20_000) }, ...WEBSOCKET }), (err) => {
    assert.equal(err.data?.code, 'TOKEN_TOO_LARGE');
    return true;
  });
  const ben = await login(t, sala, 'ben');
  await settle(sala, ben);
});

test('a thousand pids tried by one client', async (t) => {
  const { sala } = shared;
  const user = fresh('ada');
  const ada = await recoverer(t, sala, user, WEBSOCKET);
  const [socket] = ada.socket._pid.split('~');
  const id = await away(sala, ada);
  const token = await sala.token(user);
  // All over one connection, which another namespace keeps open.
  const eve = await connect(t, sala, { auth: { token, recover: true, pid: `${socket}~0` }, ...WEBSOCKET });
  const chat = eve.socket.io.socket('/chat', { auth: { token } });
  t.after(() => chat.disconnect());
  await deadline(once(chat, 'connect'), 'the second namespace');
  let ended = false;
  chat.on('disconnect', () => { ended = true; });
  let tries = 0;
  for (; tries < 1000 && !ended; tries++) {
    eve.socket.disconnect();
    eve.socket.auth = { token, recover: true, pid: `${socket}~${tries}` };
    const answer = new Promise((resolve) => { for (const event of ['connect', 'connect_error', 'disconnect']) eve.socket.once(event, resolve); });
    eve.socket.connect();
    await deadline(Promise.race([answer, new Promise((resolve) => { chat.once('disconnect', resolve); })]), `answer ${tries}`);
    assert.notEqual(eve.id, id);
  }
  const answers = eve.inbox.filter(({ event }) => event === 'sala:session');
  assert.ok(answers.length > 0);
  for (const { args } of answers) assert.deepEqual(args, lost('UNKNOWN'));
  const returned = back(ada);
  ada.line.repair();
  assert.equal(await returned, true, 'the owner still can');
  const { body } = await sala.rest('GET', '/metrics', undefined, { key: '' });
  assert.match(String(body), /sala_session_returns_total\{result="UNKNOWN"\} [1-9]\d{2}/, 'refused pids are counted');
});

test('recovery that is off: the client gets no pid, and no offsets', async (t) => {
  const sala = await Sala.start({ args: ['--recovery-window', '0'] });
  t.after(() => sala.stop());
  const user = fresh('ada');
  const ada = await recoverer(t, sala, user, WEBSOCKET);
  assert.equal(ada.socket._pid, undefined);
  await sala.ok('POST', '/v1/emit', { users: [user], event: 'n', args: ['text'] });
  assert.deepEqual(await ada.next('n'), ['text']);
  const { id } = ada;
  ada.line.cut();
  await ada.next('disconnect');
  await state(sala, { id }, undefined);
  const returned = back(ada);
  ada.line.repair();
  assert.equal(await returned, false);
  await settle(sala, ada);
  assert.deepEqual(ada.inbox, [], 'no sala:session either');
});

test('after a restart of the broker', async (t) => {
  const sala = await Sala.start();
  t.after(() => sala.discard('SIGKILL'));
  const user = fresh('ada');
  const ada = await connect(t, sala, { auth: { token: await sala.token(user), recover: true }, ...RETURN, ...WEBSOCKET });
  await sala.ok('POST', '/v1/emit', { users: [user], event: 'n', args: [1] });
  assert.deepEqual(bare(await ada.next('n')), [1]);
  const { id } = ada;
  const returned = back(ada);
  await sala.discard('SIGKILL');
  const next = await Sala.start({ args: ['--listen', sala.addr.public] });
  t.after(() => next.stop());
  assert.equal(await returned, false);
  assert.notEqual(ada.id, id);
  const [told] = await ada.next('sala:session');
  assert.equal(told.recovered, false);
  assert.ok(['UNKNOWN', 'NODE_LOST'].includes(told.code), told.code);
});

test('no log line contains a pid', async (t) => {
  const { sala } = shared;
  const user = fresh('ada');
  const ada = await recoverer(t, sala, user, WEBSOCKET);
  const secret = ada.socket._pid.split('~')[1];
  const { _pid: pid } = ada.socket;
  await away(sala, ada);
  await attempt(t, sala, await sala.token(fresh('eve')), { pid });
  await until(() => logLines(sala.child).length > 0, 'log lines');
  assert.ok(!sala.log.includes(secret), 'the secret of a pid is in the log');
});

// claimed returns a client's claim on its session, and how a copy of it connects.
const claimed = ({ socket: { _pid: pid, _lastOffset: offset } }) => ({ pid, offset });

test('a session that two connections claim goes to the later one', async (t) => {
  const { sala } = shared;
  const user = fresh('ada');
  const token = await sala.token(user);
  const ada = await recoverer(t, sala, user, WEBSOCKET);
  await settle(sala, ada);
  const { id } = ada;
  const thief = await connect(t, sala, { auth: { token, recover: true, ...claimed(ada) }, ...WEBSOCKET });
  assert.equal(thief.id, id);
  assert.deepEqual(await ada.next('disconnect'), ['io server disconnect']);
  assert.equal(ada.socket.active, false, 'so that they do not take it from each other for ever');
  assert.equal((await sala.ok('GET', `/v1/sockets?user=${user}`)).sockets.length, 1);
  await sala.ok('POST', '/v1/emit', { users: [user], event: 'n', args: [1] });
  assert.deepEqual(bare(await thief.next('n')), [1]);
  assert.deepEqual(missed(ada), []);
});

test('of twenty returns at the same time, one gets the session', async (t) => {
  const { sala } = shared;
  const user = fresh('ada');
  const token = await sala.token(user);
  const ada = await recoverer(t, sala, user, WEBSOCKET);
  await settle(sala, ada);
  const claim = claimed(ada);
  const id = await away(sala, ada);
  for (const n of [1, 2, 3]) await sala.ok('POST', '/v1/emit', { users: [user], event: 'n', args: [n] });
  const clients = Array.from({ length: 20 }, () => open(t, sala, { auth: { token, recover: true, ...claim }, ...WEBSOCKET }));
  const alive = () => clients.filter(({ socket }) => socket.connected);
  await until(() => clients.every(({ socket }) => socket.connected || !socket.active), 'all of them to be connected or over');
  await until(async () => alive().length === 1, 'one to be left');
  const [winner] = alive();
  assert.equal(winner.id, id);
  await settle(sala, winner);
  // What one of those that it has overtaken received and confirmed isn't sent again.
  const seen = (client) => missed(client).map(([, n]) => n);
  const rest = seen(winner);
  assert.deepEqual(rest, [1, 2, 3].slice(3 - rest.length));
  for (const n of [1, 2, 3]) assert.ok(clients.some((client) => seen(client).includes(n)), `${n} is lost`);
  for (const client of clients) assert.deepEqual(seen(client), [...new Set(seen(client))].sort(), 'once and in order');
  const { sockets } = await sala.ok('GET', `/v1/sockets?user=${user}`);
  assert.deepEqual(sockets.map((socket) => socket.id), [id]);
});

test('sessions that keep more than the node has room for', async (t) => {
  const sala = await Sala.start({ args: ['--max-message-bytes', '20000', '--recovery-bytes', '150000', '--recovery-node-bytes', '200000'] });
  t.after(() => sala.stop());
  const clients = {};
  for (const user of ['small', 'large', 'larger']) {
    clients[user] = await recoverer(t, sala, user, WEBSOCKET);
    await away(sala, clients[user]);
  }
  await sala.ok('POST', '/v1/emit', { users: ['small'], event: 'n', args: [1] });
  for (let n = 0; n < 13; n++) {
    for (const user of ['large', 'larger']) await sala.ok('POST', '/v1/emit', { users: [user], event: 'large', args: [n, 'x'.repeat(10_000)] });
  }
  const { small, ...others } = clients;
  const returned = Promise.all([back(small), ...Object.values(others).map(back)]);
  for (const { line } of Object.values(clients)) line.repair();
  const [recovered, ...rest] = await returned;
  assert.equal(recovered, true, 'a session that keeps little has its place');
  assert.ok(rest.includes(false), 'there is no room for both of the others');
  await settle(sala, ...Object.values(clients));
  assert.deepEqual(missed(small), [['n', 1]]);
  for (const client of Object.values(others)) {
    const all = Array.from({ length: 13 }, (_, n) => n);
    assert.deepEqual(missed(client).map(([, n]) => n), client.socket.recovered ? all : [], 'everything, or nothing');
    if (!client.socket.recovered) assert.deepEqual(await client.next('sala:session'), lost('EVICTED'));
  }
});

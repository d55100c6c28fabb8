// Stock clients that lose their connection receive exactly what they missed.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { browser, open } from '../helpers/browser.mjs';
import { TRANSPORTS, login, settle } from '../helpers/client.mjs';
import { Line } from '../helpers/line.mjs';
import { ROOT } from '../helpers/process.mjs';
import { away, back, bare, emitAll, missed, recoverer, refused, state } from '../helpers/recovery.mjs';
import { CONFIG, Sala } from '../helpers/sala.mjs';
import { broker, fresh } from '../helpers/suite.mjs';
import { deadline } from '../helpers/wait.mjs';

const chromium = browser();
const shared = broker({
  args: ['--namespaces', '/,/chat', '--ping-interval', '1s', '--ping-timeout', '3s', '--allowed-origins', '*'],
  config: { ...CONFIG, relay: [...CONFIG.relay, { event: 'say', emit: 'said', to: 'room', include_sender: false }] },
});

// each runs a test for each transport of a stock client in Node.
function each(name, body) {
  for (const [transport, transports] of Object.entries(TRANSPORTS)) test(`${name}, over ${transport}`, (t) => body(t, shared.sala, { transports }));
}

each('a client receives what it missed, in order, and keeps its id and rooms', async (t, sala, options) => {
  const room = fresh('room');
  const ada = await recoverer(t, sala, fresh('ada'), options);
  await ada.join(room);
  await ada.next('message'); // the announcement
  const { id } = ada;
  assert.deepEqual((await emitAll(sala, room)).length, 9);
  await settle(sala, ada);
  const before = missed(ada).length;
  assert.equal(before, 9);

  ada.line.cut();
  await ada.next('disconnect');
  const expected = await emitAll(sala, room);
  const returned = back(ada);
  ada.line.repair();
  assert.equal(await returned, true, 'recovered');
  assert.equal(ada.id, id);
  await settle(sala, ada);
  assert.deepEqual(missed(ada).slice(before), expected);
  assert.equal((await sala.emit([room], 'after')).queued, 1);
  assert.deepEqual(bare(await ada.next('after')), []);
});

each('a client that has received nothing yet gets everything', async (t, sala, options) => {
  const user = fresh('ada');
  const ada = await recoverer(t, sala, user, options);
  ada.line.cut();
  await ada.next('disconnect');
  await sala.ok('POST', '/v1/emit', { users: [user], event: 'first', args: ['text'] });
  const returned = back(ada);
  ada.line.repair();
  assert.equal(await returned, true);
  await settle(sala, ada);
  assert.deepEqual(missed(ada), [['first', 'text']]);
});

each('relays, broadcasts, announcements and events to users are replayed in their order', async (t, sala, options) => {
  const room = fresh('room');
  const user = fresh('ada');
  const ada = await recoverer(t, sala, user, options);
  await ada.join(room);
  const ben = await login(t, sala, fresh('ben'));
  await settle(sala, ada);
  const taken = missed(ada).length;

  ada.line.cut();
  await ada.next('disconnect');
  await ben.join(room, 'Ben');
  assert.deepEqual(await ben.ask('say', { room, n: 1 }, Buffer.from('2')), { ok: true });
  await sala.ok('POST', '/v1/broadcast', { event: 'all', args: [3] });
  await sala.ok('POST', '/v1/emit', { users: [user], event: 'mail', args: [4] });
  assert.deepEqual(await ben.ask('say', { room, n: 5 }, 'text'), { ok: true });
  assert.deepEqual(await ben.ask('leave', { room, username: 'Ben' }), { ok: true });
  const returned = back(ada);
  ada.line.repair();
  assert.equal(await returned, true);
  await settle(sala, ada);
  assert.deepEqual(missed(ada).slice(taken), [
    ['message', `Ben ha entrado en la sala ${room}.`], ['said', { room, n: 1 }, Buffer.from('2')], ['all', 3], ['mail', 4], ['said', { room, n: 5 }, 'text'],
    ['message', `Ben ha salido de la sala ${room}.`],
  ]);
});

each('a client that returns before the broker notices the loss', async (t, sala, options) => {
  const user = fresh('ada');
  const ada = await recoverer(t, sala, user, options);
  const { id } = ada;
  for (let n = 1; n <= 3; n++) {
    await sala.ok('POST', '/v1/emit', { users: [user], event: 'before', args: [n] });
    assert.deepEqual(bare(await ada.next('before')), [n]);
    ada.line.lose();
    await ada.next('disconnect');
    await sala.ok('POST', '/v1/emit', { users: [user], event: 'between', args: [n] });
    const returned = back(ada);
    ada.line.repair();
    assert.equal(await returned, true);
    assert.equal(ada.id, id);
    await settle(sala, ada);
    assert.deepEqual(missed(ada), [['between', n]]);
    assert.deepEqual(bare(await ada.next('between')), [n]);
  }
  assert.equal((await sala.ok('GET', `/v1/sockets?user=${user}`)).sockets.length, 1);
});

each('many returns one after the other', async (t, sala, options) => {
  const user = fresh('ada');
  const ada = await recoverer(t, sala, user, options);
  let sent = 0;
  for (let n = 0; n < 10; n++) {
    ada.line.cut();
    await ada.next('disconnect');
    for (let i = 0; i < n; i++) await sala.ok('POST', '/v1/emit', { users: [user], event: 'n', args: [sent++] });
    const returned = back(ada);
    ada.line.repair();
    assert.equal(await returned, true);
    await sala.ok('POST', '/v1/emit', { users: [user], event: 'n', args: [sent++] });
  }
  await settle(sala, ada);
  assert.deepEqual(missed(ada).map(([, n]) => n), Array.from({ length: sent }, (_, n) => n));
});

test('volatile events are dropped for a client that is away', async (t) => {
  const { sala } = shared;
  const user = fresh('ada');
  const ada = await recoverer(t, sala, user, { transports: TRANSPORTS.websocket });
  await away(sala, ada);
  const report = await sala.ok('POST', '/v1/emit', { users: [user], event: 'volatile', args: [], volatile: true });
  assert.deepEqual([report.matched, report.queued, report.kept, report.dropped], [1, 0, 0, 1]);
  const returned = back(ada);
  ada.line.repair();
  assert.equal(await returned, true);
  await sala.ok('POST', '/v1/emit', { users: [user], event: 'volatile', args: ['now'], volatile: true });
  assert.deepEqual(bare(await ada.next('volatile')), ['now']);
});

test('two namespaces on one connection, each with its own session', async (t) => {
  const { sala } = shared;
  const user = fresh('ada');
  const ada = await recoverer(t, sala, user);
  const chat = ada.socket.io.socket('/chat', { auth: ada.socket.auth });
  t.after(() => chat.disconnect());
  const got = [];
  let end;
  const ended = new Promise((resolve) => { end = resolve; });
  chat.on('n', (n) => { got.push(n); if (n === 'end') end(); });
  await deadline(once(chat, 'connect'), 'the second namespace');
  const { id } = chat;
  ada.line.cut();
  await ada.next('disconnect');
  for (const [namespace, n] of [['/', 1], ['/chat', 2], ['/', 3], ['/chat', 4]]) {
    await sala.ok('POST', '/v1/emit', { namespace, users: [user], event: 'n', args: [n] });
  }
  const returned = Promise.all([back(ada), once(chat, 'connect')]);
  ada.line.repair();
  assert.equal((await returned)[0], true);
  assert.deepEqual([chat.recovered, chat.id], [true, id]);
  await settle(sala, ada);
  assert.deepEqual(missed(ada), [['n', 1], ['n', 3]]);
  await sala.ok('POST', '/v1/emit', { namespace: '/chat', users: [user], event: 'n', args: ['end'] });
  await deadline(ended, 'the last event');
  assert.deepEqual(got, [2, 4, 'end']);
});

test('of two namespaces, one may return while the other is refused', async (t) => {
  const { sala } = shared;
  const user = fresh('ada');
  const ada = await recoverer(t, sala, user);
  let token = await sala.token(user);
  const chat = ada.socket.io.socket('/chat', { auth: (send) => send({ token, recover: true }) });
  t.after(() => chat.disconnect());
  await deadline(once(chat, 'connect'), 'the second namespace');
  ada.line.cut();
  await ada.next('disconnect');
  token = await sala.token(user, { namespaces: ['/'] });
  await sala.ok('POST', '/v1/emit', { users: [user], event: 'n', args: [1] });
  const returned = Promise.all([back(ada), refused({ socket: chat })]);
  ada.line.repair();
  const [recovered, err] = await deadline(returned, 'both answers');
  assert.equal(recovered, true);
  assert.equal(err.data?.code, 'NAMESPACE_DENIED');
  await settle(sala, ada);
  assert.deepEqual(missed(ada), [['n', 1]]);
});

test('a client that leaves on purpose has no session left', async (t) => {
  const { sala } = shared;
  const user = fresh('ada');
  const ada = await recoverer(t, sala, user);
  const { id } = ada;
  ada.socket.disconnect();
  await state(sala, { id }, undefined);
  assert.equal((await sala.ok('POST', '/v1/emit', { users: [user], event: 'nobody', args: [] })).matched, 0);
  const returned = back(ada);
  ada.socket.connect();
  assert.equal(await returned, false);
  assert.notEqual(ada.id, id);
});

test('a replay larger than the queue of a connection', async (t) => {
  const sala = await Sala.start({ args: ['--max-queue-bytes', '65536', '--max-message-bytes', '50000'] });
  t.after(() => sala.stop());
  const user = fresh('ada');
  const ada = await recoverer(t, sala, user, { transports: TRANSPORTS.websocket });
  await away(sala, ada);
  const text = 'x'.repeat(700);
  for (let begin = 0; begin < 1000; begin += 40) { // calls are no larger than messages
    await sala.ok('POST', '/v1/emit:batch', { emits: Array.from({ length: 40 }, (_, n) => ({ users: [user], event: 'large', args: [begin + n, text] })) });
  }
  const returned = back(ada);
  ada.line.repair();
  assert.equal(await returned, true, JSON.stringify(ada.inbox));
  await settle(sala, ada);
  assert.deepEqual(missed(ada).map(([, n]) => n), Array.from({ length: 1000 }, (_, n) => n));
});

test('a client that reads too slowly is disconnected, and receives everything when it returns', async (t) => {
  const sala = await Sala.start({ args: ['--max-queue-bytes', '65536', '--max-message-bytes', '60000', '--recovery-bytes', '50000000', '--recovery-messages', '2000'] });
  t.after(() => sala.stop());
  const user = fresh('ada');
  const ada = await recoverer(t, sala, user, { transports: TRANSPORTS.websocket });
  await settle(sala, ada);
  ada.line.stall();
  const text = 'x'.repeat(50_000);
  let sent = 0;
  const emit = () => sala.ok('POST', '/v1/emit', { users: [user], event: 'large', args: [sent++, text] });
  for (let report = await emit(); report.kept === 0; report = await emit()) assert.ok(sent < 500, 'the client is never taken for slow');
  const { id } = ada;
  await state(sala, { id }, 'SOCKET_STATE_AWAY');
  assert.equal((await emit()).kept, 1);
  ada.line.cut();
  await ada.next('disconnect');
  const returned = back(ada);
  ada.line.repair();
  assert.equal(await returned, true);
  assert.equal(ada.id, id);
  await settle(sala, ada);
  assert.deepEqual(missed(ada).map(([, n]) => n), Array.from({ length: sent }, (_, n) => n));
});

// In Chromium: the page records what happens.
let site;
const CLIENT = readFileSync(path.join(ROOT, 'e2e/node_modules/socket.io-client/dist/socket.io.js'));

before(async () => {
  site = createServer((request, response) => {
    const [type, body] = request.url === '/client.js' ? ['text/javascript', CLIENT] : ['text/html', '<!doctype html><link rel="icon" href="data:,"><script src="/client.js"></script>'];
    response.writeHead(200, { 'content-type': type }).end(body);
  }).listen(0, '127.0.0.1');
  await once(site, 'listening');
});
after(() => {
  site?.close();
  site?.closeAllConnections();
});

for (const [transport, transports] of Object.entries(TRANSPORTS)) {
  test(`in Chromium, a client receives what it missed, over ${transport}`, async (t) => {
    const { sala } = shared;
    const user = fresh('ada');
    const room = fresh('room');
    const line = await Line.to(sala);
    t.after(() => line.stop());
    const page = await open(t, chromium, `http://127.0.0.1:${site.address().port}`, { expected: /ERR_|WebSocket|Failed to load/ });
    await page.evaluate(({ at, token, transports }) => new Promise((resolve) => {
      const socket = window.io(at, { transports, auth: { token, recover: true }, reconnectionDelay: 20, reconnectionDelayMax: 50 });
      const pack = (value) => (value instanceof ArrayBuffer ? { $bin: Array.from(new Uint8Array(value)) }
        : Array.isArray(value) ? value.map(pack) : value && typeof value === 'object' ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, pack(v)])) : value);
      Object.assign(window, { socket, received: [], connects: [], disconnects: 0 });
      socket.onAny((event, ...args) => window.received.push([event, ...pack(args)]));
      socket.on('connect', () => { window.connects.push([socket.id, socket.recovered === true]); resolve(); });
      socket.on('disconnect', () => { window.disconnects++; });
    }), { at: line.url, token: await sala.token(user, { rooms: [room] }), transports });
    const numbers = (value) => (Buffer.isBuffer(value) ? { $bin: [...value] }
      : Array.isArray(value) ? value.map(numbers) : value && typeof value === 'object' ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, numbers(v)])) : value);
    const expected = [];
    for (let n = 0; n < 3; n++) {
      expected.push(...await emitAll(sala, room));
      await page.waitForFunction((length) => window.received.length === length, expected.length);
      line.cut();
      await page.waitForFunction((n) => window.disconnects > n, n);
      expected.push(...await emitAll(sala, room));
      line.repair();
      await page.waitForFunction((length) => window.received.length >= length, expected.length);
    }
    await sala.emit([room], 'end');
    await page.waitForFunction(() => window.received.at(-1)[0] === 'end');
    expected.push(['end']);
    const { received, connects } = await page.evaluate(() => ({ received: window.received, connects: window.connects }));
    assert.deepEqual(received.map((event) => event.slice(0, -1)), numbers(expected));
    assert.deepEqual(connects.map(([id, recovered]) => [id === connects[0][0], recovered]), [[true, false], [true, true], [true, true], [true, true]]);
  });
}

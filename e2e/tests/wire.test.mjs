// What stock clients and the broker exchange, over every transport.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CLIENTS, TRANSPORTS, WAYS, connect, login, refusal, settle } from '../helpers/client.mjs';
import { rawGet } from '../helpers/http.mjs';
import { CONFIG, UNRECORDED, WHOLE, Sala } from '../helpers/sala.mjs';
import { broker, fresh } from '../helpers/suite.mjs';
import { deadline, until } from '../helpers/wait.mjs';

const shared = broker({ args: ['--namespaces', '/', '--namespaces', '/chat'] });

function everyWay(name, body) {
  test(name, async (t) => {
    for (const way of WAYS) await t.test(way.name, (t) => body(t, shared.sala, way.options));
  });
}

test('polling upgrades to websocket, and nothing is lost or reordered', async (t) => {
  const { sala } = shared;
  for (const [version, io] of Object.entries(CLIENTS)) {
    await t.test(`client ${version}`, async (t) => {
      const client = await login(t, sala, 'ada', { io, transports: TRANSPORTS.upgrade });
      const { engine } = client.socket.io;
      const count = 300;
      for (let n = 0; n < count; n++) await sala.ok('POST', '/v1/emit', { sockets: [client.id], event: 'n', args: [n] });
      await until(() => engine.transport.name === 'websocket', 'the upgrade');
      for (let n = 0; n < count; n++) assert.deepEqual(await client.next('n'), [n]);
      await until(async () => (await sala.ok('GET', `/v1/sockets/${client.id}`)).socket.transport === 'websocket', 'the broker to say websocket');
    });
  }
});

test('the control API shows that a client uses polling', async (t) => {
  const { sala } = shared;
  const client = await login(t, sala, 'ada', { transports: TRANSPORTS.polling });
  assert.equal((await sala.ok('GET', `/v1/sockets/${client.id}`)).socket.transport, 'polling');
});

everyWay('text of every kind arrives unchanged, and in order', async (t, sala, way) => {
  const room = fresh('text');
  const [ada, ben] = [await login(t, sala, 'ada', way), await login(t, sala, 'ben', way)];
  await ben.join(room);
  const values = ['', 'ñandú ☕ 𝄞 \u2028 "quotes" \\ \n', 0, -1.5, 1e21, true, null, [], {}, { deep: [{ er: ['x'] }] }, 'x'.repeat(100_000)];
  for (const value of values) ada.emit('my_event', { room, value });
  for (const value of values) assert.deepEqual(await ben.next('my_response'), [{ room, value }]);

  await sala.ok('POST', '/v1/emit', { rooms: [room], event: 'exact', argsJson: '[{"z":1,"a":12345678901234567890},"two"]' });
  const [first, second] = await ben.next('exact');
  assert.deepEqual(Object.keys(first), ['z', 'a'], 'keys keep their order');
  assert.equal(second, 'two');
});

everyWay('binary travels both ways, several at once and nested', async (t, sala, way) => {
  const room = fresh('binary');
  const [ada, ben] = [await login(t, sala, 'ada', way), await login(t, sala, 'ben', way)];
  await ben.join(room);
  const [small, large] = [Buffer.from([0, 1, 2, 255]), Buffer.alloc(70_000, 7)];

  assert.deepEqual(await ada.ask('my_event', { room, small, list: [large, { small }] }), { ok: true });
  const [data] = await ben.next('my_response');
  assert.deepEqual(Buffer.from(data.small), small);
  assert.deepEqual(Buffer.from(data.list[0]), large);
  assert.deepEqual(Buffer.from(data.list[1].small), small);

  await sala.ok('POST', '/v1/emit', {
    rooms: [room], event: 'pushed', args: [{ file: { _placeholder: true, num: 1 } }, { _placeholder: true, num: 0 }],
    attachments: [small.toString('base64'), large.toString('base64')],
  });
  const [first, second] = await ben.next('pushed');
  assert.deepEqual(Buffer.from(first.file), large);
  assert.deepEqual(Buffer.from(second), small);

  ada.emit('my_event', { room, before: small });
  ada.emit('my_event', { room, between: true });
  ada.emit('my_event', { room, after: large });
  for (const key of ['before', 'between', 'after']) assert.ok(key in (await ben.next('my_response'))[0], 'text and binary stay in order');
});

everyWay('acks of a join, a relay, a refusal and an unknown event', async (t, sala, way) => {
  const room = fresh('acks');
  const ada = await login(t, sala, 'ada', way, { join: [room], publish: [room], broadcast: false });
  assert.deepEqual(await ada.ask('join', { room }), { ok: true });
  assert.deepEqual(await ada.ask('my_event', { room, binary: Buffer.from('x') }), { ok: true });
  assert.equal((await ada.ask('shout', {})).error.code, 'BROADCAST_DENIED');
  assert.equal((await ada.ask('join', { room: `${room}-not` })).error.code, 'JOIN_DENIED');
  assert.equal((await ada.ask('my_event', { room: `${room}-not` })).error.code, 'PUBLISH_DENIED');
  assert.equal((await ada.ask('nobody', 1, Buffer.from('x'))).error.code, 'NO_HANDLER');
  assert.ok(ada.socket.connected, 'a refusal is an answer, not an end');
});

everyWay('namespaces are separate, and others do not exist', async (t, sala, way) => {
  const room = fresh('ns');
  const root = await login(t, sala, 'ada', way);
  const chat = await login(t, sala, 'ada', { ...way, namespace: '/chat' });
  await root.join(room);
  await chat.join(room);
  await root.next('message');
  await chat.next('message');

  assert.equal((await sala.ok('POST', '/v1/emit', { namespace: '/chat', rooms: [room], event: 'here', args: [] })).matched, 1);
  assert.equal((await sala.ok('POST', '/v1/broadcast', { namespace: '/chat', event: 'all', args: [] })).matched, 1);
  await chat.next('here');
  await chat.next('all');
  await settle(sala, root);
  assert.deepEqual(root.inbox, []);
  const { rooms } = await sala.ok('GET', `/v1/rooms?prefix=${room}`);
  assert.deepEqual(rooms.map(({ namespace, sockets }) => [namespace, sockets]), [['/', 1], ['/chat', 1]]);

  const err = await refusal(t, sala, { ...way, namespace: '/nowhere', token: await sala.token('ada') });
  assert.equal(err.message, 'Invalid namespace');
});

test('two namespaces share a connection, and leaving one keeps the other', async (t) => {
  const { sala } = shared;
  const token = await sala.token('ada');
  const root = await connect(t, sala, { token });
  const chat = root.socket.io.socket('/chat', { auth: { token } });
  await deadline(new Promise((resolve, reject) => chat.once('connect', resolve).once('connect_error', reject)), 'the second namespace');
  assert.equal((await sala.ok('GET', '/v1/sockets?user=ada')).sockets.length, 2);

  await sala.ok('POST', '/v1/sockets:disconnect', { selector: { namespace: '/chat', sockets: [chat.id] }, reason: 'enough' });
  await until(() => !chat.connected, 'the end of /chat');
  await settle(sala, root);
  assert.ok(root.socket.connected);
});

test('all sockets of a user receive what is sent to the user', async (t) => {
  const { sala } = shared;
  const user = fresh('user');
  const clients = [await login(t, sala, user), await login(t, sala, user, { transports: TRANSPORTS.polling })];
  const other = await login(t, sala, `${user}-other`);
  assert.deepEqual(await sala.ok('POST', '/v1/emit', { users: [user], event: 'mail', args: [1] }), { matched: 2, queued: 2, kept: 0, dropped: 0, ...WHOLE, ...UNRECORDED });
  for (const client of clients) assert.deepEqual(await client.next('mail'), [1]);
  await settle(sala, other);
  assert.deepEqual(other.inbox, []);
});

test('the broker pings, and a client that answers stays connected', async (t) => {
  const sala = await Sala.start({ args: ['--ping-interval', '200ms', '--ping-timeout', '5s'] });
  t.after(() => sala.stop());
  for (const transports of Object.values(TRANSPORTS)) {
    const client = await login(t, sala, 'ada', { transports });
    for (let n = 0; n < 3; n++) await deadline(new Promise((resolve) => client.socket.io.once('ping', resolve)), 'a ping');
    await settle(sala, client);
    assert.ok(client.socket.connected);
  }
});

test('a message of the largest size passes, a larger one disconnects only its sender', async (t) => {
  const sala = await Sala.start({ args: ['--max-message-bytes', '20000'], config: CONFIG });
  t.after(() => sala.stop());
  for (const [name, transports] of Object.entries(TRANSPORTS)) {
    await t.test(name, async (t) => {
      const room = fresh('large');
      const [ada, ben] = [await login(t, sala, 'ada', { transports }), await login(t, sala, 'ben', { transports })];
      await ben.join(room);
      assert.deepEqual(await ada.ask('my_event', { room, text: 'x'.repeat(19_000) }), { ok: true });
      assert.equal((await ben.next('my_response'))[0].text.length, 19_000);
      ada.emit('my_event', { room, text: 'x'.repeat(21_000) });
      await ada.next('disconnect');
      await settle(sala, ben);
      assert.ok(ben.socket.connected);
      assert.ok(!ben.inbox.some(({ event }) => event === 'my_response'));
    });
  }
});

test('anything but Socket.IO 4 is refused with an explanation', async () => {
  const { sala } = shared;
  for (const [query, code] of [['', 0], ['EIO=4&transport=carrier-pigeon', 0], ['EIO=3&transport=polling', 5], ['EIO=4&transport=polling&sid=nobody', 1], ['EIO=4&transport=websocket', 3]]) {
    const { status, body } = await rawGet(`${sala.url}/socket.io/?${query}`);
    assert.equal(status, 400, query);
    const answer = JSON.parse(body);
    assert.equal(answer.code, code, `${query}: ${body}`);
    assert.equal(typeof answer.message, 'string');
  }
  assert.equal((await rawGet(`${sala.url}/elsewhere`)).status, 404);
});

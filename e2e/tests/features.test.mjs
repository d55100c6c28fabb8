// The broker's core features, one test each, over every transport and with the
// newest and the oldest client of Socket.IO 4.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { WAYS, connect, login, refusal, settle } from '../helpers/client.mjs';
import { GRPCURL, ROOT, run } from '../helpers/process.mjs';
import { API_KEY, UNRECORDED, WHOLE, Sala } from '../helpers/sala.mjs';
import { broker, fresh } from '../helpers/suite.mjs';
import { deadline } from '../helpers/wait.mjs';

const shared = broker();

function everyWay(name, body) {
  test(name, async (t) => {
    for (const way of WAYS) await t.test(way.name, (t) => body(t, shared.sala, way.options));
  });
}

everyWay('broadcast reaches everyone but the sender', async (t, sala, way) => {
  const [ada, ben, eva] = await Promise.all(['ada', 'ben', 'eva'].map((user) => login(t, sala, user, way)));
  const data = { text: fresh('hola'), nested: { list: [1, 2.5, null, 'ñ'] } };

  assert.deepEqual(await ada.ask('shout', data), { ok: true });

  assert.deepEqual(await ben.next('my_response'), [data]);
  assert.deepEqual(await eva.next('my_response'), [data]);
  await settle(sala, ada, ben, eva);
  assert.deepEqual(ada.inbox, [], 'the sender does not receive it');
  assert.deepEqual([...ben.inbox, ...eva.inbox], [], 'nobody receives it twice');
});

everyWay('clients join and leave, and the room receives an announcement', async (t, sala, way) => {
  const room = fresh('sala');
  const ada = await login(t, sala, 'ada', way);
  const ben = await login(t, sala, 'ben', way);
  const elsewhere = await login(t, sala, 'eva', way);

  assert.deepEqual(await ada.ask('join', { username: 'Ada', room }), { ok: true });
  assert.deepEqual(await ada.next('message'), [`Ada ha entrado en la sala ${room}.`], 'the joiner receives its own announcement');
  assert.deepEqual(await ben.ask('join', { username: 'Ben', room }), { ok: true });
  for (const member of [ada, ben]) assert.deepEqual(await member.next('message'), [`Ben ha entrado en la sala ${room}.`]);

  assert.deepEqual(await ben.ask('leave', { username: 'Ben', room }), { ok: true });
  assert.deepEqual(await ada.next('message'), [`Ben ha salido de la sala ${room}.`]);
  await settle(sala, ada, ben, elsewhere);
  for (const client of [ada, ben, elsewhere]) assert.deepEqual(client.inbox, [], 'the leaver and other rooms receive nothing');

  await sala.emit([room], 'after', 1);
  await ada.next('after');
  await settle(sala, ben);
  assert.deepEqual(ben.inbox, [], 'who has left is out');
});

test('joining twice is announced once, and so is leaving', async (t) => {
  const { sala } = shared;
  const room = fresh('sala');
  const [ada, ben] = [await login(t, sala, 'ada'), await login(t, sala, 'ben')];
  await ada.join(room, 'Ada');
  await ben.join(room, 'Ben');
  await ada.next('message');
  await ada.next('message');

  assert.deepEqual(await ben.ask('join', { username: 'Ben', room }), { ok: true });
  assert.deepEqual(await ben.ask('leave', { username: 'Ben', room }), { ok: true });
  assert.deepEqual(await ben.ask('leave', { username: 'Ben', room }), { ok: true });
  await settle(sala, ada);
  assert.deepEqual(ada.inbox, [{ event: 'message', args: [`Ben ha salido de la sala ${room}.`] }]);
});

test('a client may name a room without an object', async (t) => {
  const { sala } = shared;
  const room = fresh('sala');
  const ada = await login(t, sala, 'ada');
  assert.deepEqual(await ada.ask('join', room), { ok: true });
  assert.equal((await sala.ok('GET', `/v1/rooms/${room}`)).sockets, 1);
  assert.deepEqual(await ada.ask('leave', room), { ok: true });
  assert.equal((await sala.rest('GET', `/v1/rooms/${room}`)).status, 404);
});

everyWay('my_event is delivered as my_response, only to its room', async (t, sala, way) => {
  const [room, other] = [fresh('sala'), fresh('sala')];
  const [ada, ben, eva] = await Promise.all(['ada', 'ben', 'eva'].map((user) => login(t, sala, user, way)));
  await Promise.all([ada.join(room), ben.join(room), eva.join(other)]);
  const data = { room, text: 'solo aquí' };

  assert.deepEqual(await ada.ask('my_event', data), { ok: true });

  assert.deepEqual(await ada.next('my_response'), [data], 'a sender in the room receives it too');
  assert.deepEqual(await ben.next('my_response'), [data]);
  await settle(sala, ada, ben, eva);
  for (const client of [ada, ben, eva]) {
    assert.deepEqual(client.inbox.filter(({ event }) => event !== 'message'), [], 'nobody receives it twice, and other rooms not at all');
  }
});

everyWay('the active rooms are listed', async (t, sala, way) => {
  const prefix = fresh('lista');
  const [ada, ben] = [await login(t, sala, 'ada', way), await login(t, sala, 'ben', way)];
  await ada.join(`${prefix}:a`);
  await ben.join(`${prefix}:a`);
  await ben.join(`${prefix}:b`);

  const { rooms } = await sala.ok('GET', `/v1/rooms?prefix=${prefix}`);
  assert.deepEqual(rooms, [
    { name: `${prefix}:a`, namespace: '/', sockets: 2 },
    { name: `${prefix}:b`, namespace: '/', sockets: 1 },
  ]);
  const all = (await sala.ok('GET', '/v1/rooms?pageSize=1000')).rooms.map(({ name }) => name);
  for (const id of [ada.id, ben.id]) assert.ok(!all.some((name) => name.includes(id)), 'private rooms are not listed');

  await ben.ask('leave', { room: `${prefix}:b` });
  const left = (await sala.ok('GET', `/v1/rooms?prefix=${prefix}`)).rooms.map(({ name }) => name);
  assert.deepEqual(left, [`${prefix}:a`], 'a room is gone with its last member');
});

everyWay('clearing a room notifies its members, then removes them', async (t, sala, way) => {
  const room = fresh('sala');
  const [ada, ben] = [await login(t, sala, 'ada', way), await login(t, sala, 'ben', way)];
  await ada.join(room);
  await ben.join(room);
  const notice = { event: 'message', args: [`La sala ${room} ha sido eliminada.`] };

  assert.deepEqual(await sala.ok('POST', `/v1/rooms/${room}:clear`, { notice }), { removed: 2, ...WHOLE });

  assert.equal((await sala.rest('GET', `/v1/rooms/${room}`)).status, 404);
  assert.deepEqual(await sala.emit([room], 'late', 1), { matched: 0, queued: 0, kept: 0, dropped: 0, ...WHOLE, ...UNRECORDED });
  await settle(sala, ada, ben);
  for (const client of [ada, ben]) {
    const received = client.inbox.filter(({ args }) => args[0] === notice.args[0]);
    assert.equal(received.length, 1, 'each member receives the notice once');
    assert.ok(!client.inbox.some(({ event }) => event === 'late'));
    assert.ok(client.socket.connected, 'leaving a room is not leaving the broker');
  }
});

test('clearing with disconnect disconnects the members after the notice', async (t) => {
  const { sala } = shared;
  const room = fresh('sala');
  const ada = await login(t, sala, 'ada');
  await ada.join(room);
  await ada.next('message');
  assert.deepEqual(await sala.ok('POST', `/v1/rooms/${room}:clear`, { notice: { event: 'message', args: ['adiós'] }, disconnect: true }), { removed: 1, ...WHOLE });
  await ada.next('disconnect');
  assert.deepEqual(ada.inbox.map(({ event }) => event), ['message', 'sala:disconnect'], 'the notice, then the goodbye');
});

test('an issued token is a JWT with HS256, the user and one hour', async (t) => {
  const sala = await Sala.start({ args: ['--jwt-user-claim', 'user_id'] });
  t.after(() => sala.stop());
  const before = Math.floor(Date.now() / 1000);
  const { token, tokenId, expireTime } = await sala.ok('POST', '/v1/tokens', { user: 'ada' });
  const [header, claims] = token.split('.').slice(0, 2).map((part) => JSON.parse(Buffer.from(part, 'base64url')));

  assert.equal(header.alg, 'HS256');
  assert.equal(claims.user_id, 'ada');
  assert.equal(claims.jti, tokenId);
  assert.ok(claims.exp >= before + 3600 && claims.exp <= before + 3660, 'exp is an hour ahead');
  assert.equal(Math.floor(Date.parse(expireTime) / 1000), claims.exp);
  assert.ok((await connect(t, sala, { token })).socket.connected);
});

everyWay('only clients with a valid token can connect', async (t, sala, way) => {
  const now = Math.floor(Date.now() / 1000);
  const bad = {
    TOKEN_REQUIRED: undefined,
    TOKEN_EXPIRED: sala.foreignToken({ sub: 'ada', exp: now - 1 }),
    TOKEN_INVALID: sala.foreignToken({ sub: 'ada' }, { secret: 'a secret that somebody else made up for himself' }),
  };
  for (const [code, token] of Object.entries(bad)) {
    const err = await refusal(t, sala, { ...way, token });
    assert.equal(err.data?.code, code, err.message);
    assert.equal(typeof err.data.message, 'string');
    assert.ok(err.message.length > 0);
  }
  assert.ok((await login(t, sala, 'ada', way)).socket.connected);
});

test('a token made elsewhere with the same secret and a user_id claim works', async (t) => {
  const sala = await Sala.start({ args: ['--jwt-user-claim', 'user_id'] });
  t.after(() => sala.stop());
  for (const way of WAYS) {
    await t.test(way.name, async (t) => {
      const client = await connect(t, sala, { ...way.options, token: sala.foreignToken({ user_id: 'ada' }) });
      const { socket } = await sala.ok('GET', `/v1/sockets/${client.id}`);
      assert.equal(socket.user, 'ada');
      const err = await refusal(t, sala, { ...way.options, token: sala.foreignToken({ sub: 'ada' }) });
      assert.equal(err.data?.code, 'TOKEN_INVALID', 'without the claim there is no user');
    });
  }
});

test('the login example runs without a backend: a token in the query, an event, the response', async (t) => {
  const rule = { event: 'my_event', emit: 'my_response', to: 'sender', args: [{ data: 'Mensaje recibido' }], ack: { recibido: true } };
  const sala = await Sala.start({ args: ['--jwt-user-claim', 'user_id'], config: { relay: [rule] } });
  t.after(() => sala.stop());
  const now = Math.floor(Date.now() / 1000);
  for (const way of WAYS) {
    await t.test(way.name, async (t) => {
      // Logs in as the example's page does and returns what the page would print.
      const page = (token) => deadline(new Promise((resolve) => {
        const { io, ...options } = way.options;
        const socket = io(sala.url, { ...options, forceNew: true, reconnection: false, ...(token && { query: { token } }) });
        t.after(() => socket.close());
        const acks = [];
        socket.on('connect', () => socket.emit('my_event', { data: 'Hola desde el cliente' }, (ack) => acks.push(ack)));
        // The ack follows the event; the next one is answered once both have arrived.
        socket.once('my_response', (data) => socket.emit('my_event', {}, () => resolve({ data, acks })));
        socket.on('connect_error', (err) => resolve({ error: err.data?.code }));
      }), 'the answer of the login example');
      assert.deepEqual(await page(sala.foreignToken({ user_id: 'ada', exp: now + 3600 })), { data: { data: 'Mensaje recibido' }, acks: [{ recibido: true }] });
      assert.deepEqual(await page(), { error: 'TOKEN_REQUIRED' });
      assert.deepEqual(await page(sala.foreignToken({ user_id: 'ada', exp: now - 3600 })), { error: 'TOKEN_EXPIRED' });
      assert.deepEqual(await page('tu_token_jwt'), { error: 'TOKEN_INVALID' });
    });
  }
});

test('include_sender decides whether the sender receives its own event', async (t) => {
  const rules = [
    { event: 'to_all', emit: 'heard', to: 'broadcast', include_sender: true },
    { event: 'to_others', emit: 'heard', to: 'room', include_sender: false },
  ];
  const sala = await Sala.start({ config: { relay: rules } });
  t.after(() => sala.stop());
  const [ada, ben] = await Promise.all(['ada', 'ben'].map((user) => login(t, sala, user)));
  for (const client of [ada, ben]) await client.join('r');
  assert.deepEqual(await ada.ask('to_all', 1), { ok: true });
  assert.deepEqual(await ada.ask('to_others', { room: 'r' }), { ok: true });
  assert.deepEqual(await ben.next('heard'), [1]);
  assert.deepEqual(await ben.next('heard'), [{ room: 'r' }]);
  assert.deepEqual(ada.inbox.filter(({ event }) => event === 'heard').map(({ args }) => args), [[1]]);
});

test('gRPC, REST and Socket.IO share one state', async (t) => {
  const { sala } = shared;
  const room = fresh('sala');
  const grpc = async (method, body) => {
    const { code, stdout, stderr } = await run(GRPCURL, ['-plaintext', '-H', `authorization: Bearer ${API_KEY}`, '-d', JSON.stringify(body), sala.grpc, `sala.v1.${method}`]);
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout);
  };
  // The token over gRPC, the connection over Socket.IO, the list over REST.
  const { token } = await grpc('TokenService/IssueToken', { user: 'ada', join: ['**'] });
  const ada = await connect(t, sala, { token });
  await ada.join(room);
  assert.equal((await sala.ok('GET', `/v1/rooms/${room}`)).users, 1);

  assert.equal((await grpc('MessageService/Emit', { rooms: [room], event: 'news', args: ['from grpc'] })).queued, 1);
  assert.equal((await sala.emit([room], 'news', 'from rest')).queued, 1);
  assert.deepEqual(await ada.next('news'), ['from grpc']);
  assert.deepEqual(await ada.next('news'), ['from rest']);
});

test('packages and layout are as documented', () => {
  const gomod = readFileSync(path.join(ROOT, 'go.mod'), 'utf8');
  for (const pkg of ['google.golang.org/grpc', 'google.golang.org/protobuf', 'github.com/zishang520/socket.io/parsers/socket/v3',
    'github.com/golang-jwt/jwt/v5', 'github.com/grpc-ecosystem/grpc-gateway/v2']) {
    assert.ok(gomod.includes(`\t${pkg} `), `go.mod requires ${pkg}`);
  }
  for (const name of ['proto', 'gen', 'broker', 'api', 'cmd', 'buf.yaml', 'buf.gen.yaml', 'go.mod', 'go.sum', 'README.md']) {
    assert.ok(existsSync(path.join(ROOT, name)), `${name} at the top`);
  }
});

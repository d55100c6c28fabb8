// Which clients can connect, and what they may do then.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { CLIENTS, TRANSPORTS, connect, login, refusal, settle } from '../helpers/client.mjs';
import { rawUpgrade } from '../helpers/http.mjs';
import { jwt } from '../helpers/jwt.mjs';
import { CONFIG, SECRET, Sala } from '../helpers/sala.mjs';
import { broker, fresh } from '../helpers/suite.mjs';
import { deadline } from '../helpers/wait.mjs';

const shared = broker();
const now = () => Math.floor(Date.now() / 1000);

test('a forged or malformed token is TOKEN_INVALID, and the log contains no token', async (t) => {
  const { sala } = shared;
  const claims = { sub: 'mallory', exp: now() + 3600 };
  const tokens = {
    'signed with another secret': jwt(claims, { secret: 'x'.repeat(40) }),
    'alg none': jwt(claims, { alg: 'none' }),
    'alg RS256': jwt(claims, { alg: 'RS256' }),
    'alg HS512 with the right secret': jwt(claims, { alg: 'HS512', secret: SECRET }),
    'no exp': jwt({ sub: 'mallory' }, { secret: SECRET }),
    'no user': jwt({ exp: claims.exp }, { secret: SECRET }),
    'not valid before an hour': jwt({ ...claims, nbf: now() + 3600 }, { secret: SECRET }),
    garbage: 'garbage-garbage-garbage',
    'three empty parts': '..',
    'not even UTF-8': '\u0000\ufffd\ud83d',
  };
  const seen = [];
  for (const [name, token] of Object.entries(tokens)) {
    await t.test(name, async (t) => {
      for (const transports of [TRANSPORTS.websocket, TRANSPORTS.polling]) {
        const err = await refusal(t, sala, { token, transports });
        assert.equal(err.data?.code, name === 'not valid before an hour' ? 'TOKEN_NOT_YET_VALID' : 'TOKEN_INVALID', err.message);
      }
    });
    seen.push(token);
  }
  const good = await sala.token('ada');
  await connect(t, sala, { token: good });
  for (const token of [...seen, good]) {
    for (const part of [token, ...token.split('.').slice(1)].filter((text) => text.length > 8)) {
      assert.ok(!sala.log.includes(part), `the log holds ${part.slice(0, 12)}…`);
    }
  }
});

test('an oversized token is TOKEN_TOO_LARGE, and the broker keeps working', async (t) => {
  const { sala } = shared;
  for (const [name, size] of [['8 KiB and a byte', 8 * 1024 + 1], ['1 MB', 1_000_000]]) {
    await t.test(name, async (t) => {
      const err = await refusal(t, sala, { token: 'x'.repeat(size), transports: ['websocket'] });
      assert.equal(err.data?.code, 'TOKEN_TOO_LARGE', err.message);
    });
  }
  await t.test('1 MB in the query', async (t) => {
    await refusal(t, sala, { query: { token: 'x'.repeat(1_000_000) }, transports: ['websocket'] });
  });
  assert.ok((await login(t, sala, 'ada')).socket.connected);
  assert.ok(!sala.log.includes('xxxxxxxx'));
});

test('a client may send its token in auth, in the query or in the Authorization header', async (t) => {
  const { sala } = shared;
  const token = await sala.token('ada');
  for (const [version, io] of Object.entries(CLIENTS)) {
    for (const [name, transports] of Object.entries(TRANSPORTS)) {
      for (const [where, options] of Object.entries({
        auth: { auth: { token } },
        query: { query: { token } },
        header: { extraHeaders: { Authorization: `Bearer ${token}` } },
      })) {
        await t.test(`${where} over ${name}, client ${version}`, async (t) => {
          const client = await connect(t, sala, { io, transports, ...options });
          assert.equal((await sala.ok('GET', `/v1/sockets/${client.id}`)).socket.user, 'ada');
        });
      }
    }
  }
  assert.ok(!sala.log.includes(token), 'also the query is kept out of the log');
});

test('any secret verifies tokens, the first one signs them', async (t) => {
  const old = 'the secret of last month, long enough as well';
  const sala = await Sala.start({ config: { ...CONFIG, jwt_secret: [`new=${SECRET}`, `old=${old}`] } });
  t.after(() => sala.stop());
  const { token } = await sala.ok('POST', '/v1/tokens', { user: 'ada' });
  assert.equal(JSON.parse(Buffer.from(token.split('.')[0], 'base64url')).kid, 'new');
  for (const [secret, kid] of [[SECRET, 'new'], [old, 'old'], [old, undefined]]) {
    const client = await connect(t, sala, { token: jwt({ sub: 'ada', exp: now() + 60 }, { secret, header: kid && { kid } }) });
    assert.ok(client.socket.connected);
  }
});

test('a socket is disconnected with TOKEN_EXPIRED when its token expires', async (t) => {
  const { sala } = shared;
  const client = await connect(t, sala, { token: sala.foreignToken({ sub: 'ada', exp: now() + 3 }) });
  const [goodbye] = await client.next('sala:disconnect');
  assert.equal(goodbye.code, 'TOKEN_EXPIRED');
  assert.equal(typeof goodbye.reason, 'string');
  assert.deepEqual(await client.next('disconnect'), ['io server disconnect']);
});

test('anonymous clients connect only where allowed, with their own permissions', async (t) => {
  const sala = await Sala.start({ args: ['--allow-anonymous'], config: { ...CONFIG, anonymous: { join: ['public:*'], publish: ['public:*'] } } });
  t.after(() => sala.stop());
  for (const [name, transports] of Object.entries(TRANSPORTS)) {
    await t.test(name, async (t) => {
      const client = await connect(t, sala, { transports });
      assert.equal((await sala.ok('GET', `/v1/sockets/${client.id}`)).socket.user, '');
      assert.deepEqual(await client.ask('join', { room: 'public:1' }), { ok: true });
      assert.equal((await client.ask('join', { room: 'staff' })).error?.code, 'JOIN_DENIED');
      assert.equal((await client.ask('shout', {})).error?.code, 'BROADCAST_DENIED');
    });
  }
  const err = await refusal(t, sala, { token: 'but a bad token is not anonymous' });
  assert.equal(err.data?.code, 'TOKEN_INVALID');
});

test('a token allows only what it grants', async (t) => {
  const { sala } = shared;
  const mine = fresh('chat');
  const ada = await login(t, sala, 'ada', {}, { join: ['chat:*'], publish: ['chat:*'], broadcast: false, rooms: [mine] });
  const witness = await login(t, sala, 'ben');
  await witness.join('staff');
  await witness.next('message');

  assert.equal((await sala.ok('GET', `/v1/rooms/${mine}`)).sockets, 1, 'rooms of the token are joined at connect');
  assert.deepEqual(await ada.ask('join', { room: 'chat:1' }), { ok: true });
  for (const [code, event, data] of [
    ['JOIN_DENIED', 'join', { room: 'staff' }],
    ['JOIN_DENIED', 'join', { room: 'chat:1:deeper' }],
    ['PUBLISH_DENIED', 'my_event', { room: 'staff' }],
    ['BROADCAST_DENIED', 'shout', {}],
    ['INVALID_ARGUMENT', 'join', {}],
    ['INVALID_ARGUMENT', 'join', { room: '' }],
    ['INVALID_ARGUMENT', 'join', { room: 'x'.repeat(256) }],
    ['JOIN_DENIED', 'join', { room: 7 }],
    ['INVALID_ARGUMENT', 'join', { room: true }],
    ['INVALID_ARGUMENT', 'join', null],
    ['INVALID_ARGUMENT', 'my_event', { text: 'no room' }],
    ['INVALID_ARGUMENT', 'my_event', 'no object'],
    ['NO_HANDLER', 'nobody_handles_this', {}],
  ]) {
    await t.test(`${event} ${JSON.stringify(data)?.slice(0, 40)}`, async () => {
      const ack = await ada.ask(event, data);
      assert.equal(ack.error?.code, code, JSON.stringify(ack));
      assert.ok(ack.error.message.length > 0);
    });
  }
  await settle(sala, witness);
  assert.deepEqual(witness.inbox, [], 'what was refused reached nobody');
  assert.deepEqual((await sala.ok('GET', `/v1/sockets/${ada.id}`)).socket.rooms, ['chat:1', mine].sort());
});

test('a token with namespaces is valid only in those', async (t) => {
  const sala = await Sala.start({ args: ['--namespaces', '/', '--namespaces', '/chat'] });
  t.after(() => sala.stop());
  const token = await sala.token('ada', { namespaces: ['/chat'] });
  assert.ok((await connect(t, sala, { namespace: '/chat', token })).socket.connected);
  const err = await refusal(t, sala, { token });
  assert.equal(err.data?.code, 'NAMESPACE_DENIED', err.message);
});

test('the number of rooms per socket is limited', async (t) => {
  const { sala } = shared;
  const ada = await login(t, sala, 'ada');
  const prefix = fresh('many');
  let last;
  for (let n = 0; n < 5000 && !last?.error; n++) last = await ada.ask('join', { room: `${prefix}:${n}` });
  assert.equal(last.error?.code, 'TOO_MANY_ROOMS');
  assert.ok(ada.socket.connected);
});

test('a client that sends nothing after connecting is disconnected', async (t) => {
  const sala = await Sala.start({ args: ['--connect-timeout', '300ms'] });
  t.after(() => sala.stop());
  const { socket } = await rawUpgrade(sala.url, {});
  t.after(() => socket.destroy());
  socket.resume();
  await deadline(once(socket, 'close'), 'the broker to close it');
});

test('a refused client does not become a socket', async (t) => {
  const { sala } = shared;
  const err = await refusal(t, sala, { token: jwt({ sub: 'refused-ada', exp: now() - 60 }, { secret: SECRET }) });
  assert.equal(err.data?.code, 'TOKEN_EXPIRED');
  assert.deepEqual((await sala.ok('GET', '/v1/sockets?user=refused-ada')).sockets, []);
});

// The control API over REST: every path, its errors, and the other endpoints of the listener.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { login, settle } from '../helpers/client.mjs';
import { API_KEY, CONFIG, UNRECORDED, WHOLE, Sala } from '../helpers/sala.mjs';
import { broker, fresh } from '../helpers/suite.mjs';

const shared = broker();

const reasonOf = ({ details }) => details.find((detail) => detail['@type'].endsWith('ErrorInfo')).reason;
const fieldsOf = ({ details }) => details.find((detail) => detail['@type'].endsWith('BadRequest'))?.fieldViolations.map(({ field }) => field) ?? [];

test('tokens: issue, verify, and explain refusals', async () => {
  const { sala } = shared;
  const asked = { user: 'ada', ttl: '60s', namespaces: ['/'], rooms: ['lobby'], join: ['chat:*'], publish: ['chat:**'], history: ['chat:*'], presence: ['lobby'], broadcast: true, data: { team: 7 } };
  const { token, tokenId, expireTime } = await sala.ok('POST', '/v1/tokens', asked);
  const { valid, claims } = await sala.ok('POST', '/v1/tokens:verify', { token });
  assert.equal(valid, true);
  const { issueTime, ...rest } = claims;
  const { ttl, ...expected } = asked;
  assert.deepEqual(rest, { ...expected, tokenId, expireTime });
  assert.equal((Date.parse(expireTime) - Date.parse(issueTime)) / 1000, 60);

  const expired = await sala.ok('POST', '/v1/tokens:verify', { token: sala.foreignToken({ sub: 'ada', exp: 1 }) });
  assert.deepEqual([expired.valid, expired.reason], [false, 'TOKEN_EXPIRED']);
});

test('rooms: list page by page, get, clear twice', async (t) => {
  const { sala } = shared;
  const prefix = fresh('page');
  const ada = await login(t, sala, 'ada');
  const names = ['a', 'b', 'c', 'ñ/with?odd#chars%', 'z z'].map((name) => `${prefix}:${name}`);
  for (const name of names) await ada.join(name);

  const seen = [];
  let pageToken = '';
  do {
    const page = await sala.ok('GET', `/v1/rooms?${new URLSearchParams({ namespace: '/', prefix, pageSize: 2, pageToken })}`);
    assert.ok(page.rooms.length <= 2);
    seen.push(...page.rooms.map(({ name }) => name));
    pageToken = page.nextPageToken;
  } while (pageToken);
  assert.deepEqual(seen, [...names].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));

  for (const name of names) {
    const at = `/v1/rooms/${encodeURIComponent(name)}`;
    assert.deepEqual(await sala.ok('GET', at), { name, namespace: '/', sockets: 1, users: 1, ...WHOLE });
  }
  assert.deepEqual(await sala.ok('POST', `/v1/rooms/${encodeURIComponent(names[0])}:clear`, {}), { removed: 1, ...WHOLE });
  for (const name of names.slice(1)) assert.deepEqual(await sala.ok('DELETE', `/v1/rooms/${encodeURIComponent(name)}`), { removed: 1, ...WHOLE });
  assert.deepEqual(await sala.ok('DELETE', `/v1/rooms/${encodeURIComponent(names[0])}`), { removed: 0, ...WHOLE });
});

test('messages: emit to rooms, users and sockets, once each, with exceptions', async (t) => {
  const { sala } = shared;
  const room = fresh('emit');
  const [ada, ben, eva] = [await login(t, sala, fresh('ada')), await login(t, sala, 'ben'), await login(t, sala, 'eva')];
  for (const client of [ada, ben, eva]) await client.join(room);
  const user = (await sala.ok('GET', `/v1/sockets/${ada.id}`)).socket.user;

  assert.deepEqual(await sala.ok('POST', '/v1/emit', { rooms: [room], users: [user], sockets: [ada.id, ben.id], exceptSockets: [eva.id], event: 'e', args: ['x', { y: [1] }] }),
    { matched: 2, queued: 2, kept: 0, dropped: 0, ...WHOLE, ...UNRECORDED });
  assert.deepEqual(await ada.next('e'), ['x', { y: [1] }]);
  assert.deepEqual(await ben.next('e'), ['x', { y: [1] }]);

  await ben.join(`${room}:quiet`);
  assert.equal((await sala.ok('POST', '/v1/broadcast', { event: 'all', exceptRooms: [`${room}:quiet`], exceptSockets: [eva.id] })).matched, 1);
  assert.deepEqual(await ada.next('all'), []);
  await settle(sala, ada, ben, eva);
  for (const client of [ada, ben, eva]) assert.ok(!client.inbox.some(({ event }) => event === 'e' || event === 'all'));
});

test('messages: a batch continues in order after an invalid event', async (t) => {
  const { sala } = shared;
  const room = fresh('batch');
  const ada = await login(t, sala, 'ada');
  await ada.join(room);
  const { results } = await sala.ok('POST', '/v1/emit:batch', {
    emits: [{ rooms: [room], event: 'n', args: [1] }, { event: 'nobody' }, { rooms: [room], event: 'connect' }, { rooms: [room], event: 'n', args: [2] }],
  });
  assert.deepEqual(results.map(({ queued, error }) => error?.reason ?? queued), [1, 'INVALID_ARGUMENT', 'INVALID_ARGUMENT', 1]);
  assert.deepEqual(await ada.next('n'), [1]);
  assert.deepEqual(await ada.next('n'), [2]);
});

test('sockets: list, get, move, disconnect', async (t) => {
  const { sala } = shared;
  const room = fresh('sockets');
  const user = fresh('user');
  const [ada, ben] = [await login(t, sala, user, {}, { data: { plan: 'pro' } }), await login(t, sala, user)];

  assert.deepEqual(await sala.ok('POST', '/v1/sockets:join', { selector: { users: [user] }, rooms: [room] }), { matched: 2, refused: 0, ...WHOLE });
  const { socket } = await sala.ok('GET', `/v1/sockets/${ada.id}`);
  assert.deepEqual([socket.id, socket.user, socket.namespace, socket.rooms, socket.data], [ada.id, user, '/', [room], { plan: 'pro' }]);
  assert.match(socket.address, /^127\.0\.0\.1:\d+$/);
  assert.ok(Math.abs(Date.parse(socket.connectTime) - Date.now()) < 60_000);
  assert.deepEqual((await sala.ok('GET', `/v1/sockets?room=${room}&user=${user}`)).sockets.map(({ id }) => id), [ada.id, ben.id].sort());
  const first = await sala.ok('GET', `/v1/sockets?user=${user}&pageSize=1`);
  const second = await sala.ok('GET', `/v1/sockets?user=${user}&pageSize=1&pageToken=${encodeURIComponent(first.nextPageToken)}`);
  assert.deepEqual([...first.sockets, ...second.sockets].map(({ id }) => id), [ada.id, ben.id].sort());
  assert.equal(second.nextPageToken, '');

  assert.deepEqual(await sala.ok('POST', '/v1/sockets:leave', { selector: { sockets: [ben.id] }, rooms: [room] }), { matched: 1, ...WHOLE });
  assert.equal((await sala.ok('GET', `/v1/rooms/${room}`)).sockets, 1);

  await sala.emit([room], 'last words', 1);
  assert.deepEqual(await sala.ok('POST', '/v1/sockets:disconnect', { selector: { users: [user], exceptSockets: [ben.id] }, reason: 'too loud' }), { matched: 1, ...WHOLE });
  assert.deepEqual(await ada.next('disconnect'), ['io server disconnect']);
  const [words, goodbye] = ada.inbox.slice(-2);
  assert.equal(words.event, 'last words', 'what was emitted before still arrives');
  assert.equal(goodbye.event, 'sala:disconnect');
  assert.equal(goodbye.args[0].reason, 'too loud');
  assert.equal(typeof goodbye.args[0].code, 'string');
  assert.ok(ben.socket.connected);
  assert.equal((await sala.rest('GET', `/v1/sockets/${ada.id}`)).status, 404);
});

test('nodes: the only one', async () => {
  const { nodes } = await shared.sala.ok('GET', '/v1/nodes');
  assert.equal(nodes.length, 1);
  assert.equal(nodes[0].state, 'NODE_STATE_ACTIVE');
  assert.match(nodes[0].uptime, /^[\d.]+s$/);
  assert.ok(nodes[0].id && nodes[0].version);
});

const LONG = 'x'.repeat(256);
const BAD = [
  // method, path, body, status, the field at fault
  ['POST', '/v1/tokens', { user: '' }, 400, 'user'],
  ['POST', '/v1/tokens', { user: LONG }, 400, 'user'],
  ['POST', '/v1/tokens', { user: 'ada', ttl: '-1s' }, 400, 'ttl'],
  ['POST', '/v1/tokens', { user: 'ada', ttl: '0s' }, 400, 'ttl'],
  ['POST', '/v1/tokens', { user: 'ada', ttl: '2592001s' }, 400, 'ttl'],
  ['POST', '/v1/tokens', { user: 'ada', rooms: ['ok', ''] }, 400, 'rooms[1]'],
  ['POST', '/v1/tokens', { user: 'ada', join: [''] }, 400, 'join[0]'],
  ['POST', '/v1/tokens', { user: 'ada', publish: [LONG] }, 400, 'publish[0]'],
  ['POST', '/v1/tokens', { user: 'ada', namespaces: ['chat'] }, 400, 'namespaces[0]'],
  ['POST', '/v1/tokens', { user: 'ada', data: 'x'.repeat(5000) }, 400, 'data'],
  ['GET', '/v1/rooms?pageToken=nonsense', undefined, 400, 'pageToken'],
  ['GET', '/v1/rooms?pageSize=1001', undefined, 400, 'pageSize'],
  ['GET', `/v1/rooms/${LONG}`, undefined, 400, 'room'],
  ['POST', `/v1/rooms/${LONG}:clear`, {}, 400, 'room'],
  ['POST', '/v1/rooms/x:clear', { notice: { event: 'connect' } }, 400, 'notice.event'],
  ['POST', '/v1/emit', { event: 'x' }, 400, 'rooms'],
  ['POST', '/v1/emit', { rooms: [''], event: 'x' }, 400, 'rooms[0]'],
  ['POST', '/v1/emit', { rooms: [LONG], event: 'x' }, 400, 'rooms[0]'],
  ['POST', '/v1/emit', { rooms: ['r'], users: [LONG], event: 'x' }, 400, 'users[0]'],
  ['POST', '/v1/emit', { rooms: ['r'], event: '' }, 400, 'event'],
  ['POST', '/v1/emit', { rooms: ['r'], event: LONG }, 400, 'event'],
  ...['connect', 'connect_error', 'disconnect', 'disconnecting'].map((event) => ['POST', '/v1/emit', { rooms: ['r'], event }, 400, 'event']),
  ['POST', '/v1/emit', { rooms: ['r'], event: 'x', argsJson: '{"not":"a list"}' }, 400, 'argsJson'],
  ['POST', '/v1/emit', { rooms: ['r'], event: 'x', argsJson: '[1' }, 400, 'argsJson'],
  ['POST', '/v1/emit', { rooms: ['r'], event: 'x', args: [1], argsJson: '[1]' }, 400, 'argsJson'],
  ['POST', '/v1/emit', { rooms: ['r'], event: 'x', args: [{ _placeholder: true, num: 3 }], attachments: ['AAAA'] }, 400, 'args'],
  ['POST', '/v1/broadcast', { event: 'disconnect' }, 400, 'event'],
  ['POST', '/v1/emit:batch', { emits: [] }, 400, 'emits'],
  ['POST', '/v1/sockets:join', { selector: {}, rooms: ['r'] }, 400, 'selector.rooms'],
  ['POST', '/v1/sockets:join', { selector: { users: ['u'] }, rooms: [] }, 400, 'rooms'],
  ['POST', '/v1/sockets:leave', { selector: { users: ['u'] }, rooms: [''] }, 400, 'rooms[0]'],
  ['POST', '/v1/sockets:disconnect', { selector: { users: ['u'] }, reason: LONG }, 400, 'reason'],
];

test('errors name every invalid field', async (t) => {
  for (const [method, path, body, status, field] of BAD) {
    await t.test(`${method} ${path.slice(0, 40)} ${JSON.stringify(body)?.slice(0, 60) ?? ''} → ${field}`, async () => {
      const answer = await shared.sala.rest(method, path, body);
      assert.equal(answer.status, status, JSON.stringify(answer.body));
      assert.ok(fieldsOf(answer.body).includes(field), `${JSON.stringify(fieldsOf(answer.body))} names ${field}`);
      assert.ok(answer.body.message.length > 0);
    });
  }
});

test('other errors: paths, methods, bodies, unknown names', async (t) => {
  for (const [method, path, body, status, reason] of [
    ['GET', '/v1/nothing', undefined, 404, 'PATH_NOT_FOUND'],
    ['PUT', '/v1/emit', undefined, 405, 'METHOD_NOT_ALLOWED'],
    ['POST', '/v1/emit', 'not json', 400, 'INVALID_ARGUMENT'],
    ['POST', '/v1/emit', { rooms: ['r'], event: 'x', unknown: 1 }, 400, 'INVALID_ARGUMENT'],
    ['POST', '/v1/emit', { rooms: 'not a list', event: 'x' }, 400, 'INVALID_ARGUMENT'],
    ['POST', '/v1/emit', { rooms: ['r'], event: 'x', namespace: '/nowhere' }, 404, 'NAMESPACE_NOT_FOUND'],
    ['GET', '/v1/rooms/empty', undefined, 404, 'ROOM_NOT_FOUND'],
    ['GET', '/v1/sockets/nobody', undefined, 404, 'SOCKET_NOT_FOUND'],
  ]) {
    await t.test(`${method} ${path} ${reason}`, async () => {
      const answer = await shared.sala.rest(method, path, body);
      assert.equal(answer.status, status, JSON.stringify(answer.body));
      assert.equal(reasonOf(answer.body), reason);
    });
  }
});

test('keys: none, a wrong one, and one with too small a scope', async (t) => {
  const sala = await Sala.start({ config: { ...CONFIG, api_key: [API_KEY, 'reader=only-for-reading:rooms:read,sockets:read'] } });
  t.after(() => sala.stop());
  for (const [key, path, status, reason] of [
    ['', '/v1/rooms', 401, 'API_KEY_REQUIRED'],
    ['wrong', '/v1/rooms', 401, 'API_KEY_INVALID'],
    ['reader=only-for-reading', '/v1/rooms', 401, 'API_KEY_INVALID'],
    ['only-for-reading', '/v1/nodes', 403, undefined],
  ]) {
    const answer = await sala.rest('GET', path, undefined, { key });
    assert.equal(answer.status, status, `${key} ${path}: ${JSON.stringify(answer.body)}`);
    if (reason) assert.equal(reasonOf(answer.body), reason);
  }
  await sala.ok('GET', '/v1/rooms', undefined, { key: 'only-for-reading' });
  const denied = await sala.rest('POST', '/v1/emit', { rooms: ['r'], event: 'x' }, { key: 'only-for-reading' });
  assert.equal(denied.status, 403);
  assert.match(denied.body.message, /emit/, 'it says which scope is missing');
  for (const secret of [API_KEY, 'only-for-reading']) assert.ok(!sala.log.includes(secret), 'no key in the log');
});

test('health checks, metrics and the OpenAPI description need no key', async (t) => {
  const { sala } = shared;
  const client = await login(t, sala, 'metrics-ada');
  const token = client.socket.auth.token;
  for (const path of ['/livez', '/readyz', '/metrics', '/openapi.json']) {
    assert.equal((await sala.rest('GET', path, undefined, { key: '' })).status, 200, path);
  }
  const { body: metrics } = await sala.rest('GET', '/metrics');
  assert.match(metrics, /^sala_connections [1-9]/m);
  for (const secret of [token, 'metrics-ada', API_KEY]) assert.ok(!metrics.includes(secret), 'neither secrets nor users in metrics');
  const { body: openapi } = await sala.rest('GET', '/openapi.json');
  for (const path of ['/v1/tokens', '/v1/tokens:verify', '/v1/rooms', '/v1/rooms/{room}', '/v1/rooms/{room}:clear', '/v1/emit', '/v1/emit:batch', '/v1/broadcast',
    '/v1/sockets', '/v1/sockets/{id}', '/v1/sockets:join', '/v1/sockets:leave', '/v1/sockets:disconnect', '/v1/nodes']) {
    assert.ok(openapi.paths[path], `${path} is described`);
  }
});

test('/ leads nowhere without --dev', async () => {
  assert.equal((await shared.sala.rest('GET', '/', undefined, { key: '' })).status, 404);
});

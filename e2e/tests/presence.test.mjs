// The users in rooms, with stock clients, over REST and from the command line.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { login, settle } from '../helpers/client.mjs';
import { cluster } from '../helpers/cluster.mjs';
import { subscribe } from '../helpers/events.mjs';
import { SALA, run } from '../helpers/process.mjs';
import { API_KEY, CONFIG, WHOLE } from '../helpers/sala.mjs';
import { broker, fresh } from '../helpers/suite.mjs';

const config = { ...CONFIG, rooms: { presence_event: 'presence', presence_rooms: ['h:**'] } };
const shared = broker({ config });
const nodes = cluster(2, [], config);
const may = { join: ['**'], publish: ['**'], presence: ['h:**'] };

test('who is there: in lists, counts and events', async (t) => {
  const { sala } = shared;
  const room = fresh('h:users');
  const ana = await login(t, sala, 'ana', {}, { ...may, data: { plan: 'pro' } });
  const { users } = await ana.ask('join', { room, presence: true });
  assert.deepEqual(users, [{ user: 'ana' }]);
  assert.deepEqual(await ana.next('presence'), [{ room, user: 'ana', state: 'joined' }]);
  const ben = [await login(t, sala, 'ben', {}, may), await login(t, sala, 'ben', {}, may)];
  for (const tab of ben) await tab.join(room);
  assert.deepEqual(await ana.next('presence'), [{ room, user: 'ben', state: 'joined' }]);

  const both = [{ user: 'ana', sockets: 1, data: { plan: 'pro' } }, { user: 'ben', sockets: 2, data: null }];
  const pathname = `/v1/rooms/${encodeURIComponent(room)}/users`;
  assert.deepEqual(await sala.ok('GET', pathname), { users: both, nextPageToken: '', ...WHOLE });
  const first = await sala.ok('GET', `${pathname}?pageSize=1`);
  assert.deepEqual(first.users, [both[0]]);
  assert.deepEqual((await sala.ok('GET', `${pathname}?pageSize=1&pageToken=${first.nextPageToken}`)).users, [both[1]]);
  assert.deepEqual(await sala.ok('POST', '/v1/presence:count', { rooms: [room, 'empty'] }),
    { counts: [{ room, users: 2, sockets: 3 }, { room: 'empty', users: 0, sockets: 0 }], ...WHOLE });
  assert.deepEqual(await sala.ok('POST', '/v1/presence:online', { users: ['ben', 'nobody', 'ana'] }), { online: ['ben', 'ana'], ...WHOLE });

  await ben[0].ask('leave', room);
  await ben[1].ask('leave', room);
  assert.deepEqual(await ana.next('presence'), [{ room, user: 'ben', state: 'left' }]);
  await settle(sala, ana);
  assert.deepEqual(ana.inbox.filter(({ event }) => event === 'presence'), [], 'the first tab that leaves is no leave');
});

test('backends learn when users come and go', async (t) => {
  const { sala } = shared;
  const room = fresh('h:events');
  const kinds = ['USER_ONLINE', 'USER_JOINED', 'USER_LEFT', 'USER_OFFLINE'].map((kind) => `EVENT_KIND_${kind}`);
  const backend = await subscribe(t, sala, { kinds });
  const user = fresh('eva');
  const next = async () => {
    const event = await backend.next();
    return [event.kind, event.user, event.room, event.namespace, event.socket];
  };
  const tabs = [await login(t, sala, user, {}, may), await login(t, sala, user, {}, may)];
  for (const tab of tabs) await tab.join(room);
  assert.deepEqual(await next(), ['EVENT_KIND_USER_ONLINE', user, '', '/', null]);
  assert.deepEqual(await next(), ['EVENT_KIND_USER_JOINED', user, room, '/', null]);
  for (const tab of tabs) tab.socket.disconnect();
  assert.deepEqual((await Promise.all([next(), next()])).map(([kind, name]) => [kind, name]).sort(),
    [['EVENT_KIND_USER_LEFT', user], ['EVENT_KIND_USER_OFFLINE', user]]);
});

test('what a client may not see', async (t) => {
  const { sala } = shared;
  const room = fresh('h:may');
  const ben = await login(t, sala, 'ben', {}, { join: ['**'] });
  assert.equal((await ben.ask('join', { room, presence: true })).error.code, 'PRESENCE_DENIED');
  assert.equal((await sala.rest('GET', `/v1/rooms/${encodeURIComponent(room)}`)).status, 404, 'a refused join joins nothing');
  await ben.join(room);
  const ana = await login(t, sala, 'ana', {}, may);
  await ana.join(room);
  await settle(sala, ben);
  assert.deepEqual(ben.inbox, [], 'without the permission there are no events either');
  const plain = await ana.ask('join', { room: 'plain', presence: true });
  assert.deepEqual([plain.error.code, /doesn't allow|doesn't offer/.test(plain.error.message)], ['PRESENCE_DENIED', true]);
});

test('bad requests are explained, and keys are limited', async (t) => {
  const { sala } = shared;
  const rooms = Array.from({ length: 10_000 }, (_, n) => `r${n}`);
  for (const [call, body, says] of [
    ['count', { rooms }, /rooms: there are 10000; at most 1000 are allowed/],
    ['count', { rooms: [''] }, /rooms\[0\]: a room's name can't be empty/],
    ['online', {}, /users: /],
    ['online', { users: rooms }, /users: there are 10000/],
  ]) {
    const answer = await sala.rest('POST', `/v1/presence:${call}`, body);
    assert.deepEqual([answer.status, answer.body.details[0].reason], [400, 'INVALID_ARGUMENT'], call);
    assert.match(answer.body.message, says);
  }
  const { code, stderr } = await run(SALA, ['users', fresh('h:nobody'), '--server', sala.grpc], { env: { SALA_API_KEY: API_KEY } });
  assert.equal(code, 0, stderr);
  assert.match(stderr, /no user is there/);
  const ana = await login(t, sala, 'ana', {}, may);
  await ana.join('h:listed');
  const { stdout } = await run(SALA, ['users', 'h:listed', '--server', sala.grpc], { env: { SALA_API_KEY: API_KEY } });
  assert.match(stdout, /^USER +SOCKETS +DATA\nana +1 +-\n$/);
});

test('on two nodes: one presence', async (t) => {
  const [here, there] = nodes.cluster.nodes;
  const room = fresh('h:nodes');
  const ana = await login(t, here, 'ana', {}, may);
  await ana.join(room);
  assert.deepEqual(await ana.next('presence'), [{ room, user: 'ana', state: 'joined' }]);
  const ben = [await login(t, there, 'ben', {}, may), await login(t, here, 'ben', {}, may)];
  const { users } = await ben[0].ask('join', { room, presence: true });
  assert.deepEqual(users, [{ user: 'ana' }, { user: 'ben' }]);
  assert.deepEqual(await ana.next('presence'), [{ room, user: 'ben', state: 'joined' }]);
  await ben[1].join(room);
  for (const node of [here, there]) {
    assert.deepEqual(await node.ok('POST', '/v1/presence:count', { rooms: [room] }), { counts: [{ room, users: 2, sockets: 3 }], ...WHOLE });
    assert.deepEqual((await node.ok('POST', '/v1/presence:online', { users: ['ben', 'nobody'] })).online, ['ben']);
  }
  await ben[0].ask('leave', room);
  await ben[1].ask('leave', room);
  assert.deepEqual(await ana.next('presence'), [{ room, user: 'ben', state: 'left' }]);
  await settle(here, ana);
  assert.deepEqual(ana.inbox.filter(({ event }) => event === 'presence'), [], 'the first tab that leaves is no leave');
});

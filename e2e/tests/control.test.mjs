// Revoked and replaced tokens, updated data, drained nodes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TRANSPORTS, WAYS, connect, login, open, refusal, settle } from '../helpers/client.mjs';
import { Sala, WHOLE } from '../helpers/sala.mjs';
import { broker, fresh } from '../helpers/suite.mjs';
import { deadline } from '../helpers/wait.mjs';

const shared = broker();

for (const { name, options } of WAYS) {
  test(`a revoked token disconnects its socket and is refused ${name}`, async (t) => {
    const { sala } = shared;
    const user = fresh('ada');
    const { token, tokenId } = await sala.ok('POST', '/v1/tokens', { user });
    const [revoked, other] = [await connect(t, sala, { token, ...options }), await login(t, sala, user, options)];
    assert.deepEqual(await sala.ok('POST', '/v1/tokens:revoke', { tokenId }), { disconnected: 1, ...WHOLE, notStored: false });
    assert.equal((await revoked.next('sala:disconnect'))[0].code, 'TOKEN_REVOKED');
    assert.deepEqual(await revoked.next('disconnect'), ['io server disconnect']);
    assert.equal((await refusal(t, sala, { token, ...options })).data.code, 'TOKEN_REVOKED');
    assert.equal((await sala.ok('POST', '/v1/tokens:verify', { token })).reason, 'TOKEN_REVOKED');
    await settle(sala, other); // the user's other token is still valid

    assert.deepEqual(await sala.ok('POST', '/v1/tokens:revoke', { user }), { disconnected: 1, ...WHOLE, notStored: false });
    await other.next('disconnect');
    await settle(sala, await login(t, sala, user, options)); // with a token issued afterwards
  });
}

test('revoking a user also revokes tokens made elsewhere, with or without a time of issue', async (t) => {
  const { sala } = shared;
  const sub = fresh('ada');
  const now = Math.floor(Date.now() / 1000);
  const clients = [];
  for (const claims of [{ sub }, { sub, iat: now - 60 }, { sub, iat: now - 7200 }]) {
    clients.push(await connect(t, sala, { token: sala.foreignToken(claims) }));
  }
  const issuedBefore = new Date((now - 3600) * 1000).toISOString();
  assert.equal((await sala.ok('POST', '/v1/tokens:revoke', { user: sub, issuedBefore })).disconnected, 2);
  await clients[0].next('disconnect');
  await clients[2].next('disconnect');
  await settle(sala, clients[1]);
});

test('a client that sends a fresh token stays connected', async (t) => {
  const { sala } = shared;
  const user = fresh('ada');
  const client = await login(t, sala, user, {}, { ttl: '3s', join: [] });
  const { token, expireTime } = await sala.ok('POST', '/v1/tokens', { user, ttl: '3600s', join: ['vip'], rooms: [`${user}:room`] });
  const answer = await client.ask('sala:token', { token });
  assert.equal(answer.ok, true);
  assert.equal(Date.parse(answer.expireTime), Date.parse(expireTime));
  await client.join('vip');
  const { socket } = await sala.ok('GET', `/v1/sockets/${client.id}`);
  assert.deepEqual(socket.rooms, [`${user}:room`, 'vip'].sort());
  assert.equal((await client.ask('sala:token', 'garbage')).error.code, 'TOKEN_INVALID');
  assert.equal((await client.ask('sala:token', await sala.token('somebody else'))).error.code, 'USER_MISMATCH');
  await new Promise((resolve) => setTimeout(resolve, 3500)); // the first token has expired
  await settle(sala, client);
});

test('a backend replaces the data of sockets', async (t) => {
  const { sala } = shared;
  const user = fresh('ada');
  const client = await login(t, sala, user, {}, { data: { plan: 'free' } });
  const shown = async () => (await sala.ok('GET', `/v1/sockets/${client.id}`)).socket.data;
  assert.deepEqual(await shown(), { plan: 'free' });
  assert.deepEqual(await sala.ok('POST', '/v1/sockets:update', { selector: { users: [user] }, data: { plan: 'pro' } }), { matched: 1, ...WHOLE });
  assert.deepEqual(await shown(), { plan: 'pro' });
  await sala.ok('POST', '/v1/sockets:update', { selector: { users: [user] }, data: null });
  assert.equal(await shown(), null);
  const { status, body } = await sala.rest('POST', '/v1/sockets:update', { selector: { users: [user] } });
  assert.equal(status, 400);
  assert.match(body.message, /data: is missing/);
});

test('a drained node disconnects its clients over a while, and keeps running', async (t) => {
  const sala = await Sala.start({ args: ['--drain-spread', '1s'] });
  t.after(() => sala.stop());
  const kinds = Object.values(TRANSPORTS);
  const clients = await Promise.all(Array.from({ length: 60 }, (_, n) => login(t, sala, 'ada', { transports: kinds[n % 3] })));
  const [{ id }] = (await sala.ok('GET', '/v1/nodes')).nodes;
  const { node } = await sala.ok('POST', `/v1/nodes/${id}:drain`);
  assert.equal(node.state, 'NODE_STATE_DRAINING');
  assert.equal((await sala.rest('GET', '/readyz')).status, 503);
  const left = await Promise.all(clients.map(async (client) => {
    assert.deepEqual((await client.next('sala:disconnect'))[0].code, 'DRAINING');
    const [why] = await client.next('disconnect');
    assert.notEqual(why, 'io server disconnect'); // after which it would not reconnect
    return Date.now();
  }));
  assert.ok(Math.max(...left) - Math.min(...left) > 200, 'all went at once');
  const late = open(t, sala, { token: await sala.token('ben') }); // the control API still works
  await deadline(new Promise((resolve) => late.socket.once('connect_error', resolve)), 'a refusal');
  assert.equal((await sala.ok('GET', '/v1/nodes')).nodes[0].id, id);
  assert.equal((await sala.rest('POST', '/v1/nodes/none:drain')).status, 404);
});

// Nodes whose Redis works only partly, or not for all of them: no incomplete answer looks
// complete, and every node reports what is wrong with it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect, login, settle } from '../helpers/client.mjs';
import { cluster } from '../helpers/cluster.mjs';
import { SALA, run } from '../helpers/process.mjs';
import { Wire } from '../helpers/redis.mjs';
import { API_KEY, UNRECORDED, WHOLE } from '../helpers/sala.mjs';
import { fresh } from '../helpers/suite.mjs';
import { until } from '../helpers/wait.mjs';

const shared = cluster(2);

const metric = async (node, name) => Number((await node.rest('GET', '/metrics')).body.match(new RegExp(`^${name} (\\S+)$`, 'm'))[1]);
const ready = (node, query = '') => node.rest('GET', `/readyz${query}`);

// inRoom connects a client to each node, all in one room.
async function inRoom(t, nodes) {
  const room = fresh('room');
  const clients = await Promise.all(nodes.map((node) => login(t, node, fresh('user'), {}, { rooms: [room] })));
  await until(async () => (await nodes[0].emit([room], 'warm')).matched === nodes.length, 'all nodes to know the room');
  for (const client of clients) await client.next('warm');
  await settle(nodes[0], ...clients);
  for (const client of clients) while (client.inbox.length) await client.next(client.inbox[0].event);
  return { room, clients };
}

test('a node that has lost Redis is named as missing from the first call on', async (t) => {
  const { cluster: c } = shared;
  const wire = await Wire.to(c.redis);
  t.after(() => wire.stop());
  const alone = await c.add('--redis-url', wire.url);
  t.after(() => c.leave(alone));
  await c.whole();
  const [a, b] = c.nodes;
  const { room, clients } = await inRoom(t, [a, b, alone]);
  const missed = await metric(a, 'sala_cluster_missing_answers_total');
  const PART = { partial: true, missingNodes: [alone.id] };

  wire.cut();
  assert.deepEqual(await a.emit([room], 'first'), { matched: 2, queued: 2, kept: 0, dropped: 0, ...PART, ...UNRECORDED });
  assert.deepEqual(await a.ok('POST', '/v1/broadcast', { event: 'all', args: [] }), { matched: 2, queued: 2, kept: 0, dropped: 0, ...PART, duplicate: false });
  assert.deepEqual(await b.ok('POST', '/v1/emit', { sockets: clients.map(({ id }) => id), event: 'by id', args: [] }), { matched: 2, queued: 2, kept: 0, dropped: 0, ...PART, ...UNRECORDED });
  assert.deepEqual(await a.ok('GET', `/v1/rooms/${room}`), { name: room, namespace: '/', sockets: 2, users: 2, ...PART });
  const selector = { rooms: [room] };
  assert.deepEqual(await b.ok('POST', '/v1/sockets:join', { selector, rooms: [fresh('other')] }), { matched: 2, refused: 0, ...PART });
  assert.deepEqual(await a.ok('POST', '/v1/sockets:update', { selector, data: 1 }), { matched: 2, ...PART });
  assert.ok(await metric(a, 'sala_cluster_missing_answers_total') >= missed + 3);
  for (const client of clients.slice(0, 2)) for (const event of ['first', 'all', 'by id']) await client.next(event);
  const reason = await until(async () => { const { status, body } = await ready(alone); return status === 503 && body; }, 'the node to say so');
  assert.match(reason, /^isolated: /);
  assert.equal((await ready(alone, '?local=1')).status, 200);
  assert.ok(clients[2].socket.connected);
  assert.deepEqual(clients[2].inbox, []);

  wire.repair();
  await c.whole();
  await until(async () => { const back = await a.emit([room], 'back'); return back.matched === 3 && !back.partial; }, 'all to be reached');
  await clients[2].next('back');
});

test('other subscribers on the Redis are neither waited for nor reported as missing', async (t) => {
  const { nodes: [a, b], redis } = shared.cluster;
  const { room, clients } = await inRoom(t, [a, b]);
  for (const command of ['PSUBSCRIBE sala:*', `SUBSCRIBE sala:topic:room:1:/:${room} sala:nodes`, 'MONITOR']) {
    let socket;
    await redis.send(command, (kept) => { socket = kept; });
    for (let i = 0; i < 3; i++) {
      assert.deepEqual(await a.emit([room], 'overheard', i), { matched: 2, queued: 2, kept: 0, dropped: 0, ...WHOLE, ...UNRECORDED }, command);
      for (const client of clients) assert.deepEqual(await client.next('overheard'), [i]);
    }
    assert.equal((await b.ok('GET', `/v1/rooms/${room}`)).partial, false);
    socket.destroy();
  }
});

test('a Redis that refuses to publish makes nodes not ready, and they give the reason', async (t) => {
  const { nodes, redis } = shared.cluster;
  await redis.run('ACL SETUSER default -publish');
  t.after(() => redis.run('ACL SETUSER default +publish'));
  for (const node of nodes) {
    const body = await until(async () => { const r = await ready(node); return r.status === 503 && /^isolated: .*NOPERM/s.test(r.body) && r.body; }, 'the node to find out');
    assert.match(body, /ACL SETUSER/);
    assert.equal(await metric(node, 'sala_cluster_connected'), 0);
    assert.match(node.log, /NOPERM/);
  }
  await redis.run('ACL SETUSER default +publish');
  for (const node of nodes) await until(async () => (await ready(node)).status === 200, 'the node to be ready');
  await shared.cluster.whole();
});

test('the answer says that Redis did not store a revocation, and it is stored later', async (t) => {
  const { cluster: c } = shared;
  const [a] = c.nodes;
  const { token, tokenId } = await a.ok('POST', '/v1/tokens', { user: fresh('user') });
  await c.redis.run('CONFIG SET min-replicas-to-write 1');
  t.after(() => c.redis.run('CONFIG SET min-replicas-to-write 0'));
  assert.deepEqual(await a.ok('POST', '/v1/tokens:revoke', { tokenId }), { disconnected: 0, ...WHOLE, notStored: true });
  assert.equal(await metric(a, 'sala_cluster_unstored_revocations'), 1);
  await until(async () => (await ready(a)).status === 503, 'the node to say that it can store nothing');
  await c.redis.run('CONFIG SET min-replicas-to-write 0');
  await until(async () => await metric(a, 'sala_cluster_unstored_revocations') === 0, 'it to be stored');
  const later = await c.add();
  t.after(() => c.leave(later));
  await c.whole();
  await assert.rejects(connect(t, later, { token }), (err) => err.data?.code === 'TOKEN_REVOKED');
});

test('a frozen node makes answers partial before their deadline', async (t) => {
  const { cluster: c } = shared;
  const still = await c.add();
  t.after(() => c.leave(still));
  await c.whole();
  const [a] = c.nodes;
  await inRoom(t, [a, still]);
  // Nodes are given up after 2 s, so an answer within this time is due to the deadline. A node that is frozen for longer is
  // considered lost, and then nothing is missing.
  for (const command of [['rooms'], ['sockets'], ['broadcast', 'hello']]) {
    await still.child.freeze();
    const { code, stderr } = await run(SALA, [...command, '--server', a.grpc, '--api-key', API_KEY, '--timeout', '1900ms']);
    still.child.process.kill('SIGCONT');
    assert.equal(code, 0, stderr);
    assert.match(stderr, new RegExp(`result is incomplete.*${still.id}`));
    await c.whole();
  }
});

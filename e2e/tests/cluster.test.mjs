// Three nodes and a Redis form one broker, whatever happens to one of them.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import path from 'node:path';
import { test } from 'node:test';
import { connect, login, open, refusal, settle } from '../helpers/client.mjs';
import { balancer, cluster } from '../helpers/cluster.mjs';
import { ROOT, SALA, run } from '../helpers/process.mjs';
import { API_KEY, UNRECORDED, WHOLE } from '../helpers/sala.mjs';
import { fresh } from '../helpers/suite.mjs';
import { until } from '../helpers/wait.mjs';

const shared = cluster(3, ['--redis-emitter', '--namespaces', '/ /chat']);

// oneEach connects a client to each node, each with its own user, all in one room.
async function oneEach(t, grants = {}) {
  const { nodes } = shared.cluster;
  const room = fresh('room');
  const users = nodes.map(() => fresh('user'));
  const clients = await Promise.all(nodes.map((node, i) => login(t, node, users[i], {}, { rooms: [room], ...grants })));
  // The others learn in a moment that a node now has members of the room.
  await until(async () => (await nodes[0].rest('GET', `/v1/rooms/${room}`)).body.sockets === nodes.length, 'all to be in the room');
  await until(async () => (await nodes[0].emit([room], 'warm')).matched === nodes.length, 'all nodes to know the room');
  for (const client of clients) await client.next('warm');
  await settle(nodes[0], ...clients);
  for (const client of clients) while (client.inbox.length) await client.next(client.inbox[0].event);
  return { nodes, room, users, clients };
}

const names = (client) => client.inbox.map(({ event }) => event);

test('an emit to any node reaches the clients of all nodes once, and is counted correctly', async (t) => {
  const { nodes, room, users, clients } = await oneEach(t);
  for (const [i, node] of nodes.entries()) {
    assert.deepEqual(await node.emit([room], 'to room', i, { exact: 1.5 }), { matched: 3, queued: 3, kept: 0, dropped: 0, ...WHOLE, ...UNRECORDED });
    for (const client of clients) assert.deepEqual(await client.next('to room'), [i, { exact: 1.5 }]);
    const except = await node.ok('POST', '/v1/emit', { rooms: [room, 'other'], exceptSockets: [clients[1].id], event: 'except', args: [] });
    assert.deepEqual(except, { matched: 2, queued: 2, kept: 0, dropped: 0, ...WHOLE, ...UNRECORDED });
    const user = await node.ok('POST', '/v1/emit', { users: [users[2]], event: 'user', args: [] });
    assert.equal(user.matched, 1);
    const broadcast = await node.ok('POST', '/v1/broadcast', { event: 'all', args: [] });
    assert.deepEqual(broadcast, { matched: 3, queued: 3, kept: 0, dropped: 0, ...WHOLE, duplicate: false });
    const binary = await node.ok('POST', '/v1/emit', {
      sockets: clients.map(({ id }) => id), event: 'binary', args: [{ _placeholder: true, num: 0 }], attachments: ['AAH/'],
    });
    assert.equal(binary.matched, 3);
    for (const client of clients) assert.deepEqual(await client.next('binary'), [Buffer.from([0, 1, 255])]);
  }
  await settle(nodes[1], ...clients);
  assert.deepEqual(names(clients[0]), ['except', 'all', 'except', 'all', 'except', 'all']);
  assert.deepEqual(names(clients[1]), ['all', 'all', 'all']);
  assert.deepEqual(names(clients[2]), ['except', 'user', 'all', 'except', 'user', 'all', 'except', 'user', 'all']);
});

test('clients of different nodes reach each other', async (t) => {
  const { nodes, room, clients } = await oneEach(t);
  clients[0].emit('my_event', { room, text: 'hello' });
  for (const client of clients) assert.deepEqual(await client.next('my_response'), [{ room, text: 'hello' }]);
  clients[2].emit('shout', Buffer.from([7]), 'x');
  for (const client of clients.slice(0, 2)) assert.deepEqual(await client.next('my_response'), [Buffer.from([7]), 'x']);
  await settle(nodes[0], ...clients);
  assert.deepEqual(clients[2].inbox, []);
  const other = fresh('room');
  for (const [i, client] of clients.entries()) {
    await client.join(other, `name${i}`);
    for (const there of clients.slice(0, i + 1)) assert.deepEqual(await there.next('message'), [`name${i} ha entrado en la sala ${other}.`]);
  }
});

test('any node moves, updates, asks and disconnects the clients of all nodes', async (t) => {
  const { nodes, room, users, clients } = await oneEach(t);
  const [a, b, c] = nodes;
  const second = fresh('room');
  const selector = { rooms: [room] };
  assert.deepEqual(await a.ok('POST', '/v1/sockets:join', { selector, rooms: [second] }), { matched: 3, refused: 0, ...WHOLE });
  assert.equal((await b.emit([second], 'joined')).matched, 3);
  assert.deepEqual(await b.ok('POST', '/v1/sockets:leave', { selector: { users: users.slice(0, 2) }, rooms: [second] }), { matched: 2, ...WHOLE });
  assert.equal((await c.emit([second], 'left')).matched, 1);
  assert.deepEqual(await c.ok('POST', '/v1/sockets:update', { selector: { sockets: [clients[0].id] }, data: { n: 1 } }), { matched: 1, ...WHOLE });
  assert.deepEqual((await b.ok('GET', `/v1/sockets/${clients[0].id}`)).socket.data, { n: 1 });

  clients[0].socket.on('q', (answer) => answer('zero'));
  clients[1].socket.on('q', (answer) => answer('one', Buffer.from([1])));
  clients[2].socket.on('q', () => clients[2].close());
  const lines = (await run('curl', ['-sSN', '-H', `Authorization: Bearer ${API_KEY}`, `${c.http}/v1/emit:ack`, '-d', JSON.stringify({ rooms: [room], event: 'q' })]))
    .stdout.trim().split('\n').map((line) => JSON.parse(line).result);
  const acks = Object.fromEntries(lines.slice(0, -1).map(({ ack }) => [ack.user, ack.args[0]]));
  assert.deepEqual(acks, { [users[0]]: 'zero', [users[1]]: 'one' });
  assert.deepEqual(lines.at(-1).summary, { expected: 3, answered: 2, timedOut: 0, disconnected: 1, dropped: 0, ...WHOLE });

  const cleared = await c.ok('POST', `/v1/rooms/${room}:clear`, { notice: { event: 'closed', args: [room] } });
  assert.deepEqual(cleared, { removed: 2, ...WHOLE });
  for (const client of clients.slice(0, 2)) assert.deepEqual(await client.next('closed'), [room]);
  assert.equal((await a.rest('GET', `/v1/rooms/${room}`)).status, 404);

  assert.deepEqual(await c.ok('POST', '/v1/sockets:disconnect', { selector: { users }, reason: 'enough' }), { matched: 2, ...WHOLE });
  for (const client of clients.slice(0, 2)) {
    assert.deepEqual(await client.next('sala:disconnect'), [{ code: 'DISCONNECTED', reason: 'enough' }]);
    assert.deepEqual(await client.next('disconnect'), ['io server disconnect']);
  }
});

test('every node returns the same lists', async (t) => {
  const { nodes, room, clients } = await oneEach(t);
  const ids = clients.map(({ id }) => id).sort();
  for (const node of nodes) {
    assert.deepEqual(await node.ok('GET', `/v1/rooms?prefix=${room}`), { rooms: [{ name: room, namespace: '/', sockets: 3 }], nextPageToken: '', truncated: false, time: null, ...WHOLE });
    assert.deepEqual(await node.ok('GET', `/v1/rooms/${room}`), { name: room, namespace: '/', sockets: 3, users: 3, ...WHOLE });
    const listed = [];
    for (let pageToken = '', more = true; more;) {
      const page = await node.ok('GET', `/v1/sockets?room=${room}&pageSize=2&pageToken=${pageToken}`);
      listed.push(...page.sockets.map(({ id }) => id));
      pageToken = page.nextPageToken;
      more = pageToken !== '';
    }
    assert.deepEqual(listed, ids);
    const known = (await node.ok('GET', '/v1/nodes')).nodes;
    assert.deepEqual(known.map(({ id }) => id), nodes.map(({ id }) => id).sort());
  }
});

test('a revoked token is refused by all nodes, also by one that starts later', async (t) => {
  const { cluster: c } = shared;
  const [a, b] = c.nodes;
  const { token, tokenId } = await a.ok('POST', '/v1/tokens', { user: 'ana' });
  const client = await connect(t, b, { token });
  assert.deepEqual(await a.ok('POST', '/v1/tokens:revoke', { tokenId }), { disconnected: 1, ...WHOLE, notStored: false });
  assert.equal((await client.next('sala:disconnect'))[0].code, 'TOKEN_REVOKED');
  const later = await c.add();
  await c.whole();
  for (const node of c.nodes) assert.equal((await refusal(t, node, { token })).data.code, 'TOKEN_REVOKED');
  // A node that stops announces it.
  c.nodes = c.nodes.filter((node) => node !== later);
  await later.stop();
  await c.whole();
});

test("all nodes receive what python-socketio's Redis manager publishes", async (t) => {
  const { room, clients } = await oneEach(t);
  const program = `
import socketio
manager = socketio.RedisManager(${JSON.stringify(shared.cluster.redis.url)}, write_only=True)
manager.emit('from python', ('ü', {'n': 2**53 - 1}, b'\\x00\\xff'), room=${JSON.stringify(room)}, skip_sid=${JSON.stringify(clients[1].id)})
manager.disconnect(${JSON.stringify(clients[0].id)})
`;
  const { code, stderr } = await run('/usr/bin/python3', ['-c', program]);
  assert.equal(code, 0, stderr);
  for (const client of [clients[0], clients[2]]) {
    assert.deepEqual(await client.next('from python'), ['ü', { n: 2 ** 53 - 1 }, Buffer.from([0, 255])]);
  }
  await clients[0].next('disconnect');
  assert.ok(!names(clients[1]).includes('from python'));
});

test('all nodes carry out what the official emitter publishes', async (t) => {
  const { nodes, room, clients } = await oneEach(t);
  const require = createRequire(path.join(ROOT, 'broker/cluster/redisemitter/testdata/package.json'));
  const { Emitter } = require('@socket.io/redis-emitter');
  const client = require('redis').createClient({ url: shared.cluster.redis.url });
  await client.connect();
  t.after(() => client.close());
  const io = new Emitter(client);
  const chat = await login(t, nodes[0], 'chatter', { namespace: '/chat' });

  io.emit('to all', 1);
  for (const each of clients) assert.deepEqual(await each.next('to all'), [1]);
  io.to(room).except(clients[1].id).emit('to room', Buffer.from([0, 255]), { deep: [Buffer.from('x')] });
  for (const each of [clients[0], clients[2]]) {
    assert.deepEqual(await each.next('to room'), [Buffer.from([0, 255]), { deep: [Buffer.from('x')] }]);
  }
  io.of('/chat').emit('chat');
  assert.deepEqual(await chat.next('chat'), []);
  const second = fresh('room');
  io.in([clients[0].id, clients[1].id]).socketsJoin([second]);
  io.to(second).emit('second');
  for (const each of clients.slice(0, 2)) await each.next('second');
  io.in(clients[0].id).socketsLeave(second);
  io.to(second).emit('third');
  await clients[1].next('third');
  for (const node of nodes) await settle(node, ...clients);
  for (const each of clients) assert.deepEqual(each.inbox, []);
  io.in(room).disconnectSockets(true);
  for (const each of clients) {
    assert.equal((await each.next('sala:disconnect'))[0].code, 'DISCONNECTED');
    await each.next('disconnect');
  }
  assert.ok(chat.socket.connected);
});

test('a frozen node is reported as missing, and takes part again afterwards', async (t) => {
  const { nodes, room, clients } = await oneEach(t);
  const [a, , frozen] = nodes;
  const partial = { partial: true, missingNodes: [frozen.id] };
  await frozen.child.freeze();
  try {
    assert.deepEqual(await a.emit([room], 'without'), { matched: 2, queued: 2, kept: 0, dropped: 0, ...partial, ...UNRECORDED });
    const listed = await a.ok('GET', `/v1/rooms/${room}`);
    assert.deepEqual(listed, { name: room, namespace: '/', sockets: 2, users: 2, ...partial });
    const cli = await run(SALA, ['rooms', '--server', a.grpc, '--api-key', API_KEY]);
    assert.equal(cli.code, 0);
    assert.match(cli.stdout, new RegExp(`${room}\\s+2`));
    assert.match(cli.stderr, new RegExp(`warning: .* nodes that did not answer: ${frozen.id}`));
  } finally {
    frozen.child.process.kill('SIGCONT');
  }
  await shared.cluster.whole();
  await until(async () => {
    const report = await a.emit([room], 'again');
    return !report.partial && report.matched === 3;
  }, 'all nodes to know the room again');
  for (const client of clients) await client.next('again');
});

test('without Redis each node keeps working alone, and with it together again', async (t) => {
  const { nodes, room, clients } = await oneEach(t);
  const { redis } = shared.cluster;
  const ready = async (query = '') => (await nodes[0].rest('GET', `/readyz${query}`)).status;
  const connected = async () => (await nodes[0].rest('GET', '/metrics')).body.match(/^sala_cluster_connected (\d)/m)[1];
  assert.deepEqual([await ready(), await connected()], [200, '1']);
  await redis.kill();
  for (const node of nodes) await until(async () => (await node.rest('GET', '/readyz')).status === 503, 'a node to notice');
  assert.match((await nodes[0].rest('GET', '/readyz')).body, /^isolated: .*Redis/);
  assert.deepEqual([await ready('?local=1'), await connected()], [200, '0']);

  const report = await nodes[0].emit([room], 'alone');
  assert.deepEqual(report, { matched: 1, queued: 1, kept: 0, dropped: 0, partial: true, missingNodes: nodes.slice(1).map(({ id }) => id).sort(), ...UNRECORDED });
  await clients[0].next('alone');
  clients[0].emit('my_event', { room });
  await clients[0].next('my_response');
  const neighbour = await login(t, nodes[0], 'newcomer', {}, { rooms: [room] });
  assert.equal((await nodes[0].emit([room], 'both')).matched, 2);
  await neighbour.next('both');
  const elsewhere = await nodes[0].rest('GET', `/v1/sockets/${clients[1].id}`);
  assert.equal(elsewhere.status, 503);
  assert.equal(elsewhere.body.details[0].reason, 'NODE_UNAVAILABLE');
  const { tokenId, token } = await nodes[0].ok('POST', '/v1/tokens', { user: 'eve' });
  const eve = await connect(t, nodes[2], { token });
  assert.equal((await nodes[0].ok('POST', '/v1/tokens:revoke', { tokenId })).partial, true);
  for (const client of clients) assert.ok(client.socket.connected);

  await redis.restart();
  await shared.cluster.whole();
  await until(async () => {
    const back = await nodes[1].emit([room], 'back');
    return !back.partial && back.matched === 4;
  }, 'all nodes to know the room again');
  for (const client of [...clients, neighbour]) await client.next('back');
  assert.equal((await eve.next('sala:disconnect'))[0].code, 'TOKEN_REVOKED');
  assert.deepEqual([await ready(), await connected()], [200, '1']);
});

test('a node that dies is noticed within 5 s', async (t) => {
  const { nodes, room, clients } = await oneEach(t);
  const [a, b, dead] = nodes;
  await shared.cluster.lose(dead);
  const soon = Date.now() + 5000;
  for (const node of [a, b]) {
    await until(async () => (await node.ok('GET', '/v1/nodes')).nodes.length === 2, 'the node to be gone', soon - Date.now());
    assert.deepEqual(await node.ok('GET', `/v1/rooms/${room}`), { name: room, namespace: '/', sockets: 2, users: 2, ...WHOLE });
    assert.deepEqual(await node.emit([room], 'rest'), { matched: 2, queued: 2, kept: 0, dropped: 0, ...WHOLE, ...UNRECORDED });
  }
  assert.equal((await a.rest('GET', `/v1/sockets/${clients[2].id ?? `${dead.id}AAAAAAAAAAAAAAAA`}`)).status, 404);
  await shared.cluster.add();
  await shared.cluster.whole();
});

test('the clients of a drained node reconnect to the others', async (t) => {
  const { cluster: c } = shared;
  const room = fresh('room');
  const url = await balancer(t, c.nodes);
  const clients = [];
  for (let i = 0; i < 6; i++) {
    const token = await c.nodes[0].token(fresh('user'), { rooms: [room] });
    const client = open(t, { url }, { token, transports: ['websocket'], reconnection: true, reconnectionDelay: 50 });
    await new Promise((resolve) => client.socket.once('connect', resolve));
    clients.push(client);
  }
  const [a, drained] = c.nodes;
  const on = async (node) => (await a.ok('GET', '/v1/nodes')).nodes.find(({ id }) => id === node.id);
  const moving = clients.filter(({ id }) => id.startsWith(drained.id));
  assert.equal(moving.length, 2);
  const { node } = await a.ok('POST', `/v1/nodes/${drained.id}:drain`);
  assert.equal(node.state, 'NODE_STATE_DRAINING');
  for (const client of moving) assert.equal((await client.next('sala:disconnect'))[0].code, 'DRAINING');
  await until(() => clients.every(({ socket, id }) => socket.connected && !id.startsWith(drained.id)), 'all to be back');
  await until(async () => {
    const report = await a.emit([room], 'all here');
    return report.matched === 6 && !report.partial;
  }, 'all nodes to know the room');
  for (const client of clients) await client.next('all here');
  await until(async () => (await on(drained)).sockets === 0 && (await on(drained)).state === 'NODE_STATE_DRAINING', 'the drained node to say so');
});

// A load balancer without stickiness sends each request to the next of three nodes. Stock clients
// with default options don't notice.
import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import { after, before, test } from 'node:test';
import io3 from 'socket.io-client-3';
import { inPython } from '../helpers/actors.mjs';
import { CLIENTS, TRANSPORTS, connect } from '../helpers/client.mjs';
import { Cluster, balancer } from '../helpers/cluster.mjs';
import { fresh } from '../helpers/suite.mjs';
import { until } from '../helpers/wait.mjs';

// RoundRobin is a proxy that sends each request to the next node, also those that upgrade.
class RoundRobin {
  #next = 0;
  #sockets = new Set();

  static async start(nodes) {
    const front = new RoundRobin();
    front.nodes = nodes;
    front.server = http.createServer((request, response) => front.#pass(request, response));
    front.server.on('upgrade', (request, socket, head) => front.#upgrade(request, socket, head));
    await new Promise((resolve) => { front.server.listen(0, '127.0.0.1', resolve); });
    front.url = `http://127.0.0.1:${front.server.address().port}`;
    return front;
  }

  #options({ method, url, headers }) {
    const [host, port] = this.nodes[this.#next++ % this.nodes.length].addr.public.split(':');
    return { host, port, method, path: url, headers, agent: false };
  }

  #pass(request, response) {
    const passed = http.request(this.#options(request), (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    passed.on('error', () => response.destroy());
    response.on('close', () => passed.destroy());
    request.pipe(passed);
  }

  #upgrade(request, client, head) {
    const { host, port, method, path, headers } = this.#options(request);
    const node = net.connect({ host, port });
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('');
    node.write(`${method} ${path} HTTP/1.1\r\n${lines}\r\n`);
    node.write(head);
    for (const [from, to] of [[client, node], [node, client]]) {
      this.#sockets.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => { this.#sockets.delete(from); to.destroy(); });
      from.pipe(to);
    }
  }

  stop() {
    for (const socket of this.#sockets) socket.destroy();
    this.server.close();
    this.server.closeAllConnections();
  }
}

const VERSIONS = { ...CLIENTS, '3.1.3': io3.io ?? io3 };
const WAYS = Object.entries(VERSIONS).flatMap(([version, io]) => [['default'], ...Object.entries(TRANSPORTS)]
  .map(([way, transports]) => ({ name: `${version} ${way}`, options: { io, transports } })));

const shared = {};
before(async () => {
  shared.cluster = await Cluster.start(3);
  shared.front = await RoundRobin.start(shared.cluster.nodes);
});
after(async () => {
  shared.front?.stop();
  await shared.cluster?.stop();
});

// metric adds up a metric of all nodes.
async function metric(name) {
  let sum = 0;
  for (const node of shared.cluster.nodes) {
    for (const [, value] of (await node.ok('GET', '/metrics')).matchAll(new RegExp(`^${name.replace(/[{}"]/g, '\\$&')} (\\S+)$`, 'gm'))) sum += Number(value);
  }
  return sum;
}

async function enter(t, options) {
  const token = await shared.cluster.nodes[0].token('ada');
  const client = await connect(t, shared.front, { token, reconnectionDelay: 10, reconnectionDelayMax: 100, ...options });
  client.failures = [];
  client.socket.on('connect_error', (err) => client.failures.push(err.message));
  client.socket.on('disconnect', (reason) => client.failures.push(reason));
  return client;
}

test('thirty clients with default options connect, upgrade and get every message in order', async (t) => {
  const clients = await Promise.all(Array.from({ length: 30 }, () => enter(t, { transports: undefined })));
  const room = fresh('room');
  await Promise.all(clients.map((client) => client.join(room)));
  const { nodes } = shared.cluster;
  for (let n = 0; n < 100; n++) {
    const { queued, partial } = await nodes[n % 3].emit([room], 'news', n);
    assert.deepEqual({ queued, partial }, { queued: 30, partial: false });
  }
  for (const client of clients) {
    for (let n = 0; n < 100; n++) assert.deepEqual(await client.next('news'), [n]);
  }
  await until(() => clients.every(({ socket }) => socket.io.engine.transport.name === 'websocket'), 'all to upgrade');
  assert.deepEqual(clients.flatMap(({ failures }) => failures), []);
  const passed = await metric('sala_cluster_forwarding{transport="websocket"}');
  assert.ok(passed >= 10 && passed <= 30, `${passed} of 30 WebSockets are passed on`);
  assert.equal(await metric('sala_cluster_forwarded_requests_total{result="unreachable",transport="polling"}'), 0);
});

for (const { name, options } of WAYS) {
  test(`messages in both directions are exact: ${name}`, async (t) => {
    const clients = await Promise.all(Array.from({ length: 4 }, () => enter(t, options)));
    const room = fresh('room');
    await Promise.all(clients.map((client) => client.join(room)));
    const [sender] = clients;
    for (let n = 0; n < 50; n++) sender.emit('my_event', { room, n, bytes: Buffer.from([n, 0, 255]) });
    for (const client of clients) {
      for (let n = 0; n < 50; n++) assert.deepEqual(await client.next('my_response'), [{ room, n, bytes: Buffer.from([n, 0, 255]) }]);
    }
    const large = 'x'.repeat(500_000);
    sender.emit('my_event', { room, large });
    for (const client of clients) assert.equal((await client.next('my_response'))[0].large, large);
    assert.deepEqual(clients.flatMap(({ failures, inbox }) => [...failures, ...inbox.filter(({ event }) => event !== 'message')]), []);
  });
}

test('strangers can neither pass requests on nor have sessions closed', async () => {
  const { nodes } = shared.cluster;
  const handshake = await (await fetch(`${nodes[0].url}/socket.io/?EIO=4&transport=polling`)).text();
  const { sid } = JSON.parse(handshake.slice(1));
  for (const path of ['forward', 'release', 'check', '']) {
    for (const headers of [{}, { 'Sala-Proof': 'AAAA' }, { 'Sala-Proof': Buffer.alloc(200).toString('base64url'), 'Sala-Node': nodes[1].id }]) {
      const answer = await fetch(`${nodes[0].url}/.sala/${path}?EIO=4&transport=polling&sid=${sid}`, { method: 'POST', headers, body: '1' });
      assert.equal(answer.status, 403, path);
    }
  }
  const post = await fetch(`${nodes[1].url}/socket.io/?EIO=4&transport=polling&sid=${sid}`, { method: 'POST', body: '3' });
  assert.equal(post.status, 200, 'the session still exists');
  assert.ok(await metric('sala_cluster_received_requests_total{result="malformed"}') >= 4);
  assert.ok(await metric('sala_cluster_received_requests_total{result="version"}') >= 8);
  const headers = { origin: 'https://elsewhere.example' };
  assert.equal((await fetch(`${nodes[1].url}/socket.io/?EIO=4&transport=polling&sid=${sid}`, { headers })).status, 403, 'pages of other origins');
  for (const node of nodes) assert.ok(!node.log.includes(sid.slice(10)), 'no log has the secret of a session');
});

test('clients whose requests pass a node that stops come back, and polling ones stay', async (t) => {
  const { cluster, front } = shared;
  const leaving = await cluster.add();
  await cluster.whole();
  front.nodes = cluster.nodes;
  const polling = await Promise.all(Array.from({ length: 10 }, () => enter(t, { transports: ['polling'], reconnection: true })));
  const upgraded = await Promise.all(Array.from({ length: 10 }, () => enter(t, { transports: undefined, reconnection: true })));
  await until(() => upgraded.every(({ socket }) => socket.io.engine.transport.name === 'websocket'), 'all to upgrade');
  const elsewhere = (client) => !client.id.startsWith(leaving.id);
  const staying = polling.filter(elsewhere);
  assert.ok(staying.length > 0 && staying.length < 10, 'the sessions are spread');
  front.nodes = cluster.nodes.filter((node) => node !== leaving);
  await cluster.leave(leaving);
  const clients = [...polling, ...upgraded];
  await until(() => clients.every((client) => client.socket.connected && elsewhere(client)), 'all to be connected elsewhere');
  const room = fresh('room');
  await Promise.all(clients.map((client) => client.join(room)));
  await cluster.nodes[0].emit([room], 'news');
  await Promise.all(clients.map((client) => client.next('news')));
  assert.deepEqual(staying.flatMap(({ failures }) => failures), [], 'sessions of other nodes over long-polling');
  // They learn why their WebSocket ends.
  for (const { failures, inbox } of upgraded) assert.equal(failures.length > 0, inbox.some(({ event }) => event === 'sala:disconnect'), JSON.stringify(failures));
});

test('clients of a node that is killed connect to others', async (t) => {
  const { cluster, front } = shared;
  const lost = await cluster.add();
  await cluster.whole();
  front.nodes = cluster.nodes;
  const clients = await Promise.all(Array.from({ length: 12 }, () => enter(t, { transports: undefined, reconnection: true })));
  front.nodes = cluster.nodes.filter((node) => node !== lost);
  await cluster.lose(lost);
  await until(() => clients.every((client) => client.socket.connected && !client.id.startsWith(lost.id)), 'all to be connected elsewhere');
  await cluster.whole();
});

// python-engineio 4.3 gives up for good when it reads the refusal of a POST. Here about half of the POSTs for sessions of the
// node that drains reach the other one.
test('Python clients over long-polling that send all the time come back after a drain', async (t) => {
  const two = await Cluster.start(2);
  const actors = Array.from({ length: 5 }, inPython).flat().filter(({ name }) => name.endsWith('polling'));
  let sending;
  t.after(async () => {
    clearInterval(sending);
    await Promise.all(actors.map((actor) => actor.close()));
    await two.stop();
  });
  const [drained, other] = two.nodes;
  const url = await balancer(t, two.nodes);
  await Promise.all(actors.map(async (actor) => {
    await actor.open(url, await other.token('ada'));
    await actor.connect();
  }));
  sending = setInterval(() => { for (const actor of actors) actor.emit('nobody handles this'); }, 5);
  const socketsAt = async (id) => (await other.ok('GET', '/v1/nodes')).nodes.find((node) => node.id === id).sockets;
  await until(async () => await socketsAt(drained.id) > 0, 'a client at the node that drains');
  await other.ok('POST', `/v1/nodes/${drained.id}:drain`);
  const lost = () => actors.filter(({ gaveUp }) => gaveUp).map(({ name }) => name);
  await until(async () => lost().length > 0 || await socketsAt(other.id) === actors.length, 'all to be back', 60_000);
  assert.deepEqual(lost(), []);
});

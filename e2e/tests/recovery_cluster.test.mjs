// Stock clients that return to another node than the one that they were connected to.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TRANSPORTS, login, settle } from '../helpers/client.mjs';
import { Cluster } from '../helpers/cluster.mjs';
import { subscribe } from '../helpers/events.mjs';
import { Child } from '../helpers/process.mjs';
import { away, back, bare, emitAll, missed, recoverer, state } from '../helpers/recovery.mjs';
import { API_KEY } from '../helpers/sala.mjs';
import { fresh } from '../helpers/suite.mjs';
import { deadline } from '../helpers/wait.mjs';

const PINGS = ['--ping-interval', '1s', '--ping-timeout', '3s'];

async function cluster(t, size, ...args) {
  const c = await Cluster.start(size, [...PINGS, ...args]);
  t.after(() => c.stop());
  return c;
}

// moves has a client return over another node, and asserts that it is the same socket as before.
async function moves(client, id, sala) {
  const returned = back(client);
  client.line.turn(sala);
  client.line.repair();
  assert.equal(await returned, true, 'recovered');
  assert.equal(client.id, id);
}

test('a client that returns to another node', async (t) => {
  const c = await cluster(t, 3);
  const [one, two, three] = c.nodes;
  for (const [transport, transports] of Object.entries(TRANSPORTS)) {
    await t.test(`over ${transport}`, async (t) => {
      const [given, joined] = ['given', 'joined'].map(fresh);
      const user = fresh('ada');
      const ada = await recoverer(t, one, user, { transports, grants: { rooms: [given] } });
      await ada.join(joined);
      await ada.next('message');
      await settle(one, ada);
      const { id } = ada;
      const witness = await login(t, two, fresh('witness'), {}, { rooms: [given] });

      const expected = [];
      for (const [n, node] of [two, three, one].entries()) {
        ada.line[n % 2 ? 'lose' : 'cut']();
        await ada.next('disconnect');
        for (const from of c.nodes) expected.push(...await emitAll(from, n % 2 ? given : joined));
        await moves(ada, id, node);
        expected.push(...await emitAll(c.nodes[n], given));
        await settle(three, ada); // reaches it by its id, through any node
      }
      assert.deepEqual(missed(ada), expected);
      await settle(two, witness);
      assert.ok(!witness.inbox.some(({ event }) => event.startsWith('sala:')));
      for (const node of c.nodes) {
        const { sockets } = await node.ok('GET', `/v1/sockets?user=${user}`);
        assert.deepEqual(sockets.map((socket) => [socket.id, socket.node, socket.rooms, socket.state]), [[id, one.id, [given, joined].sort(), 'SOCKET_STATE_CONNECTED']]);
        assert.equal((await node.emit([joined], 'count')).matched, 1);
      }
    });
  }
});

test('a socket that has moved: acks, rooms, data, events of its client, and its end', async (t) => {
  const c = await cluster(t, 2);
  const [one, two] = c.nodes;
  const event = fresh('work');
  const backend = await subscribe(t, one, { kinds: ['CONNECT', 'AWAY', 'RESUMED', 'MESSAGE', 'DISCONNECT'].map((kind) => `EVENT_KIND_${kind}`) });
  const ada = await recoverer(t, one, 'ada', { transports: ['websocket'] });
  const { id } = ada;
  await away(one, ada);
  await moves(ada, id, two);
  ada.emit(event, 1);

  for (const node of c.nodes) {
    const curl = new Child('curl', ['-sSN', '-H', `Authorization: Bearer ${API_KEY}`, `${node.http}/v1/emit:ack`, '-d', JSON.stringify({ sockets: [id], event: 'q', timeout: '10s' })]);
    t.after(() => curl.end('SIGKILL'));
    ada.socket.once('q', (answer) => answer('yes'));
    assert.equal(await deadline(curl.exited, 'the answer'), 0, curl.output);
    const lines = curl.stdout.trim().split('\n').map((line) => JSON.parse(line).result);
    assert.deepEqual([lines[0].ack?.args, lines.at(-1).summary.answered], [['yes'], 1], curl.output);
    const room = fresh('room');
    assert.equal((await node.ok('POST', '/v1/sockets:join', { selector: { sockets: [id] }, rooms: [room] })).matched, 1);
    assert.equal((await node.ok('GET', `/v1/sockets/${id}`)).socket.rooms.includes(room), true);
    assert.equal((await node.emit([room], 'in')).queued, 1);
    await ada.next('in');
  }
  await one.ok('POST', '/v1/sockets:disconnect', { selector: { sockets: [id] }, reason: 'enough' });
  assert.deepEqual(await ada.next('sala:disconnect'), [{ code: 'DISCONNECTED', reason: 'enough' }]);
  const kinds = [];
  while (kinds.at(-1) !== 'DISCONNECT') {
    const { kind, socket } = await backend.next();
    assert.equal(socket.id, id);
    kinds.push(kind.replace('EVENT_KIND_', ''));
  }
  assert.deepEqual(kinds, ['CONNECT', 'AWAY', 'RESUMED', 'MESSAGE', 'DISCONNECT']);
});

test('a drain hands sessions over, of clients that are connected and of those that are away', async (t) => {
  const c = await cluster(t, 3);
  const [one, two, three] = c.nodes;
  const room = fresh('room');
  const grants = { rooms: [room] };
  const live = await recoverer(t, one, 'live', { transports: ['websocket'], grants });
  const gone = await recoverer(t, one, 'gone', { transports: ['websocket'], grants });
  await settle(one, live, gone);
  const ids = [live.id, gone.id];
  await away(one, gone);
  live.line.turn(two);
  const returned = back(live);
  await two.emit([room], 'n', 0);
  await c.leave(one);
  await three.emit([room], 'n', 1);
  assert.equal(await returned, true);
  await two.emit([room], 'n', 2);
  await moves(gone, ids[1], three);
  assert.deepEqual([live.id, gone.id], ids);
  await three.emit([room], 'n', 3);
  await settle(two, live, gone);
  for (const client of [live, gone]) assert.deepEqual(missed(client), [0, 1, 2, 3].map((n) => ['n', n]));
  for (const node of c.nodes) assert.equal((await node.ok('GET', `/v1/rooms/${room}`)).sockets, 2);
});

test('a node that is killed takes its sessions with it', async (t) => {
  const c = await cluster(t, 2);
  const [one, two] = c.nodes;
  const backend = await subscribe(t, two, { kinds: ['EVENT_KIND_CONNECT', 'EVENT_KIND_DISCONNECT'] });
  const ada = await recoverer(t, one, 'ada', { transports: ['websocket'] });
  const { id } = ada;
  await settle(two, ada);
  const returned = back(ada);
  await c.lose(one);
  ada.line.turn(two);
  assert.equal(await returned, false);
  assert.notEqual(ada.id, id);
  assert.deepEqual(await ada.next('sala:session'), [{ recovered: false, code: 'NODE_LOST' }]);
  const events = [];
  while (events.length < 3) events.push(await backend.next());
  const connect = events.find(({ socket }) => socket.id === ada.id);
  assert.deepEqual([connect.kind, connect.previousSocketId, connect.notRecovered], ['EVENT_KIND_CONNECT', id, 'NODE_LOST']);
  assert.deepEqual(events.filter(({ socket }) => socket.id === id).map(({ kind }) => kind), ['EVENT_KIND_CONNECT', 'EVENT_KIND_DISCONNECT']);
});

test('a session whose first node is gone, but which had moved before, lives on', async (t) => {
  const c = await cluster(t, 3);
  const [one, two, three] = c.nodes;
  const ada = await recoverer(t, one, 'ada', { transports: ['websocket'] });
  const { id } = ada;
  await away(one, ada);
  await moves(ada, id, two);
  await c.lose(one);
  await c.whole(); // the others have noticed
  assert.equal((await three.ok('POST', '/v1/emit', { sockets: [id], event: 'n', args: [1] })).queued, 1);
  assert.deepEqual(bare(await ada.next('n')), [1]);
  await away(two, ada);
  await two.ok('POST', '/v1/emit', { users: ['ada'], event: 'n', args: [2] });
  await moves(ada, id, three);
  assert.deepEqual(bare(await ada.next('n')), [2]);
  await state(two, ada, 'SOCKET_STATE_CONNECTED');
});

// Rooms that remember, on two nodes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { login, settle } from '../helpers/client.mjs';
import { cluster } from '../helpers/cluster.mjs';
import { CONFIG } from '../helpers/sala.mjs';
import { fresh } from '../helpers/suite.mjs';

const shared = cluster(2, [], { ...CONFIG, history: [{ rooms: 'h:**', messages: 1000, ttl: '5m' }], rooms: {} });
const may = { join: ['**'], publish: ['**'], history: ['h:**'] };

const path = (room) => `/v1/rooms/${encodeURIComponent(room)}/messages`;
const list = (sala, room) => sala.ok('GET', `${path(room)}?last=1000`);
const numbers = (messages) => messages.map(({ argsJson, args }) => (args ?? JSON.parse(argsJson))[0]);

test('both nodes have one history, and one key sends once', async (t) => {
  const [here, there] = shared.cluster.nodes;
  const room = fresh('h:one');
  const ana = await login(t, here, 'ana', {}, may);
  const ben = await login(t, there, 'ben', {}, may);
  await ana.join(room);
  const sent = Array.from({ length: 10 }, (_, n) => n);
  for (const n of sent) await [here, there][n % 2].ok('POST', '/v1/emit', { rooms: [room], event: 'n', args: [n] });
  const lists = await Promise.all([list(here, room), list(there, room)]);
  assert.deepEqual(lists[0], lists[1]);
  assert.deepEqual(numbers(lists[0].messages), sent);
  assert.deepEqual(numbers((await ben.ask('join', { room, last: 3 })).messages), [7, 8, 9]);

  const emit = { rooms: [room], event: 'once', idempotencyKey: room };
  const first = await here.ok('POST', '/v1/emit', emit);
  assert.deepEqual([first.queued, first.positions[0].offset], [2, '11']);
  assert.deepEqual(await there.ok('POST', '/v1/emit', emit), { ...first, duplicate: true });
  await settle(here, ana);
  assert.equal(ana.inbox.filter(({ event }) => event === 'once').length, 1);
  await there.ok('DELETE', path(room));
  assert.deepEqual((await list(here, room)).messages, []);
});

test('history, then the live events, while both nodes send', async (t) => {
  const [here, there] = shared.cluster.nodes;
  const room = fresh('h:both');
  let sending = true;
  const send = async (node, name) => {
    let n = 0;
    for (; sending || n < 50; n++) await node.ok('POST', '/v1/emit', { rooms: [room], event: 'n', args: [`${name}${n}`] });
    return n;
  };
  const senders = [send(here, 'a'), send(there, 'b')];
  const joins = await Promise.all([here, there, here, there].map(async (node, i) => {
    const client = await login(t, node, `user-${i}`, {}, may);
    return { client, joined: await client.ask('join', { room, last: 1000 }) };
  }));
  sending = false;
  const [a, b] = await Promise.all(senders);
  await settle(here, ...joins.map(({ client }) => client));
  const want = [...Array.from({ length: a }, (_, n) => `a${n}`), ...Array.from({ length: b }, (_, n) => `b${n}`)].sort();
  for (const { client, joined } of joins) {
    assert.equal(joined.complete, true);
    const live = client.inbox.filter(({ event }) => event === 'n').map(({ args }) => args[0]);
    const all = [...numbers(joined.messages), ...live];
    assert.deepEqual([...all].sort(), want, 'each once');
    const inOrder = (name) => all.filter((text) => text.startsWith(name)).map((text) => Number(text.slice(1)));
    for (const name of ['a', 'b']) assert.deepEqual(inOrder(name), inOrder(name).toSorted((x, y) => x - y), `the order of sender ${name}`);
  }
});

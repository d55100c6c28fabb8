// Killed nodes, and the events that backends receive about their clients.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { login } from '../helpers/client.mjs';
import { Cluster } from '../helpers/cluster.mjs';
import { subscribe } from '../helpers/events.mjs';
import { Wire } from '../helpers/redis.mjs';
import { fresh } from '../helpers/suite.mjs';
import { until } from '../helpers/wait.mjs';

const KINDS = ['EVENT_KIND_CONNECT', 'EVENT_KIND_DISCONNECT'];

async function start(t, size) {
  const cluster = await Cluster.start(size);
  t.after(() => cluster.stop());
  return cluster;
}

// tally counts how often a backend received the DISCONNECT of each user: {first, again}.
function tally(...backends) {
  const counts = new Map();
  for (const event of backends.flatMap(({ received }) => received)) {
    if (event.kind !== 'EVENT_KIND_DISCONNECT') continue;
    const count = counts.get(event.socket.user) ?? { first: 0, again: 0 };
    counts.set(event.socket.user, count);
    count[event.redelivered ? 'again' : 'first']++;
  }
  return counts;
}

// crowd connects clients to a node, and returns their users when backends and
// other nodes know them.
async function crowd(t, node, backend, size) {
  const users = Array.from({ length: size }, () => fresh('user'));
  for (const user of users) await login(t, node, user, { reconnection: false });
  // Once other nodes know that this client came and went, they know those before it too.
  for (let i = 0; i < 3; i++) {
    const marker = fresh('marker');
    const client = await login(t, node, marker);
    client.socket.disconnect();
    await until(() => tally(backend).has(marker), 'a marker');
  }
  return users;
}

for (const { size, dead, apart } of [
  { size: 3, dead: 2, apart: 0 }, { size: 3, dead: 2, apart: 1500 }, { size: 5, dead: 2, apart: 700 }, { size: 5, dead: 4, apart: 300 },
]) {
  test(`${dead} of ${size} nodes are killed, ${apart} ms apart: each client's DISCONNECT is delivered once`, { concurrency: false }, async (t) => {
    const cluster = await start(t, size);
    const victims = cluster.nodes.slice(0, dead);
    const backend = await subscribe(t, cluster.nodes[size - 1], { group: 'g', kinds: KINDS });
    // All nodes learn of a new subscription in a moment.
    for (const [i, node] of victims.entries()) {
      await until(async () => {
        (await login(t, node, `probe${i}`)).socket.disconnect();
        return tally(backend).has(`probe${i}`);
      }, 'events of a client of the node');
    }
    const users = [];
    for (const node of victims) users.push(...await crowd(t, node, backend, 10));
    for (const node of victims) {
      await cluster.lose(node);
      await sleep(apart);
    }
    await until(() => users.every((user) => tally(backend).has(user)), 'the end of all clients');
    await sleep(1000);
    for (const user of users) assert.deepEqual(tally(backend).get(user), { first: 1, again: 0 }, user);
  });
}

test('the node that publishes events of a lost one is killed meanwhile: others continue, and mark possible duplicates', async (t) => {
  const cluster = await start(t, 3);
  const [victim, b, c] = cluster.nodes;
  // Backends that take events one by one, so that it takes a while.
  const backends = [];
  for (const node of [b, c]) backends.push(await subscribe(t, node, { group: 'g', kinds: KINDS, credits: 100_000 }));
  await until(async () => {
    (await login(t, victim, 'probe')).socket.disconnect();
    return tally(...backends).has('probe');
  }, 'events of a client of the node');
  const users = Array.from({ length: 120 }, () => fresh('user'));
  for (const user of users) await login(t, victim, user, { reconnection: false });
  const known = () => [...backends].flatMap(({ received }) => received).filter(({ kind }) => kind === 'EVENT_KIND_CONNECT').length;
  await until(() => known() > users.length, 'events of all clients');
  await sleep(300);
  await cluster.lose(victim);
  const ends = () => users.filter((user) => tally(...backends).has(user)).length;
  await until(() => ends() > 0, 'the first end');
  const teller = [b, c].find((node) => /sockets of a lost node are gone/.test(node.log)) ?? b;
  await cluster.lose(teller);
  await until(() => ends() === users.length, 'all ends');
  for (const user of users) assert.ok(tally(...backends).get(user).first <= 1, user);
});

// Two ways in which a node is considered lost and comes back with its clients.
const AWAY = {
  'is frozen': async (cluster) => ({
    victim: cluster.nodes[0],
    go: () => cluster.nodes[0].child.freeze(),
    back: () => cluster.nodes[0].child.process.kill('SIGCONT'),
  }),
  'is cut off': async (cluster, t) => {
    const wire = await Wire.to(cluster.redis);
    t.after(() => wire.stop());
    const victim = await cluster.add('--redis-url', wire.url);
    await cluster.whole();
    return { victim, go: () => wire.cut(), back: () => wire.repair() };
  },
};

for (const [how, away] of Object.entries(AWAY)) {
  test(`a node ${how}, and some of its sockets disconnect while it is considered lost: their DISCONNECT is delivered once`, async (t) => {
    const cluster = await start(t, 3);
    const { victim, go, back } = await away(cluster, t);
    const others = cluster.nodes.filter((node) => node !== victim);
    const group = [];
    for (const node of cluster.nodes) group.push(await subscribe(t, node, { group: 'g', kinds: KINDS }));
    const only = await subscribe(t, others[0], { group: 'only', kinds: KINDS });
    await until(async () => {
      (await login(t, victim, 'probe')).socket.disconnect();
      return tally(...group).has('probe') && tally(only).has('probe');
    }, 'events of a client of the node');
    const [revoked, leaves, stays] = [fresh('user'), fresh('user'), fresh('user')];
    const clients = {};
    for (const user of [revoked, leaves, stays]) clients[user] = await login(t, victim, user, { reconnection: false });
    await crowd(t, victim, only, 1);
    await go();
    await until(() => [revoked, leaves, stays].every((user) => tally(only).has(user)), 'the node to be considered lost');
    clients[leaves].socket.disconnect();
    await others[1].rest('POST', '/v1/tokens:revoke', { user: revoked });
    await back();
    const announced = () => only.received.filter(({ kind, socket }) => kind === 'EVENT_KIND_CONNECT' && socket.user === stays).length;
    await until(() => announced() === 2, 'the other one to be announced again');
    // Both ends are known, and what comes later has come before the end of a later client.
    const told = (user, ...of) => of.flatMap(({ received }) => received).filter(({ socket }) => socket.user === user)
      .map(({ kind }) => kind.slice('EVENT_KIND_'.length));
    await until(() => [revoked, leaves].every((user) => told(user, only).at(-1) === 'DISCONNECT'), 'both ends');
    await sleep(1000);
    (await login(t, victim, 'later')).socket.disconnect();
    await until(() => tally(only).has('later'), 'the end of a later client');
    // A client that the node announces again before it learns of its end comes twice, so it ends twice.
    const once = ['CONNECT', 'DISCONNECT'];
    for (const [events, what] of [
      [told(revoked, only), 'revoked'], [told(leaves, only), 'leaves'], [told(revoked, ...group).sort(), 'revoked, of a group'],
    ]) {
      const possible = [once, what.endsWith('group') ? [...once, ...once].sort() : [...once, ...once]];
      assert.ok(possible.some((all) => isDeepStrictEqual(events, all)), `${what}: ${events}`);
    }
  });
}

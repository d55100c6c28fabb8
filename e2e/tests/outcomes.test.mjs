// The outcomes of events, connects and emits, as curl, server-sent events, grpcurl and the command line show it, at any node.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect, login, refusal } from '../helpers/client.mjs';
import { cluster } from '../helpers/cluster.mjs';
import { Backend } from '../helpers/events.mjs';
import { Child, GRPCURL, SALA, run } from '../helpers/process.mjs';
import { API_KEY } from '../helpers/sala.mjs';
import { until } from '../helpers/wait.mjs';

const shared = cluster(2);
const auth = ['-H', `Authorization: Bearer ${API_KEY}`];
const env = (sala) => ({ SALA_SERVER: sala.grpc, SALA_API_KEY: API_KEY });

// watch opens a stream of events with curl and waits until it has begun. find waits for an event.
async function watch(t, sala, query, ...args) {
  const child = new Child('curl', ['-sSN', ...auth, ...args, `${sala.http}/v1/events?${query}`]);
  t.after(() => child.end('SIGKILL'));
  await child.see(({ stdout }) => stdout.includes('"status"'), 'the stream');
  const events = () => child.stdout.split('\n').map((line) => line.replace(/^data: /, '')).filter((line) => line.endsWith('}'))
    .map((line) => JSON.parse(line).result?.event).filter(Boolean);
  return {
    child,
    events,
    find: (match, what) => child.see(() => events().find(match), what),
  };
}

const outcome = (kind, result, code = '') => (e) => e.kind === `EVENT_KIND_${kind}` && e.outcome?.result === `OUTCOME_RESULT_${result}` && e.outcome.code === code;

test('a stream at one node shows the outcome of everything at the other', async (t) => {
  const [here, there] = shared.cluster.nodes;
  const lines = await watch(t, here, 'users=ana&users=ben');
  const sse = await watch(t, here, 'problems=true', '-H', 'Accept: text/event-stream');
  assert.match(sse.child.stdout, /^data: \{"result":\{"status":\{"partial":false,"missingNodes":\[\]\}\}\}\n\n/);
  const ana = await login(t, there, 'ana', {}, { join: ['chat:*'], publish: ['chat:*'] });
  await login(t, here, 'ben', {}, { rooms: ['chat:42'] });

  assert.equal((await ana.ask('join', { room: 'secret' })).error.code, 'JOIN_DENIED');
  const denied = await lines.find(outcome('MESSAGE', 'REFUSED', 'JOIN_DENIED'), 'a refused join');
  assert.deepEqual([denied.node, denied.socket.id, denied.room, denied.event, denied.wantsAck], [there.id, ana.id, 'secret', 'join', true]);

  await ana.join('chat:42');
  ana.emit('my_event', { room: 'chat:42', data: 'hi' });
  const relayed = await lines.find(outcome('MESSAGE', 'RELAYED'), 'a relayed event');
  assert.deepEqual([relayed.outcome.matched, relayed.outcome.otherNodes, relayed.argsJson], [1, true, '[{"room":"chat:42","data":"hi"}]']);

  ana.emit('unheard', 1);
  await lines.find(outcome('MESSAGE', 'REFUSED', 'NO_HANDLER'), 'an event that nobody handles');
  const backend = new Backend(here.grpc, { group: 'orders', credits: 10, events: ['order'] }, { key: API_KEY });
  t.after(() => backend.close());
  await until(async () => {
    ana.emit('order', 0);
    await ana.ask('unheard');
    return backend.received.length > 0;
  }, 'events at the backend');
  const handed = await lines.find((e) => outcome('MESSAGE', 'HANDED_OVER')(e) && e.outcome.groups[0] === 'orders', 'an event that a backend handles');
  const delivered = await until(() => backend.received.find(({ deliveryId }) => deliveryId === handed.deliveryId), 'the same id at the backend');
  assert.equal(delivered.event, 'order');

  for (const [token, code] of [['no token', 'TOKEN_INVALID'], [there.foreignToken({ sub: 'ana', exp: 1 }), 'TOKEN_EXPIRED']]) {
    assert.equal((await refusal(t, there, { token })).data.code, code);
    const refused = await sse.find(outcome('REFUSED', 'REFUSED', code), 'a refused client');
    assert.deepEqual([refused.node, refused.namespace, refused.user], [there.id, '/', code === 'TOKEN_EXPIRED' ? 'ana' : '']);
  }
  for (const { child } of [lines, sse]) assert.ok(!child.stdout.includes('eyJ'), 'no token is shown');
});

test('a tail shows emits with their report and the name of the key, over gRPC and in the terminal', async (t) => {
  const [here, there] = shared.cluster.nodes;
  await login(t, there, 'cleo', {}, { rooms: ['news'] });
  const grpc = new Child(GRPCURL, ['-plaintext', ...auth, '-d', '{"kinds":["EVENT_KIND_EMIT"],"rooms":["news"]}', here.grpc, 'sala.v1.ObserveService.Tail']);
  const text = new Child(SALA, ['tail', '--room', 'news', '--kind', 'emit', '-n', '1'], { env: env(here) });
  const scripts = new Child(SALA, ['tail', '--room', 'news', '--kind', 'emit', '-n', '1', '-o', 'json'], { env: env(here) });
  t.after(() => Promise.all([grpc, text, scripts].map((child) => child.end('SIGKILL'))));
  await grpc.see(({ stdout }) => stdout.includes('"status"'), 'the stream');
  for (const child of [text, scripts]) await child.see(({ stderr }) => stderr.includes('listening to'), 'the tail');
  await there.emit(['news'], 'flash\x1b[31m<b>');
  await grpc.see(({ stdout }) => /"matched": 1,\s+"queued": 1/.test(stdout) && stdout.includes('"key": "default"'), 'the emit');
  assert.equal(await text.exited, 0);
  assert.match(text.stdout, /^\d\d:\d\d:\d\d\.\d{3} emit {8}\/ default "flash\\x1b\[31m<b>" to room news -> sent to 1 socket\n$/);
  assert.equal(await scripts.exited, 0);
  const event = JSON.parse(scripts.stdout);
  assert.deepEqual([event.kind, event.node, event.target.rooms, event.outcome.queued], ['EVENT_KIND_EMIT', there.id, ['news'], 1]);
});

test('explain finds the user, the room and what was refused at any node', async (t) => {
  const [here, there] = shared.cluster.nodes;
  const dan = await login(t, there, 'dan', {}, { join: ['chat:*'], publish: [], rooms: ['chat:7'] });
  await dan.ask('join', 'secret');
  await there.emit(['chat:7'], 'news', 1);
  const { checks, sockets, problems, messages, partial } = await here.ok('GET', '/v1/explain?user=dan&room=chat:7');
  assert.deepEqual(Object.fromEntries(checks.map(({ kind, result }) => [kind.slice(11), result.slice(13)])), {
    CONNECTED: 'OK', IN_ROOM: 'OK', MAY_JOIN: 'OK', MAY_PUBLISH: 'NOTE', QUEUE: 'OK', SESSION: 'NOTE', HISTORY: 'NOTE', MESSAGES: 'OK', DROPS: 'OK', REFUSALS: 'PROBLEM', NODES: 'OK',
  });
  assert.deepEqual([sockets.length, sockets[0].id, sockets[0].node, sockets[0].inRoom, partial], [1, dan.id, there.id, true, false]);
  assert.equal(problems[0].outcome.code, 'JOIN_DENIED');
  assert.deepEqual([messages[0].event, messages[0].outcome.matched], ['news', 1]);

  const { code, stdout } = await run(SALA, ['explain', '--user', 'nobody', '--room', 'chat:7'], { env: env(here) });
  assert.equal(code, 0);
  assert.match(stdout, /^!! {2}connected {4}"nobody" isn't connected to \/\n/);
});

test('a stream says when a node does not answer, and goes on when it is lost', async (t) => {
  const [here] = shared.cluster.nodes;
  const third = await shared.cluster.add();
  await shared.cluster.whole();
  const lines = await watch(t, here, 'kinds=EVENT_KIND_REFUSED');
  // A new stream asks all nodes at once. On a busy machine the frozen one may be considered lost before: then try again.
  const missing = `{"status":{"partial":true,"missingNodes":["${third.id}"]}}`;
  const asked = async () => {
    await third.child.freeze();
    await watch(t, here, 'kinds=EVENT_KIND_REFUSED');
    return lines.child.see(({ stdout }) => stdout.includes(missing), 'the missing node', 3000).then(() => true, () => false);
  };
  for (let tries = 5; !await asked(); tries--) {
    assert.ok(tries > 1, `no status names the frozen node: ${lines.child.stdout}`);
    third.child.process.kill('SIGCONT');
    await shared.cluster.whole();
  }
  await shared.cluster.lose(third);
  await lines.child.see(({ stdout }) => stdout.trim().endsWith('{"status":{"partial":false,"missingNodes":[]}}}'), 'all nodes');
  await refusal(t, here, {});
  await lines.find(outcome('REFUSED', 'REFUSED', 'TOKEN_REQUIRED'), 'a refused client');
});

// Debian's Prometheus scrapes two nodes, loads the alerts of deploy/ and answers what the dashboard
// and the alerts ask.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { login } from '../helpers/client.mjs';
import { Cluster } from '../helpers/cluster.mjs';
import { answering, subscribe, MESSAGES } from '../helpers/events.mjs';
import { ROOT, run } from '../helpers/process.mjs';
import { Prometheus } from '../helpers/prometheus.mjs';
import { CONFIG } from '../helpers/sala.mjs';
import { until } from '../helpers/wait.mjs';

const PATIENCE = 90_000;

// Prometheus stores durations as classic histograms or, with the flag, as native ones.
const SERVERS = { classic: [], native: ['--enable-feature=native-histograms,exemplar-storage'] };
const servers = {};
let cluster;
before(async () => {
  const config = { ...CONFIG, history: [{ rooms: 'remembered', messages: 10, ttl: '1m' }] };
  cluster = await Cluster.start(2, ['--metrics-listen', '127.0.0.1:0'], config);
  const targets = cluster.nodes.map((node) => node.addr.metrics);
  for (const [name, args] of Object.entries(SERVERS)) servers[name] = await Prometheus.start(targets, args);
});
after(async () => {
  await Promise.all(Object.values(servers).map((server) => server.stop()));
  await cluster?.stop();
});

const read = (file) => readFileSync(path.join(ROOT, file), 'utf8');
const dashboard = JSON.parse(read('deploy/grafana/sala.json'));
const filledIn = (expr) => expr.replaceAll('$__rate_interval', '15s').replaceAll('$job', '.+').replaceAll('$instance', '.+');
const panels = dashboard.panels.filter(({ targets }) => targets)
  .map(({ title, targets }) => ({ title, exprs: targets.map(({ expr }) => filledIn(expr)) }));

// What the traffic below makes the panels show. The others are about what went wrong, or need settings.
const SHOWN = ['Nodes', 'Connections', 'Client events', 'Messages to clients', 'Delivery, 99 %', 'Alerts', 'Versions', 'Draining',
  'Short of memory', 'Nodes in the cluster', 'Opened and closed', 'Sockets and rooms', 'TCP connections', 'Emits', 'Acks', 'Control calls',
  'Emit', 'Delivery', 'Emit and delivery', 'Delivery by node', 'Acks of clients', 'Answers of backends', 'Other nodes', 'Subscriptions',
  'Events', 'Answers', 'Connected', 'Lost messages', 'Messages between nodes', 'Bytes between nodes', 'Kept for sessions',
  'Recorded messages', 'Memory', 'CPU', 'Open files', 'Network', 'Heap', 'Goroutines'];

// traffic uses the brokers until the test ends.
async function traffic(t) {
  let over = false;
  let flow;
  t.after(() => { over = true; return flow; }); // before the clients are closed
  const { nodes } = cluster;
  const backend = answering(await subscribe(t, nodes[0], { kinds: MESSAGES, events: ['ask'] }), () => [1]);
  const clients = await Promise.all(nodes.map((node, i) => login(t, node, `user${i}`)));
  for (const client of clients) {
    client.socket.on('asked', (...args) => args.at(-1)('yes'));
    await client.join('remembered');
  }
  flow = (async () => {
    while (!over) {
      await nodes[0].ok('POST', '/v1/emit', { rooms: ['remembered'], event: 'news', args: ['hello'] });
      const acks = await nodes[1].rest('POST', '/v1/emit:ack', { users: ['user1'], event: 'asked', args: [] });
      assert.equal(acks.status, 200);
      await Promise.all(clients.flatMap((client) => [client.ask('my_event', { room: 'remembered' }), client.ask('ask', 1)]));
    }
  })();
}

test('promtool accepts the configuration and the alerts, and each alert fires when it should', async () => {
  for (const args of [['check', 'config', 'deploy/prometheus/prometheus.yaml'], ['test', 'rules', 'deploy/prometheus/rules_test.yaml']]) {
    const { code, stdout, stderr } = await run('promtool', args, { ms: 240_000 });
    assert.equal(code, 0, stdout + stderr);
  }
});

for (const name of Object.keys(SERVERS)) {
  test(`the dashboard shows what happens, with ${name} histograms`, async (t) => {
    const server = servers[name];
    await traffic(t);
    await until(async () => {
      const { activeTargets } = await server.get('targets');
      return activeTargets.length === 2 && activeTargets.every(({ health }) => health === 'up');
    }, 'both nodes to be scraped', PATIENCE);
    for (const title of SHOWN) {
      const shown = panels.filter((panel) => panel.title === title);
      assert.notEqual(shown.length, 0, `there is no panel ${title}`);
      for (const { exprs } of shown) {
        await until(async () => (await Promise.all(exprs.map((expr) => server.query(expr)))).some((series) => series.length), `something in ${title}`, PATIENCE);
      }
    }
    for (const expr of panels.flatMap(({ exprs }) => exprs)) await server.range(expr);

    const [delivery] = await server.query('sum(sala_delivery_duration_seconds)');
    assert.equal(delivery?.histogram !== undefined, name === 'native', JSON.stringify(delivery));
    const buckets = await server.query('sala_delivery_duration_seconds_bucket');
    assert.equal(buckets.length > 0, name === 'classic');
  });

  test(`the alerts are evaluated, and none is wrong, with ${name} histograms`, async () => {
    const server = servers[name];
    const rules = await until(async () => {
      const all = (await server.get('rules')).groups.flatMap((group) => group.rules);
      return all.length > 0 && all.every(({ health }) => health !== 'unknown') && all;
    }, 'the evaluation of all alerts', PATIENCE);
    for (const rule of rules) {
      assert.equal(rule.health, 'ok', `${rule.name}: ${rule.lastError}`);
      await server.range(rule.query);
    }
    assert.deepEqual(rules.filter(({ state }) => state === 'firing').map((rule) => rule.name), []);
  });
}

test('the dashboard and the alerts name only metrics that exist', async () => {
  const { nodes } = cluster;
  const exposed = await (await fetch(`http://${nodes[0].addr.metrics}/metrics`)).text();
  const documented = [...read('docs/reference/metrics.md').matchAll(/^\| (`sala_[^|]*)\|/gm)].flatMap(([, cell]) => cell.match(/sala_\w+/g));
  const types = [...exposed.matchAll(/^# TYPE (\w+)/gm)].map(([, metric]) => metric);
  const known = new Set([...documented, ...types]);
  for (const metric of types) {
    assert.ok(!metric.startsWith('sala_') || documented.includes(metric), `docs/reference/metrics.md lacks ${metric}`);
  }
  const rules = (await servers.classic.get('rules')).groups.flatMap((group) => group.rules);
  for (const expr of [...panels.flatMap(({ exprs }) => exprs), ...rules.map(({ query }) => query)]) {
    for (const [metric] of expr.matchAll(/\b(sala|go|process)_\w+/g)) {
      assert.ok(known.has(metric) || known.has(metric.replace(/_(bucket|count|sum)$/, '')), `${metric} in ${expr}`);
    }
  }
});

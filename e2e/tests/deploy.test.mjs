// The files of deploy/ match the broker.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { ROOT, SALA, run } from '../helpers/process.mjs';
import { API_KEY, SECRET, Sala } from '../helpers/sala.mjs';

const files = readdirSync(path.join(ROOT, 'deploy'), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath ?? entry.path, entry.name));
const read = (file) => readFileSync(path.join(ROOT, 'deploy', file), 'utf8');
const env = { SALA_JWT_SECRET: SECRET, SALA_API_KEY: API_KEY };

test('every variable that deploy/ sets exists', async () => {
  const { stdout } = await run(SALA, ['serve', '--help']);
  const known = new Set(stdout.match(/\$SALA_[A-Z_]+/g).map((name) => name.slice(1)));
  for (const file of files) {
    for (const [name] of readFileSync(file, 'utf8').matchAll(/SALA_[A-Z][A-Z_]+/g)) {
      assert.ok(known.has(name), `${path.relative(ROOT, file)} has ${name}, which sala doesn't know`);
    }
  }
});

test("Kubernetes' configuration is valid, and gives a node the time that it needs to stop", async () => {
  const { code, stdout, stderr } = await run(SALA, ['config', 'check', '-o', 'json', '--config', 'deploy/kubernetes/sala.yaml'], { env });
  assert.equal(code, 0, stderr);
  const seconds = (text) => Number(/^(?:(\d+)m)?(\d+)s$/.exec(text).slice(1).reduce((sum, n) => sum * 60 + Number(n ?? 0), 0));
  const manifest = read('kubernetes/deployment.yaml');
  const number = (key) => Number(new RegExp(`${key}: (\\d+)`).exec(manifest)[1]);
  const { drain_timeout: drain, grpc_listen: grpc, http_listen: http, metrics_listen: metrics } = JSON.parse(stdout);
  assert.ok(number('terminationGracePeriodSeconds') > number('seconds') + seconds(drain) + 12);
  for (const [name, addr] of Object.entries({ grpc, http, metrics })) {
    assert.match(manifest, new RegExp(`name: ${name}, containerPort: ${addr.slice(1)}`));
  }
});

test('Prometheus reaches only the metrics', () => {
  const rules = read('kubernetes/networkpolicy.yaml').split(/^    - (?=from:|ports:)/m).slice(1);
  const portsOf = (rule) => [...rule.matchAll(/\{port: (\w+)\}/g)].map(([, port]) => port);
  const may = (label) => rules.filter((rule) => rule.includes(label)).flatMap(portsOf);
  assert.deepEqual(may('name: prometheus}'), ['metrics']);
  assert.deepEqual(may('sala-access: control}'), ['grpc', 'http']);
  assert.deepEqual(rules.filter((rule) => !rule.includes('from:')).flatMap(portsOf), ['public']);
  assert.match(read('kubernetes/deployment.yaml'), /prometheus\.io\/port: "9092"/);
});

test('probes request endpoints that exist', async (t) => {
  const sala = await Sala.start();
  t.after(() => sala.stop());
  for (const file of ['kubernetes/deployment.yaml', 'haproxy.cfg', 'haproxy-sticky.cfg']) {
    const paths = read(file).match(/\/(readyz|livez|metrics)[^\s",]*/g);
    assert.notEqual(paths, null);
    for (const pathname of paths) assert.equal((await sala.rest('GET', pathname)).status, 200, pathname);
  }
});

test('pods know the address that the others reach them at', () => {
  assert.match(read('kubernetes/deployment.yaml'), /name: POD_IP, valueFrom: \{fieldRef: \{fieldPath: status\.podIP\}\}/);
});

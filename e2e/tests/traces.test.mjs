// Traces go to a collector, through the nodes of a cluster and to backends.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { test } from 'node:test';
import { connect } from '../helpers/client.mjs';
import { answering, subscribe } from '../helpers/events.mjs';
import { Leaks, canary } from '../helpers/leaks.mjs';
import { SALA, run } from '../helpers/process.mjs';
import { Redis } from '../helpers/redis.mjs';
import { API_KEY, SECRET, Sala } from '../helpers/sala.mjs';
import { until } from '../helpers/wait.mjs';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const CALLER = 'b7ad6b7169203331';

// Collector takes spans over HTTP, as JSON.
class Collector {
  bodies = [];
  tenants = new Set();

  static async start(t) {
    const collector = new Collector();
    collector.server = http.createServer(async (request, response) => {
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      collector.bodies.push(Buffer.concat(chunks).toString());
      collector.tenants.add(request.headers['x-tenant']);
      response.setHeader('content-type', 'application/json').end('{}');
    }).listen(0, '127.0.0.1');
    await once(collector.server, 'listening');
    t.after(() => collector.server.close());
    return collector;
  }

  get variables() {
    return {
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${this.server.address().port}`,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
      OTEL_EXPORTER_OTLP_HEADERS: 'x-tenant=e2e',
      OTEL_SERVICE_NAME: 'chat',
    };
  }

  // spans returns the spans that have come, with their attributes as an object.
  get spans() {
    return this.bodies.flatMap((body) => JSON.parse(body).resourceSpans).flatMap(({ resource, scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)
      .map((span) => ({
        ...span,
        traceId: span.traceId.toLowerCase(), // ids may have either case
        spanId: span.spanId.toLowerCase(),
        parentSpanId: span.parentSpanId?.toLowerCase(),
        service: resource.attributes.find(({ key }) => key === 'service.name').value.stringValue,
        has: Object.fromEntries((span.attributes ?? []).map(({ key, value }) => [key, Object.values(value)[0]])),
      })));
  }

  named(name) {
    return this.spans.filter((span) => span.name === name);
  }
}

test('a trace goes from a caller through the nodes, and an event to a backend at another node', async (t) => {
  const collector = await Collector.start(t);
  const redis = await Redis.start();
  t.after(() => redis.stop());
  const leaks = new Leaks();
  const secret = leaks.add('what was emitted', canary());
  leaks.add('the API key', API_KEY);
  leaks.add('the JWT secret', SECRET);
  const options = { args: ['--redis-url', redis.url, '--cluster-key', leaks.add('the cluster key', canary()), '--drain-spread', '0s'], env: collector.variables };
  const nodes = [await Sala.start(options), await Sala.start(options)];
  t.after(() => Promise.all(nodes.map((node) => node.discard('SIGKILL'))));
  await until(async () => {
    const lists = await Promise.all(nodes.map((node) => node.ok('GET', '/v1/nodes')));
    return lists.every(({ nodes: known, partial }) => known.length === 2 && !partial);
  }, 'the nodes to know each other');

  const clients = [];
  for (const node of nodes) clients.push(await connect(t, node, { token: leaks.add('a token', await node.token('ana', { rooms: ['a'] })) }));
  const backend = answering(await subscribe(t, nodes[1], { group: 'g', kinds: ['EVENT_KIND_MESSAGE'] }), () => [secret]);
  await until(async () => await clients[0].ask('question', secret) === secret, 'the backend at the other node to answer');

  const answer = await nodes[0].ok('POST', '/v1/emit', { rooms: ['a'], event: 'news', args: [secret] }, { headers: { traceparent: `00-${TRACE}-${CALLER}-01` } });
  assert.equal(answer.queued, 2);
  const unsampled = await nodes[0].ok('POST', '/v1/emit', { rooms: ['a'], event: 'unseen', args: [] }, { headers: { traceparent: `00-${TRACE}-${CALLER}-00` } });
  assert.equal(unsampled.queued, 2);
  for (const node of nodes) await node.stop(); // which sends what waits

  const [call] = collector.named('sala.v1.MessageService/Emit').filter(({ traceId }) => traceId === TRACE);
  assert.equal(call.parentSpanId, CALLER);
  assert.equal(call.has['sala.api'], 'rest');
  assert.equal(call.has['rpc.response.status_code'], 'OK');
  const [emit] = collector.named('emit').filter(({ traceId }) => traceId === TRACE);
  assert.equal(emit.parentSpanId, call.spanId);
  assert.equal(emit.has['sala.event'], 'news');
  assert.equal(Number(emit.has['sala.queued']), 2);
  const applied = collector.named('apply emit');
  assert.equal(applied.length, 1);
  assert.equal(applied[0].parentSpanId, emit.spanId);
  assert.notEqual(applied[0].has['sala.node'], emit.has['sala.node']);
  assert.equal(collector.spans.filter(({ traceId }) => traceId === TRACE).length, 3, 'the spans of the trace');

  const events = collector.named('event message').map(({ traceId, spanId }) => `00-${traceId}-${spanId}-01`);
  assert.ok(backend.received.length > 0);
  for (const { traceContext } of backend.received) assert.ok(events.includes(traceContext), `${traceContext} is none of ${events}`);

  assert.ok(collector.spans.every(({ service }) => service === 'chat'));
  assert.deepEqual([...collector.tenants], ['e2e']);
  leaks.none('a trace', collector.bodies.join('\n'));
  for (const node of nodes) leaks.none('a log', node.log);
});

test('a collector that is away harms nobody, and is named', async (t) => {
  const sala = await Sala.start({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1', OTEL_BSP_SCHEDULE_DELAY: '10' } });
  t.after(() => sala.discard('SIGKILL'));
  await sala.emit(['a'], 'news');
  await until(async () => /sala_trace_spans_dropped_total\{reason="export_failed"\} [1-9]/.test((await sala.rest('GET', '/metrics')).body), 'spans to be lost');
  await until(() => /the collector of traces doesn't take spans/.test(sala.log), 'a line in the log');
  await sala.stop();
});

test('a variable that is wrong is named at the start', async () => {
  const { code, stderr } = await run(SALA, ['serve', '--dev', '--listen', '127.0.0.1:0', '--grpc-listen', '127.0.0.1:0', '--http-listen', '127.0.0.1:0'], {
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4317', OTEL_EXPORTER_OTLP_HEADERS: 'a-secret', OTEL_TRACES_SAMPLER: 'often' },
  });
  assert.equal(code, 2);
  for (const name of ['OTEL_EXPORTER_OTLP_ENDPOINT', 'OTEL_EXPORTER_OTLP_HEADERS', 'OTEL_TRACES_SAMPLER']) assert.match(stderr, new RegExp(`error: ${name}: `));
  assert.doesNotMatch(stderr, /a-secret/);
});

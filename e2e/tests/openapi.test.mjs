// /openapi.json is valid, says the truth about what the broker takes and answers, and TypeScript clients can be generated from it.
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { createConfig, lintFromString } from '@redocly/openapi-core';
import Ajv from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import openapiTS, { astToString } from 'openapi-typescript';
import { login } from '../helpers/client.mjs';
import { subscribe } from '../helpers/events.mjs';
import { ROOT, run } from '../helpers/process.mjs';
import { API_KEY, CONFIG, Sala } from '../helpers/sala.mjs';
import { broker, fresh } from '../helpers/suite.mjs';
import { deadline } from '../helpers/wait.mjs';

const shared = broker();
const described = JSON.parse(readFileSync(path.join(ROOT, 'api/openapi/openapi.json'), 'utf8'));

test('it is valid OpenAPI 3.1, also its examples', async () => {
  assert.deepEqual(await shared.sala.ok('GET', '/openapi.json', undefined, { key: '' }), described);
  const problems = await lintFromString({ source: JSON.stringify(described), config: await createConfig({ extends: ['recommended-strict'] }) });
  assert.deepEqual(problems.map(({ ruleId, message, location }) => `${ruleId}: ${message} ${location[0]?.pointer}`), []);
});

// complete returns a schema whose objects have no fields but those described. Clients must ignore others; this broker sends none.
function complete(schema) {
  if (Array.isArray(schema)) return schema.map(complete);
  if (!schema || typeof schema !== 'object') return schema;
  const copy = Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, complete(value)]));
  return copy.type === 'object' && copy.additionalProperties === undefined ? { ...copy, additionalProperties: false } : copy;
}

const ajv = addFormats(new Ajv({ strict: false, allErrors: true })).addFormat('uint64', true);
ajv.addSchema({ $id: 'sala', components: { schemas: complete(described.components.schemas) } });

// fits fails unless a value has a schema, which is a reference into the description.
function fits(schema, value, what) {
  const check = ajv.compile({ $ref: `sala${schema.$ref}` });
  assert.ok(check(value), `${what}: ${ajv.errorsText(check.errors)} in ${JSON.stringify(value)}`);
}

// operations are all of them: {method, path, ...}.
const operations = Object.entries(described.paths).flatMap(([pathname, methods]) => Object.entries(methods)
  .map(([method, operation]) => ({ ...operation, method: method.toUpperCase(), path: pathname })));

const content = ({ responses }) => responses['200'].content;

// requestOf returns the example of a request as {url, body}. actual has values for those that no example can know.
function requestOf({ path: pathname, parameters = [], requestBody }, actual = {}) {
  const query = new URLSearchParams();
  for (const { name, in: where, example } of parameters) {
    if (example === undefined) continue;
    if (where === 'path') pathname = pathname.replace(`{${name}}`, encodeURIComponent(actual[name] ?? example));
    else for (const value of [example].flat()) query.append(name, value);
  }
  const example = requestBody?.content['application/json'].example;
  return { url: pathname + (query.size ? `?${query}` : ''), body: example && { ...example, ...actual.body } };
}

// linesOf makes a call that answers with a stream, and returns its lines: all, or so many. meanwhile runs after the first.
async function linesOf(sala, { method, ...operation }, type, count, meanwhile) {
  const { url, body } = requestOf(operation);
  const answer = await fetch(sala.http + url, { method, headers: { authorization: `Bearer ${API_KEY}`, accept: type }, body: body && JSON.stringify(body) });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get('content-type'), type);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  const complete = () => text.split('\n').slice(0, -1).filter(Boolean).slice(0, count);
  for (let seen = 0; complete().length < count; seen = complete().length) {
    const { done, value } = await deadline(reader.read(), `line ${seen + 1} of ${url}`);
    if (done) break;
    text += value;
    if (seen === 0 && complete().length > 0) await meanwhile();
  }
  await reader.cancel();
  return complete().map((line) => JSON.parse(type === 'text/event-stream' ? line.replace(/^data: /, '') : line));
}

// alike fails unless an answer is made of the same as an example. In one of them a list may be empty, and a value null.
function alike(answer, example, at) {
  if (answer === null || example === null) return;
  const kind = (value) => (Array.isArray(value) ? 'list' : typeof value);
  assert.equal(kind(answer), kind(example), at);
  if (Array.isArray(answer)) {
    if (answer.length && example.length) alike(answer[0], example[0], `${at}[0]`);
  } else if (typeof answer === 'object') {
    assert.deepEqual(Object.keys(answer).sort(), Object.keys(example).sort(), at);
    for (const [name, value] of Object.entries(answer)) alike(value, example[name], `${at}.${name}`);
  }
}

// people connects the clients that the examples are about, and a backend; a room has a message.
async function people(t, sala) {
  for (const user of ['ana', 'ben', 'ana']) {
    const client = await login(t, sala, user, {}, { rooms: user === 'ben' ? ['chat:42', 'chat:7'] : ['chat:42'], data: { plan: 'pro' } });
    client.socket.on('ready?', (n, ack) => ack('yes'));
  }
  await subscribe(t, sala, { group: 'chat', events: ['say'], kinds: ['EVENT_KIND_MESSAGE'] });
  await sala.emit(['news:7'], 'news', { text: 'hello' });
}

test('each example of a request is answered as its example shows', async (t) => {
  const sala = await Sala.start({ config: { ...CONFIG, history: [{ rooms: 'news:**', messages: 100, ttl: '5m' }], recovery: 'always' } });
  t.after(() => sala.stop());
  await people(t, sala);
  const [{ id }] = (await sala.ok('GET', '/v1/sockets?user=ana')).sockets;
  const [{ id: node }] = (await sala.ok('GET', '/v1/nodes')).nodes;
  const actual = {
    'GET /v1/sockets/{id}': { id },
    'POST /v1/nodes/{id}:drain': { id: node },
    'POST /v1/tokens:verify': { body: { token: await sala.token('ana') } },
  };
  // What these change, others need.
  const last = (operation) => ['/v1/sockets:disconnect', '/v1/nodes/{id}:drain'].indexOf(operation.path);
  for (const operation of operations.toSorted((a, b) => last(a) - last(b))) {
    const name = `${operation.method} ${operation.path}`;
    await t.test(name, async () => {
      for (const [type, { schema, example }] of Object.entries(content(operation))) {
        fits(schema, example, `the example of ${name}`);
        if (type === 'application/json') {
          const { url, body } = requestOf(operation, actual[name]);
          const answer = await sala.ok(operation.method, url, body);
          fits(schema, answer, name);
          alike(answer, example, 'answer');
        } else {
          const lines = await linesOf(sala, operation, type, 2, () => sala.emit(['chat:42'], 'news', { text: 'hello' }));
          assert.equal(lines.length, 2);
          for (const line of lines) fits(schema, line, name);
          alike(lines[0], example, 'line');
        }
      }
    });
  }
});

test('what is required is, and errors have the schema that they should', async (t) => {
  const { sala } = shared;
  const refused = async (operation, url, body, field) => {
    const { status, body: error } = await sala.rest(operation.method, url, body);
    const what = `${operation.method} ${operation.path} without ${field}`;
    assert.equal(status, 400, `${what}: ${JSON.stringify(error)}`);
    const response = described.components.responses[operation.responses[status].$ref.split('/').at(-1)];
    fits(response.content['application/json'].schema, error, what);
    assert.ok(JSON.stringify(error.details[1].fieldViolations).includes(field), `${what}: ${JSON.stringify(error)}`);
  };
  let count = 0;
  for (const operation of operations) {
    const { url, body } = requestOf(operation);
    const reference = operation.requestBody?.content['application/json'].schema.$ref.split('/').at(-1);
    for (const field of described.components.schemas[reference]?.required ?? []) {
      const { [field]: without, ...rest } = body;
      await refused(operation, url, rest, field);
      count++;
    }
    for (const { name } of (operation.parameters ?? []).filter((parameter) => parameter.required && parameter.in === 'query')) {
      await refused(operation, url.replace(new RegExp(`${name}=[^&]*&?`), ''), body, name);
      count++;
    }
  }
  assert.ok(count >= 12, `${count} required fields`);
});

test('other errors have the schema that they should', async () => {
  const { sala } = shared;
  for (const [status, url, options] of [[401, '/v1/rooms', { key: 'wrong-wrong-wrong-wrong' }], [404, '/v1/rooms/nobody']]) {
    const { status: got, body } = await sala.rest('GET', url, undefined, options);
    assert.equal(got, status);
    fits({ $ref: '#/components/schemas/Status' }, body, url);
  }
});

test('openapi-typescript generates a client that compiles and works', async (t) => {
  const { sala } = shared;
  mkdirSync(path.join(ROOT, 'e2e/artifacts'), { recursive: true });
  const folder = mkdtempSync(path.join(ROOT, 'e2e/artifacts/openapi-')); // where node_modules is found
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(path.join(folder, 'sala.ts'), astToString(await openapiTS(described)));
  copyFileSync(path.join(ROOT, 'e2e/openapi/client.ts'), path.join(folder, 'client.ts'));
  const options = ['--strict', '--exactOptionalPropertyTypes', '--noUnusedLocals', '--target', 'es2022', '--module', 'nodenext', '--skipLibCheck', '--types', 'node'];
  const compiled = await run(process.execPath, [path.join(ROOT, 'e2e/node_modules/typescript/bin/tsc'), ...options, 'client.ts'], { cwd: folder, ms: 120_000 });
  assert.equal(compiled.code, 0, compiled.stdout);

  const room = fresh('chat');
  const client = await login(t, sala, 'ana', {}, { rooms: [room] });
  client.socket.on('ready?', (n, ack) => ack('yes', n));
  const { code, stdout, stderr } = await run(process.execPath, ['client.js'], { cwd: folder, env: { SALA_URL: sala.http, SALA_API_KEY: API_KEY, ROOM: room } });
  assert.equal(code, 0, stderr);
  assert.equal(stdout, 'queued for 1 of 1\nana answers ["yes",1]\n1 of 1 answered\nno room nobody: ROOM_NOT_FOUND\nis required: event\n');
  assert.deepEqual(await client.next('news'), [{ text: 'hello from TypeScript' }]);
});

// Runs the examples of the documentation, changing only addresses, and compares what they print with what the page shows,
// except for values that differ each time: the calls of docs/api.md and docs/publishing.md, the commands of
// docs/configuration.md, a refused join of docs/clients.md, and the functions of docs/migrating-*.md and docs/publishing.md.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { login } from '../helpers/client.mjs';
import { GRPCURL, ROOT, SALA, run } from '../helpers/process.mjs';
import { API_KEY, CONFIG, Sala } from '../helpers/sala.mjs';
import { broker } from '../helpers/suite.mjs';

const shared = broker({ config: { ...CONFIG, namespaces: ['/', '/chat'], history: [{ rooms: 'news:**', messages: 100, ttl: '5m' }] } });
const LIBRARY = path.join(ROOT, 'examples/backend-node'); // has the client library for Node
const page = (name) => readFileSync(path.join(ROOT, 'docs', name), 'utf8');

// Fields whose values differ each time. How many sockets a revocation disconnects depends on the token's user.
const VARY = new Set(['token', 'tokenId', 'issueTime', 'expireTime', 'connectTime', 'id', 'address', 'node', 'version', 'uptime', 'latency',
  'nextPageToken', 'socket', 'disconnected', 'epoch', 'time']);

// examples returns the shell blocks that are followed by a block of output in the given language.
function examples(text, language) {
  const pair = new RegExp(`^\`\`\`sh\\n((?:(?!\`\`\`).*\\n)*)\`\`\`\\n\\n\`\`\`${language}\\n((?:(?!\`\`\`).*\\n)*)\`\`\`$`, 'gm');
  return [...text.matchAll(pair)].map(([, script, answer]) => ({ script, answer }));
}

// values returns the JSON values of a text, one after the other.
function values(text) {
  const found = [];
  let open = '';
  for (const line of text.split('\n')) {
    open += `${line}\n`;
    try {
      found.push(JSON.parse(open));
      open = '';
    } catch {
      // the value continues on the next line
    }
  }
  assert.equal(open.trim(), '', `not JSON: ${open}`);
  return found;
}

// plain returns a value without what differs each time.
function plain(value, key) {
  if (Array.isArray(value)) return value.map((item) => plain(item));
  if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, plain(field, name)]));
  return VARY.has(key) ? typeof value : value;
}

// people connects the clients that the examples are about.
async function people(t) {
  const { sala } = shared;
  for (const [user, answer] of [['ana', ['yes']], ['ben', ['no', { reason: 'tea' }]], ['ana']]) {
    const rooms = user === 'ben' ? ['chat:42', 'chat:7'] : ['chat:42'];
    const client = await login(t, sala, user, {}, { rooms, data: { plan: 'pro' } });
    client.socket.on('ready?', (n, ack) => { if (answer) ack(...answer); });
  }
}

test('the broker refuses a join as docs/clients.md shows', async (t) => {
  const sala = await Sala.start();
  t.after(() => sala.stop());
  const client = await login(t, sala, 'ana', {}, { join: ['chat:*'] });
  const { error } = await client.ask('join', 'secret');
  assert.ok(page('clients.md').includes(`{ error: { code: '${error.code}', message: \`${error.message}\` } }`), error.message);
});

// answersAsShown runs the calls of a page, of which there are at least so many.
async function answersAsShown(t, name, least) {
  const { sala } = shared;
  await people(t);
  const found = examples(page(name), 'json');
  assert.ok(found.length >= least, `${found.length} examples`);
  for (const { script, answer } of found) {
    await t.test(script.split('\n')[0], async () => {
      const [id, node] = await Promise.all([
        sala.ok('GET', '/v1/sockets?user=ana').then(({ sockets }) => sockets[0]?.id ?? ''),
        sala.ok('GET', '/v1/nodes').then(({ nodes }) => nodes[0].id),
      ]);
      const here = script.replaceAll('127.0.0.1:9091', new URL(sala.http).host).replaceAll('127.0.0.1:9090', sala.grpc);
      const jq = `jq() { node -p "JSON.parse(require('fs').readFileSync(0))\${*: -1}"; }`;
      const { code, stdout, stderr } = await run('bash', ['-euo', 'pipefail', '-c', `${jq}\n${here}`], {
        env: { auth: `Authorization: Bearer ${API_KEY}`, id, node, PATH: [path.dirname(SALA), path.dirname(GRPCURL), process.env.PATH].join(path.delimiter) },
      });
      assert.equal(code, 0, stderr);
      const sorted = (all) => (script.includes('emit:ack') ? all.sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b))) : all);
      assert.deepEqual(sorted(values(stdout).map((v) => plain(v))), sorted(values(answer).map((v) => plain(v))), `the broker answers:\n${stdout}`);
    });
  }
}

test('the broker answers as docs/publishing.md shows', (t) => answersAsShown(t, 'publishing.md', 3));

// Its last call drains the node.
test('the broker answers as docs/api.md shows', (t) => answersAsShown(t, 'api.md', 15));

test('the functions of docs/publishing.md send an event once, and print what they should', async (t) => {
  const sala = await Sala.start();
  t.after(() => sala.stop());
  const client = await login(t, sala, 'ana', {}, { rooms: ['chat:42'] });
  const block = (language) => new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'ms').exec(page('publishing.md'))[1].replaceAll('http://127.0.0.1:9091', sala.http).replaceAll('127.0.0.1:9090', sala.grpc);
  const sends = async (command, args, input, line, id) => {
    const { code, stdout, stderr } = await run(command, args, { cwd: LIBRARY, env: { SALA_API_KEY: API_KEY }, input });
    assert.equal(code, 0, stderr);
    assert.equal(stdout.trim(), line);
    assert.deepEqual(await client.next('order'), [{ id }]);
  };
  await sends(process.execPath, ['--input-type=module', '-'], block('js'), 'true', 1003);
  const { code } = await run('python3', ['-c', 'import requests']);
  if (code !== 0) t.diagnostic('Python has no requests here, so its function was not run');
  else await sends('python3', ['-'], block('python'), 'True', 1002);
  await sala.ok('POST', '/v1/emit', { rooms: ['chat:42'], event: 'order', args: ['last'] });
  assert.deepEqual(await client.next('order'), ['last']);
});

for (const [language, name, command] of [['js', 'migrating-node.md', [process.execPath, '--input-type=module', '-']], ['python', 'migrating-flask-socketio.md', ['/usr/bin/python3', '-']]]) {
  test(`the function of docs/${name} emits, and prints what the page shows`, async (t) => {
    const sala = await Sala.start();
    t.after(() => sala.stop());
    const client = await login(t, sala, 'ana', {}, { rooms: ['chat:42'] });
    const [, section] = /^## Your emits\n(.*)/ms.exec(page(name));
    const block = (of) => new RegExp(`^\`\`\`${of}\\n(.*?)^\`\`\`$`, 'ms').exec(section)[1];
    const input = block(language).replaceAll('http://127.0.0.1:9091', sala.http).replaceAll('127.0.0.1:9090', sala.grpc);
    const { code, stdout, stderr } = await run(command[0], command.slice(1), { cwd: LIBRARY, env: { SALA_API_KEY: API_KEY, PYTHONPATH: path.join(ROOT, 'sdk/python/src') }, input });
    assert.equal(code, 0, stderr);
    assert.equal(stdout.trim(), block('text').trim());
    assert.deepEqual(await client.next('my_response'), [{ data: 'hello' }]);
  });
}

test('the commands of docs/configuration.md print what it shows', async (t) => {
  const found = examples(page('configuration.md'), 'text');
  assert.ok(found.length >= 3, `${found.length} examples`);
  const masked = (text) => text.replaceAll(/sala_[\w-]{43}/g, 'SECRET').replaceAll(/sha256:[0-9a-f]{64}/g, 'HASH').trim();
  for (const { script, answer } of found) {
    await t.test(script.split('\n').at(-2), async () => {
      const PATH = [path.dirname(SALA), process.env.PATH].join(path.delimiter);
      const { stdout, stderr } = await run('bash', ['-c', script], { env: { PATH } });
      assert.equal(masked(stdout + stderr), masked(answer));
    });
  }
});

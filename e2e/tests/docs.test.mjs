// Runs the code of the documentation, changing only addresses, and compares what it prints with what the page shows,
// except for values that differ each time. helpers/snippets.mjs says which blocks are code.
//
//   sh      runs, with the key in $auth, and ends with 0. `sala serve` becomes `sala config check` with the same settings
//   yaml    is a file for `sala config check`
//   js      is a client's code after connecting, or a program if it imports something or reads the environment
//   python  is a program
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { login } from '../helpers/client.mjs';
import { Child, GRPCURL, ROOT, SALA, run } from '../helpers/process.mjs';
import { API_KEY, CONFIG, SECRET, Sala } from '../helpers/sala.mjs';
import { blocksOf, pagesWithCode } from '../helpers/snippets.mjs';
import { deadline } from '../helpers/wait.mjs';

// Debian's Python has the packages that the examples import.
const PYTHON = '/usr/bin/python3';
const PATH = [path.dirname(SALA), path.dirname(GRPCURL), process.env.PATH].join(path.delimiter);
const GRANTS = { join: ['chat:*', 'price:*'], publish: ['chat:*'], history: ['chat:*', 'price:*'], presence: ['chat:*'], broadcast: true };

// The brokers that pages tell their readers to configure.
const NEWS = { ...CONFIG, namespaces: ['/', '/chat'], history: [{ rooms: 'news:**', messages: 100, ttl: '5m' }] };
const MEMORY = { ...CONFIG, history: [{ rooms: 'chat:**', messages: 100, ttl: '5m' }, { rooms: 'price:*', messages: 1, ttl: '5m' }] };
const PRESENCE = { ...MEMORY, rooms: { presence_rooms: ['chat:**'], presence_event: 'presence' } };
const RELAY = [...CONFIG.relay, { event: 'ping', emit: 'pong', to: 'sender', args: ['hello {user}'], ack: { done: true } }];
const CONFIGS = { 'docs/rooms.md': PRESENCE, 'docs/clients.md': { ...PRESENCE, relay: RELAY } };

// Fields whose values differ each time. How many sockets a revocation disconnects depends on the token's user.
const VARY = new Set(['token', 'tokenId', 'issueTime', 'expireTime', 'connectTime', 'id', 'address', 'node', 'version', 'uptime', 'latency',
  'nextPageToken', 'socket', 'disconnected', 'epoch', 'time']);

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

const masked = (text) => text.replaceAll(/sala_[\w-]{43}/g, 'SECRET').replaceAll(/sha256:[0-9a-f]{64}/g, 'HASH').trim();

// people connects the clients that the pages are about.
async function people(t, sala) {
  for (const [user, answer] of [['ana', ['yes']], ['ben', ['no', { reason: 'tea' }]], ['ana']]) {
    const rooms = user === 'ben' ? ['chat:42', 'chat:7'] : ['chat:42'];
    const client = await login(t, sala, user, {}, { rooms, data: { plan: 'pro' } });
    client.socket.on('ready?', (n, ack) => { if (answer) ack(...answer); });
  }
}

// place is where a page's blocks run: a folder with a broker.
class Place {
  static async of(t, page) {
    const sala = await Sala.start({ config: CONFIGS[page] ?? NEWS, args: ['--recovery-window', '2m'] });
    t.after(() => sala.stop());
    const dir = mkdtempSync(path.join(tmpdir(), 'sala-docs-'));
    t.after(() => rmSync(dir, { recursive: true, force: true }));
    writeFileSync(path.join(dir, 'sala.yaml'), '{}');
    return new Place(sala, dir);
  }

  constructor(sala, dir) {
    Object.assign(this, { sala, dir });
  }

  here(text) {
    return text.replaceAll('http://127.0.0.1:3000', this.sala.url).replaceAll('127.0.0.1:9091', new URL(this.sala.http).host)
      .replaceAll('127.0.0.1:9090', this.sala.grpc).replaceAll('=…', `=${API_KEY}`);
  }

  async env() {
    const [id, node, token] = await Promise.all([
      this.sala.ok('GET', '/v1/sockets?user=ana').then(({ sockets }) => sockets[0]?.id ?? ''),
      this.sala.ok('GET', '/v1/nodes').then(({ nodes }) => nodes[0].id),
      this.sala.token('ana', GRANTS),
    ]);
    return {
      PATH, id, node, auth: `Authorization: Bearer ${API_KEY}`, TOKEN: token, SECRET, KEY: API_KEY, OLD: API_KEY, NEW: API_KEY,
      SALA_SERVER: this.sala.grpc, SALA_API_KEY: API_KEY,
    };
  }
}

// Each runner returns what the block prints.
const RUNNERS = { sh, yaml, js, python };

async function sh({ text, output }, place) {
  const jq = `jq() { node -p "JSON.parse(require('fs').readFileSync(0))\${*: -1}"; }`;
  const check = 'sala() { if [[ $1 == serve ]]; then shift; command sala config check "$@"; else command sala "$@"; fi; }';
  const setsKeys = /SALA_JWT_SECRET|--jwt-secret short/.test(text); // it is about a broker with other settings than ours
  const env = await place.env();
  const { code, stdout, stderr } = await run('bash', ['-euo', 'pipefail', '-c', `${jq}\n${check}\n${place.here(text)}`], {
    cwd: place.dir, env: setsKeys ? { PATH } : { ...env, ...(text.includes('sala serve') && { SALA_API_KEY: undefined, SALA_JWT_SECRET: SECRET }) },
  });
  if (!/error/.test(output?.text ?? '')) assert.equal(code, 0, stderr);
  if (!output) assert.doesNotMatch(stdout, /^\{"code":/m);
  return output?.language === 'json' ? stdout : stdout + stderr;
}

async function yaml({ text }, place) {
  const file = path.join(place.dir, 'of-the-page.yaml');
  writeFileSync(file, text);
  const { code, stderr } = await run(SALA, ['config', 'check', '--config', file], { env: { SALA_JWT_SECRET: SECRET, SALA_API_KEY: API_KEY } });
  assert.equal(code, 0, stderr);
  return '';
}

// What a page leaves to the reader, before the client's code. The code is over when the broker has answered everything.
const AROUND = (code) => `
  import { io } from 'socket.io-client';
  const freshToken = async () => process.env.TOKEN;
  const issueToken = async (grants) => (await fetch(process.env.SALA_HTTP + '/v1/tokens', {
    method: 'POST', headers: { authorization: 'Bearer ' + process.env.SALA_API_KEY }, body: JSON.stringify(grants),
  })).json();
  const [show, reload, clearScreen] = [() => {}, () => {}, () => {}];
  let renewing;
  const token = process.env.TOKEN;
  const socket = io(process.env.SALA_URL, { auth: { token } });
  const answered = (socket) => socket.timeout(10_000).emitWithAck('leave', { room: 'nowhere' });
  await (async () => {\n${code}\n  await answered(socket);\n  await answered(socket);\n  socket.disconnect();\n  clearInterval(renewing);\n})();
  socket.disconnect();`;

async function js({ text }, place) {
  const program = /process\.env|^import (?!\{ io \})/m.test(text);
  const input = place.here(program ? text : AROUND(text.replace("import { io } from 'socket.io-client';\n", '')));
  const { code, stdout, stderr } = await run(process.execPath, ['--input-type=module', '-'], {
    cwd: path.join(ROOT, text.includes('@salabroker/sala') ? 'examples/backend-node' : 'e2e'), input, env: { ...(await place.env()), SALA_URL: place.sala.url, SALA_HTTP: place.sala.http },
  });
  assert.equal(code, 0, stderr);
  return stdout;
}

// A program of a client waits for the news that ends it.
async function python({ text }, place, t) {
  const child = new Child(PYTHON, ['-u', '-'], { input: place.here(text), env: { ...(await place.env()), PYTHONPATH: path.join(ROOT, 'sdk/python/src') } });
  if (text.includes('client.wait()')) {
    await child.see(({ stdout }) => stdout.includes('ok'), 'the answer to its join');
    await place.sala.emit(['chat:42'], 'news', { text: 'hello' });
  }
  t.after(() => child.end('SIGKILL'));
  assert.equal(await deadline(child.exited, `the end of the program: ${child.output}`), 0, child.stderr);
  return child.stdout;
}

function compare(block, printed) {
  const { text, output } = block;
  if (!output) return;
  if (output.language === 'text') {
    assert.equal(masked(printed), masked(output.text));
    return;
  }
  const sorted = (all) => (text.includes('emit:ack') ? all.sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b))) : all);
  assert.deepEqual(sorted(values(printed).map((v) => plain(v))), sorted(values(output.text).map((v) => plain(v))), `it prints:\n${printed}`);
}

for (const [page, blocks] of pagesWithCode()) {
  const runs = blocks.filter(({ why }) => !why);
  test(`the code of ${page}`, async (t) => {
    for (const { language, line } of runs) assert.ok(RUNNERS[language], `${page}:${line}: say above the block why it isn't run`);
    if (runs.length === 0) return;
    const place = await Place.of(t, page);
    if (page.startsWith('docs/migrating-')) await login(t, place.sala, 'ana', {}, { rooms: ['chat:42'] });
    else await people(t, place.sala);
    for (const block of runs) {
      await t.test(`line ${block.line}: ${block.text.split('\n')[0]}`, async (t) => compare(block, await RUNNERS[block.language](block, place, t)));
    }
  });
}

test('the broker refuses a join as docs/clients.md shows', async (t) => {
  const sala = await Sala.start();
  t.after(() => sala.stop());
  const client = await login(t, sala, 'ana', {}, { join: ['chat:*'] });
  const { error } = await client.ask('join', 'secret');
  const shown = blocksOf('docs/clients.md').map(({ text }) => text).join('\n');
  assert.ok(shown.includes(`{ error: { code: '${error.code}', message: \`${error.message}\` } }`), error.message);
});

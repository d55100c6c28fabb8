// Runs what the README shows, changing only the addresses and the key.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { login } from '../helpers/client.mjs';
import { Child, GRPCURL, ROOT, SALA, run } from '../helpers/process.mjs';
import { API_KEY, SECRET } from '../helpers/sala.mjs';
import { blocksOf } from '../helpers/snippets.mjs';
import { broker } from '../helpers/suite.mjs';

const shared = broker();
const ROOM = 'chat:42';

// here replaces the default addresses in a text with this broker's.
function here(text) {
  const { sala } = shared;
  return text.replaceAll('http://127.0.0.1:3000', sala.url).replaceAll('127.0.0.1:9091', new URL(sala.http).host)
    .replaceAll('127.0.0.1:9090', sala.grpc).replace('export SALA_API_KEY=…', `export SALA_API_KEY='${API_KEY}'`);
}

const blocks = (language) => blocksOf('README.md').filter((block) => block.language === language && !block.why).map(({ text }) => text);

async function member(t) {
  const client = await login(t, shared.sala, 'ana');
  await client.join(ROOM);
  return client;
}

const text = async (client) => (await client.next('news'))[0].text;

test('the shell blocks: curl and grpcurl', async (t) => {
  const client = await member(t);
  const calls = blocks('sh').filter((block) => !block.startsWith('sala serve'));
  const script = here(calls.join('\n'));
  assert.ok(script.includes('curl') && script.includes('grpcurl'), script);
  const lines = script.split('\n');
  // The room has been cleared: join again for what follows.
  const clear = lines.findIndex((line) => line.includes(':clear'));
  const PATH = [path.dirname(SALA), path.dirname(GRPCURL), process.env.PATH].join(path.delimiter);
  const bash = (part) => run('bash', ['-euo', 'pipefail', '-c', part], { env: { PATH } });

  const first = await bash(lines.slice(0, clear + 1).join('\n'));
  assert.equal(first.code, 0, first.stderr);
  assert.ok(!first.stdout.includes('"code":'), first.stdout);
  assert.deepEqual([await text(client), await text(client), await text(client)], ['hello', 'hello, all', 'closed']);

  await client.join(ROOM);
  const settings = lines.filter((line) => /^(export|auth=)/.test(line));
  const second = await bash([...settings, ...lines.slice(clear + 1)].join('\n'));
  assert.equal(second.code, 0, second.stderr);
  assert.equal(await text(client), 'hello');
});

test('the settings: `sala serve` and parts of its file', async () => {
  for (const block of blocks('sh').filter((text) => text.startsWith('sala serve'))) {
    const { code, stderr } = await run('bash', ['-euo', 'pipefail', '-c', block.replace('sala serve', `${SALA} config check`)]);
    assert.equal(code, 0, stderr);
  }
  for (const input of blocks('yaml')) {
    const { code, stderr } = await run('bash', ['-c', `${SALA} config check --config <(cat)`], { input, env: { SALA_API_KEY: API_KEY, SALA_JWT_SECRET: SECRET } });
    assert.equal(code, 0, stderr);
  }
});

test('the client', async (t) => {
  const { sala } = shared;
  const folder = path.join(ROOT, 'examples/client');
  const source = here(readFileSync(path.join(folder, 'client.mjs'), 'utf8'));
  assert.ok(source.includes(sala.url));
  const child = new Child(process.execPath, ['--input-type=module', '-', await sala.token('ana')], { cwd: folder, input: source });
  t.after(() => child.end('SIGKILL'));
  await child.see(({ stdout }) => stdout.includes('{ ok: true }'), 'the answer to its join');
  await sala.emit([ROOM], 'news', { text: 'hello from the test' });
  await child.see(({ stdout }) => stdout.includes('hello from the test'), 'the news');
});

test('a client with an invalid token prints the reason', async (t) => {
  const folder = path.join(ROOT, 'examples/client');
  const child = new Child(process.execPath, ['--input-type=module', '-', 'bad'], { cwd: folder, input: here(readFileSync(path.join(folder, 'client.mjs'), 'utf8')) });
  t.after(() => child.end('SIGKILL'));
  await child.see(({ stderr }) => stderr.includes('TOKEN_INVALID'), 'the reason');
});

for (const [name, command, args, cwd] of [
  ['Go', 'go', ['run', '.'], path.join(ROOT, 'examples/backend-go')],
  ['Node', process.execPath, ['backend.mjs'], path.join(ROOT, 'examples/backend-node')],
  ['Python', '/usr/bin/env', ['PYTHONPATH=../../sdk/python/src', '/usr/bin/python3', 'backend.py'], path.join(ROOT, 'examples/backend-python')],
]) {
  test(`the backend in ${name}`, async (t) => {
    const client = await member(t);
    const { code, stdout, stderr } = await run(command, args, { cwd, env: { SALA_SERVER: shared.sala.grpc, SALA_API_KEY: API_KEY }, ms: 110_000 });
    assert.equal(code, 0, stderr);
    assert.match(stdout, /queued for 1 of 1 sockets/);
    assert.equal(await text(client), `hello from ${name}`);
  });

  test(`the backend in ${name} explains in one sentence what is wrong`, async () => {
    for (const [what, env, says] of [
      ['an empty room', { SALA_API_KEY: API_KEY }, /^queued for 0 of 0 sockets$/m],
      ['a wrong key', { SALA_API_KEY: 'wrong-wrong-wrong-wrong' }, /^the broker doesn't know this API key.*\n$/],
      ['no key', {}, /^set SALA_API_KEY to an API key.*\n$/],
      ['no broker', { SALA_API_KEY: API_KEY, SALA_SERVER: '127.0.0.1:1' }, /^nobody answers at 127\.0\.0\.1:1; .*\n$/],
    ]) {
      const { code, stdout, stderr } = await run(command, args, { cwd, env: { SALA_SERVER: shared.sala.grpc, ...env }, ms: 110_000 });
      const right = what === 'an empty room';
      assert.equal(code, right ? 0 : 1, `${what}: ${stderr}`);
      assert.match(right ? stdout : stderr.replace('exit status 1\n', ''), says, what); // which go run adds
    }
  });
}

// What the documentation shows in Python: the README of the library, and the example with Flask.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { login, refusal } from '../helpers/client.mjs';
import { Child, ROOT } from '../helpers/process.mjs';
import { API_KEY } from '../helpers/sala.mjs';
import { broker } from '../helpers/suite.mjs';

const shared = broker();
const PYTHON = '/usr/bin/python3';
const EXAMPLE = path.join(ROOT, 'examples/backend-python');

// start runs a Python program with the library, and ends it when the test ends.
function start(t, args, { input, cwd } = {}) {
  const env = { SALA_SERVER: shared.sala.grpc, SALA_API_KEY: API_KEY, PYTHONPATH: path.join(ROOT, 'sdk/python/src'), PYTHONUNBUFFERED: '1' };
  const child = new Child(PYTHON, args, { cwd, env, input });
  t.after(() => child.end('SIGKILL'));
  return child;
}

// subscribed waits until the broker knows a member of the group chat.
async function subscribed(child) {
  for (;;) {
    const { groups } = await shared.sala.ok('GET', '/v1/groups');
    if (groups.some(({ name }) => name === 'chat')) return;
    assert.equal(child.code, undefined, child.output);
  }
}

const programs = readFileSync(path.join(ROOT, 'sdk/python/README.md'), 'utf8').matchAll(/^```python\n(.*?)^```$/gms);
const complete = [...programs].map(([, program]) => program).filter((program) => program.includes('import sala') && program.includes('.run('));
assert.equal(complete.length, 2);

for (const [name, program] of [['threads', complete[0]], ['asyncio', complete[1]]]) {
  test(`the first program of the library, with ${name}`, async (t) => {
    const { sala } = shared;
    const ana = await login(t, sala, 'ana', {}, { rooms: ['lobby'] });
    const child = start(t, ['-'], { input: program.replace('127.0.0.1:9090', sala.grpc) });
    await subscribed(child);
    assert.deepEqual(await ana.ask('say', 'hello'), { ok: true });
    assert.deepEqual(await ana.next('said'), [{ user: 'ana', text: 'hello' }]);
    assert.equal((await ana.ask('say')).error.code, 'INVALID_ARGUMENT');
    await child.end('SIGINT');
    assert.match(child.stderr, /KeyboardInterrupt/);
  });
}

test('the Flask application and its chat', async (t) => {
  const { sala } = shared;
  const chat = start(t, ['chat.py'], { cwd: EXAMPLE });
  await chat.see(({ stderr }) => stderr.includes('listening'), 'its subscription');
  assert.equal((await refusal(t, sala, { token: await sala.token('mallory') })).data.code, 'BANNED');

  const app = start(t, ['-m', 'flask', 'run', '--port', '0'], { cwd: EXAMPLE });
  const url = await app.see(({ stderr }) => /Running on (http:\S+)/.exec(stderr)?.[1], 'its address');
  const post = async (where, body) => {
    const answer = await fetch(url + where, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
    assert.equal(answer.status, 200, app.output);
    return answer.json();
  };
  const { token } = await post('/login', { user: 'ana' });
  const ana = await login(t, sala, 'ana', { token });
  assert.deepEqual(await post('/rooms/lobby/news', { text: 'hello' }), { queued: 1 });
  assert.deepEqual(await ana.next('news'), [{ text: 'hello' }]);
  assert.deepEqual(await ana.ask('say', { text: 'hi' }), { ok: true });
  assert.deepEqual(await ana.next('said'), [{ user: 'ana', text: 'hi' }]);
  assert.deepEqual(await ana.ask('say', { text: 'spam' }), { error: { code: 'MODERATED', message: 'mind your language' } });
  assert.equal((await ana.ask('say', { tex: 'hi' })).error.code, 'HANDLER_FAILED');

  assert.equal(await chat.end('SIGTERM'), 0, chat.output);
});

// Runs the backends that the guides of migration show, unchanged but for the address.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { login, refusal } from '../helpers/client.mjs';
import { Child, ROOT } from '../helpers/process.mjs';
import { API_KEY, Sala } from '../helpers/sala.mjs';
import { blocksOf } from '../helpers/snippets.mjs';
import { until } from '../helpers/wait.mjs';

for (const [page, program, args, cwd] of [
  ['docs/migrating-flask-socketio.md', '/usr/bin/python3', ['-'], 'sdk/python/src'],
  ['docs/migrating-node.md', process.execPath, ['--input-type=module', '-'], 'examples/backend-node'],
]) {
  test(`the backend of ${page}`, async (t) => {
    const sala = await Sala.start();
    t.after(() => sala.stop());
    const [block] = blocksOf(page).filter(({ why }) => why?.includes('migrating.test.mjs'));
    const backend = new Child(program, args, {
      cwd: path.join(ROOT, cwd), input: block.text.replace('127.0.0.1:9090', sala.grpc), env: { SALA_API_KEY: API_KEY },
    });
    t.after(() => backend.end('SIGKILL'));
    await until(async () => {
      assert.equal(backend.code, undefined, backend.output);
      const { groups } = await sala.ok('GET', '/v1/groups');
      return groups.some(({ name }) => name === 'chat');
    }, 'the backend');

    assert.deepEqual(await refusal(t, sala, { token: await sala.token('mallory') }).then(({ data, message }) => [data.code, message]), ['BANNED', 'you are banned from this chat']);
    const [ana, ben] = [await login(t, sala, 'ana'), await login(t, sala, 'ben')];
    assert.deepEqual(await ana.ask('say', { text: 'hello' }), { ok: true });
    for (const client of [ana, ben]) assert.deepEqual(await client.next('said'), [{ user: 'ana', text: 'hello' }]);
  });
}

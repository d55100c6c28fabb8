// The commands for people at a terminal.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { connect, login } from '../helpers/client.mjs';
import { ROOT, SALA, run } from '../helpers/process.mjs';
import { API_KEY, SECRET, freePort } from '../helpers/sala.mjs';
import { broker, fresh } from '../helpers/suite.mjs';

const shared = broker();

function sala(args, { env = {}, ...options } = {}) {
  return run(SALA, args, { env: { SALA_SERVER: shared.sala.grpc, SALA_API_KEY: API_KEY, ...env }, ...options });
}

async function ok(...args) {
  const { code, stdout, stderr } = await sala(args);
  assert.equal(code, 0, stderr);
  assert.equal(stderr, '');
  return stdout;
}

const json = async (...args) => JSON.parse(await ok(...args, '-o', 'json'));

test('token: prints only the token, and the token works', async (t) => {
  const token = (await ok('token', 'ada', '--join', 'chat:*', '--ttl', '1m')).trim();
  const client = await connect(t, shared.sala, { token });
  assert.deepEqual(await client.ask('join', { room: 'chat:1' }), { ok: true });
  const issued = await json('token', 'issue', 'ben');
  assert.deepEqual(Object.keys(issued).sort(), ['expireTime', 'token', 'tokenId']);
  assert.match(await ok('token', 'verify', issued.token), /ben/);
  const refused = await sala(['token', 'verify', `${issued.token}x`]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /TOKEN_INVALID/);
});

test('rooms, sockets, emit, broadcast: tables for people, JSON for scripts', async (t) => {
  const room = fresh('cli');
  const ada = await login(t, shared.sala, 'ada');
  await ada.join(room);

  assert.match(await ok('rooms', '--prefix', room), new RegExp(`NAMESPACE +ROOM +SOCKETS\n/ +${room} +1`));
  assert.deepEqual((await json('rooms', '--prefix', room)).rooms, [{ name: room, namespace: '/', sockets: 1 }]);
  assert.match(await ok('rooms', 'get', room), new RegExp(room));
  assert.match(await ok('sockets', '--room', room), new RegExp(`${ada.id} +ada`));
  assert.equal((await json('sockets', 'get', ada.id)).socket.user, 'ada');

  assert.match(await ok('emit', 'news', 'plain text', '{"a":1}', '12345678901234567890', '--room', room), /1 socket matched, 1 queued/);
  assert.deepEqual(await ada.next('news'), ['plain text', { a: 1 }, 12345678901234567890]);
  assert.equal((await json('broadcast', 'all', '--args', '[1,2]')).queued, 1);
  assert.deepEqual(await ada.next('all'), [1, 2]);

  await ok('sockets', 'join', `${room}:2`, '--socket', ada.id);
  await ok('sockets', 'leave', `${room}:2`, '--socket', ada.id);
  assert.equal((await json('rooms', 'clear', room, '--notice', 'message', '--args', '["adiós"]')).removed, 1);
  await ada.next('message'); // its own arrival
  assert.deepEqual(await ada.next('message'), ['adiós']);
  assert.match(await ok('nodes'), /active/);
  assert.match(await ok('sockets', 'disconnect', '--user', 'ada', '--reason', 'enough'), /disconnected/);
  assert.equal((await ada.next('sala:disconnect'))[0].reason, 'enough');
});

test('errors go to stderr, with an exit code and what to do', async (t) => {
  const nobody = `127.0.0.1:${await freePort()}`;
  for (const [name, args, env, code, words] of [
    ['no broker at the address', ['rooms'], { SALA_SERVER: nobody }, 1, new RegExp(nobody)],
    ['no key', ['rooms'], { SALA_API_KEY: '' }, 1, /SALA_API_KEY/],
    ['a wrong key', ['rooms'], { SALA_API_KEY: 'wrong' }, 1, /doesn't know this API key/],
    ['a key that was left out', ['rooms'], { SALA_API_KEY: '…' }, 2, /a character that no key has; copy it as it was printed/],
    ['a URL for a server', ['rooms'], { SALA_SERVER: 'http://127.0.0.1:9090' }, 2, /host:port/],
    ['no target', ['emit', 'x'], {}, 2, /--room/],
    ['a reserved event', ['emit', 'connect', '--room', 'r'], {}, 1, /connect/],
    ['arguments that are not a list', ['emit', 'x', '--args', '{}', '--room', 'r'], {}, 2, /JSON array/],
    ['a room without members', ['rooms', 'get', 'empty'], {}, 1, /empty/],
    ['an unknown command', ['dance'], {}, 2, /dance/],
  ]) {
    await t.test(name, async () => {
      const answer = await sala(args, { env });
      assert.equal(answer.code, code, answer.stdout + answer.stderr);
      assert.match(answer.stderr, words);
      assert.equal(answer.stdout, '');
      assert.ok(!/goroutine|panic/.test(answer.stderr));
    });
  }
});

test('config check: explains what is wrong, or prints the effective configuration without secrets', async (t) => {
  const dir = mkdtempSync(path.join(tmpdir(), 'sala-e2e-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const file = path.join(dir, 'check.yaml');
  for (const [name, yaml, code, words] of [
    ['a valid file', `jwt_secret: ${SECRET}\napi_key: ${API_KEY}\nnamespaces: [/, /chat]\nping_interval: 5s\n`, 0, /\/chat/],
    ['an unknown key', `jwt_secrets: ${SECRET}\napi_key: ${API_KEY}\n`, 2, /jwt_secret/],
    ['invalid YAML', 'relay: [\n', 2, /check\.yaml/],
    ['an invalid relay rule', `jwt_secret: ${SECRET}\napi_key: ${API_KEY}\nrelay: [{event: x, to: moon}]\n`, 2, /relay/],
  ]) {
    await t.test(name, async () => {
      writeFileSync(file, yaml);
      const answer = await run(SALA, ['config', 'check', '--config', file]);
      assert.equal(answer.code, code, answer.stdout + answer.stderr);
      assert.match(answer.stdout + answer.stderr, words);
      for (const secret of [SECRET, API_KEY]) assert.ok(!(answer.stdout + answer.stderr).includes(secret), 'no secret is printed');
    });
  }
});

test("the example's configuration is valid", async () => {
  const { code, stdout, stderr } = await run(SALA, ['config', 'check', '--config', path.join(ROOT, 'examples/chat/sala.yaml')]);
  assert.equal(code, 0, stdout + stderr);
});

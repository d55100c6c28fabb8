// Starting, many clients at once, and stopping.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TRANSPORTS, connect, login } from '../helpers/client.mjs';
import { SALA, run } from '../helpers/process.mjs';
import { API_KEY, SECRET, WHOLE, Sala } from '../helpers/sala.mjs';
import { deadline } from '../helpers/wait.mjs';

const ANY = '127.0.0.1:0';
const LISTEN = ['--listen', ANY, '--grpc-listen', ANY, '--http-listen', ANY];

test('200 clients connect at once, and every one succeeds', async (t) => {
  const sala = await Sala.start();
  t.after(() => sala.stop());
  const token = await sala.token('ada');
  const kinds = Object.values(TRANSPORTS);
  const clients = await Promise.all(Array.from({ length: 200 }, (_, n) => connect(t, sala, { token, transports: kinds[n % kinds.length], timeout: 20_000 })));
  assert.equal(new Set(clients.map(({ id }) => id)).size, 200);
  assert.deepEqual(await sala.ok('POST', '/v1/broadcast', { event: 'roll-call', args: [] }), { matched: 200, queued: 200, kept: 0, dropped: 0, ...WHOLE, duplicate: false });
  await Promise.all(clients.map((client) => client.next('roll-call')));
});

test('SIGTERM: accepted messages arrive in order, then sala:disconnect, and the exit code is 0', async (t) => {
  const sala = await Sala.start();
  const clients = [];
  for (let n = 0; n < 30; n++) clients.push(await login(t, sala, `user-${n}`, { transports: Object.values(TRANSPORTS)[n % 3] }));
  await Promise.all(clients.map((client) => client.join('room')));
  const count = 100;
  const text = 'x'.repeat(2000);
  for (let n = 0; n < count; n++) assert.equal((await sala.emit(['room'], 'n', n, text)).queued, clients.length);

  const stopped = sala.stop();
  await Promise.all(clients.map(async (client) => {
    await client.next('disconnect');
    const received = client.inbox.filter(({ event }) => event !== 'message');
    assert.deepEqual(received.filter(({ event }) => event === 'n').map(({ args }) => args[0]), Array.from({ length: count }, (_, n) => n));
    assert.equal(received.at(-1).event, 'sala:disconnect', 'sala:disconnect comes last');
    assert.equal(received.at(-1).args[0].code, 'DRAINING');
  }));
  await stopped;
});

test('SIGTERM: a broker without clients stops immediately, and so does one with a dead client', async (t) => {
  await (await Sala.start()).stop();
  const sala = await Sala.start();
  t.after(() => sala.discard('SIGKILL'));
  const client = await login(t, sala, 'ada', { transports: TRANSPORTS.websocket });
  client.socket.io.engine.transport.ws._socket.pause(); // it stops reading
  await sala.stop();
});

test('SIGINT stops as SIGTERM does', async () => {
  const sala = await Sala.start();
  assert.equal(await sala.discard('SIGINT'), 0);
});

test('two brokers on one port: the second explains it and exits with 1', async (t) => {
  const sala = await Sala.start();
  t.after(() => sala.stop());
  const taken = { '--listen': new URL(sala.url).host, '--grpc-listen': sala.grpc, '--http-listen': new URL(sala.http).host };
  for (const [flag, addr] of Object.entries(taken)) {
    const args = ['serve', ...LISTEN, '--jwt-secret', SECRET, '--api-key', API_KEY, flag, addr];
    const { code, stdout, stderr } = await run(SALA, args);
    assert.equal(code, 1, stdout + stderr);
    assert.match(stderr, new RegExp(addr.replaceAll('.', '\\.')), 'it names the address');
    assert.match(stderr, /in use|taken/i);
    assert.ok(!/goroutine|panic/.test(stderr));
  }
});

test('missing or invalid settings are reported, with what to do about them', async (t) => {
  const secret = ['--jwt-secret', SECRET];
  const key = ['--api-key', API_KEY];
  for (const [name, args, expected] of [
    ['no secret', [...key], /jwt-secret|SALA_JWT_SECRET/],
    ['no key', [...secret], /api-key|SALA_API_KEY/],
    ['a short secret', ['--jwt-secret', 'short', ...key], /32/],
    ['gRPC on all interfaces without TLS', [...secret, ...key, '--grpc-listen', '0.0.0.0:0'], /insecure-control/],
    ['REST on all interfaces without TLS', [...secret, ...key, '--http-listen', ':0'], /insecure-control/],
    ['a missing file', [...secret, ...key, '--config', '/nowhere/sala.yaml'], /\/nowhere\/sala\.yaml/],
    ['an unknown flag', ['--no-such-flag'], /no-such-flag/],
    ['an unknown log level', [...secret, ...key, '--log-level', 'loud'], /debug/],
    ['an invalid namespace', [...secret, ...key, '--namespaces', 'chat'], /chat/],
    ['an unknown scope', [...secret, '--api-key', `ops=${API_KEY}:everything`], /everything/],
  ]) {
    await t.test(name, async () => {
      const { code, stdout, stderr } = await run(SALA, ['serve', ...LISTEN, ...args]);
      assert.notEqual(code, 0, stdout);
      assert.match(stderr, expected);
      assert.ok(!stderr.includes(SECRET) && !stderr.includes(API_KEY), 'no secret in the message');
      assert.ok(!/goroutine|panic/.test(stderr));
    });
  }
});

test('variables configure the broker, and flags override them', async (t) => {
  const env = { SALA_JWT_SECRET: SECRET, SALA_API_KEY: API_KEY, SALA_NAMESPACES: '/ /env', SALA_JWT_USER_CLAIM: 'from_env' };
  const child = new Sala();
  const sala = await child.run(['--jwt-user-claim', 'from_flag'], env);
  t.after(() => sala.stop());
  const client = await connect(t, sala, { namespace: '/env', token: sala.foreignToken({ from_flag: 'ada' }) });
  assert.equal((await sala.ok('GET', `/v1/sockets/${client.id}`)).socket.user, 'ada');
});

test('a drain that takes too long ends anyway', async (t) => {
  const sala = await Sala.start({ args: ['--drain-timeout', '1s'] });
  t.after(() => sala.discard('SIGKILL'));
  const client = await login(t, sala, 'ada', { transports: TRANSPORTS.websocket });
  client.socket.io.engine.transport.ws._socket.pause();
  await sala.ok('POST', '/v1/emit', { sockets: [client.id], event: 'large', args: ['x'.repeat(900_000)] });
  const code = await deadline(sala.discard('SIGTERM'), 'the end of the drain');
  assert.equal(typeof code, 'number', 'it ended by itself');
  assert.ok(!/panic|goroutine/.test(sala.log));
});

test('help, version and no command', async () => {
  const help = await run(SALA, ['serve', '--help']);
  assert.equal(help.code, 0);
  for (const flag of ['--listen', '--grpc-listen', '--http-listen', '--api-key', '--jwt-secret', '--jwt-user-claim', '--allow-anonymous',
    '--namespaces', '--allowed-origins', '--ping-interval', '--ping-timeout', '--connect-timeout', '--max-message-bytes', '--log-level', '--log-format', '--config', '--dev']) {
    assert.ok(help.stdout.includes(flag), `${flag} is documented`);
  }
  assert.ok(help.stdout.includes('SALA_LISTEN'));
  const version = await run(SALA, ['version']);
  assert.equal(version.code, 0, version.stderr);
  assert.match(version.stdout, /\S/);
});

// sala forward: events as CloudEvents to a webhook, which is a process of its own.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { certificates } from '../helpers/certificates.mjs';
import { connect, login, refusal } from '../helpers/client.mjs';
import { Child, ROOT, SALA, run } from '../helpers/process.mjs';
import { API_KEY, Sala, freePort } from '../helpers/sala.mjs';
import { deadline } from '../helpers/wait.mjs';

const SECRET = 'a secret of the webhook for tests';

// webhook starts one, and waits until it listens.
async function webhook(t, port, { secret = SECRET, delay = 2, tls = [] } = {}) {
  const child = new Child(process.execPath, ['helpers/webhook.mjs', String(port), secret, String(delay), ...tls], { cwd: path.join(ROOT, 'e2e') });
  t.after(() => child.end('SIGKILL'));
  await child.see(({ stdout }) => stdout.includes('"listening"'), 'its listener');
  child.received = () => child.stdout.slice(0, child.stdout.lastIndexOf('\n') + 1).split('\n').filter(Boolean).map(JSON.parse).filter(({ id }) => id);
  return child;
}

// temporary returns a folder that is removed after the test.
function temporary(t) {
  const dir = mkdtempSync(path.join(tmpdir(), 'sala-forward-'));
  t.after(() => rmSync(dir, { recursive: true }));
  return dir;
}

// forward starts a forwarder to a URL.
function forward(t, sala, to, args) {
  const secret = path.join(temporary(t), 'secret');
  writeFileSync(secret, `${SECRET}\n`);
  const forwarder = new Child(SALA, ['forward', '--to', to, '--secret-file', secret, ...args], { env: { SALA_SERVER: sala.grpc, SALA_API_KEY: API_KEY } });
  t.after(() => forwarder.end('SIGKILL'));
  return forwarder;
}

const subscribed = (forwarder, times = 1) => forwarder.see(({ stderr }) => stderr.split('forwarding to').length > times, 'its subscription');

// start starts a broker and a forwarder to a webhook's port.
async function start(t, port, args) {
  const sala = await Sala.start();
  t.after(() => sala.stop());
  const forwarder = forward(t, sala, `http://127.0.0.1:${port}/hook`, args);
  await subscribed(forwarder);
  return { sala, forwarder };
}

test('forward: acks, errors and decisions come from the answers, and requests are signed', async (t) => {
  const port = await freePort();
  const hook = await webhook(t, port);
  const { sala, forwarder } = await start(t, port, ['--decide', '--kind', 'connect,message']);
  assert.equal((await refusal(t, sala, { token: await sala.token('banned') })).data.code, 'BANNED');
  const ana = await login(t, sala, 'ana');
  const ask = (event, ...args) => deadline(new Promise((resolve) => { ana.emit(event, ...args, (...answer) => resolve(answer)); }), event);
  assert.deepEqual(await ask('say', { text: 'hola', n: 1 }), [{ text: 'hola', n: 1 }, 'handled']);
  assert.deepEqual(await ask('wrong'), [{ error: { code: 'WRONG', message: 'no' } }]);
  for (const event of ['nonsense', 'redirected']) assert.equal((await ask(event))[0].error.code, 'HANDLER_FAILED');
  assert.deepEqual((await sala.ok('GET', '/v1/rooms?prefix=decided')).rooms.map(({ name }) => name), ['decided'], 'the decision’s room');
  const say = hook.received().find(({ type, args }) => type === 'sala.message' && args[0]?.text === 'hola');
  assert.deepEqual([say.path, say.subject], ['/hook', ana.id]);
  assert.ok(hook.received().every(({ path: at }) => at === '/hook'), 'redirects aren’t followed');
  assert.equal(await forwarder.end('SIGTERM'), 0);
  assert.match(forwarder.stderr, /\d+ events delivered, 2 not delivered/);
});

test('forward: kill -9 of the webhook loses no event that needs an answer, and keeps the order', async (t) => {
  const CLIENTS = 10;
  const EVENTS = 40; // of each
  const port = await freePort();
  const first = await webhook(t, port);
  const { sala, forwarder } = await start(t, port, ['--kind', 'message', '--answer-within', '9s', '--concurrency', '8']);
  const clients = [];
  for (let n = 0; n < CLIENTS; n++) clients.push(await login(t, sala, `user-${n}`, { transports: ['websocket'] }));
  const answers = clients.map((client) => Promise.all(Array.from({ length: EVENTS }, (_, n) => deadline(
    new Promise((resolve) => { client.emit('work', n, (...answer) => resolve(answer)); }), `the answer to ${n}`))));
  await first.see(() => first.received().length > CLIENTS * EVENTS / 4, 'some events');
  await first.end('SIGKILL');
  await forwarder.see(({ stderr }) => stderr.includes('retrying'), 'a failed attempt');
  const second = await webhook(t, port);

  for (const own of await Promise.all(answers)) assert.deepEqual(own, Array.from({ length: EVENTS }, (_, n) => [n, 'handled']));
  for (const { id } of clients) {
    // The event that the first was killed with comes twice, with the same id.
    const events = [...first.received(), ...second.received()].filter(({ subject }) => subject === id);
    const once = events.filter((event, at) => events.findIndex((other) => other.id === event.id) === at);
    assert.deepEqual(once.map(({ args }) => args[0]), Array.from({ length: EVENTS }, (_, n) => n));
    assert.ok(events.length <= EVENTS + 1);
  }
  assert.equal(await forwarder.end('SIGTERM'), 0);
  assert.match(forwarder.stderr, new RegExp(`${CLIENTS * EVENTS} events delivered, 0 not delivered`));
});

test('forward: kill -9 of the broker: the forwarder returns, and every event that needs an answer gets one', async (t) => {
  const CLIENTS = 5;
  const EVENTS = 40; // of each
  const port = await freePort();
  const hook = await webhook(t, port);
  const args = ['--listen', `127.0.0.1:${await freePort()}`, '--grpc-listen', `127.0.0.1:${await freePort()}`];
  const first = await Sala.start({ args });
  t.after(() => first.discard('SIGKILL'));
  const forwarder = forward(t, first, `http://127.0.0.1:${port}/hook`, ['--kind', 'message']);
  await subscribed(forwarder);
  // A stock client: it sends an event again until it has its ack.
  const options = { transports: ['websocket'], reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 500, retries: 1000, ackTimeout: 5000 };
  const clients = [];
  for (let n = 0; n < CLIENTS; n++) clients.push(await login(t, first, `user-${n}`, options));
  const ask = async (client, n) => {
    for (;;) {
      const answer = await new Promise((resolve) => { client.emit('work', n, (_, ...values) => resolve(values)); });
      // Until the forwarder has returned, the new broker answers that nobody handles the event.
      if (answer[0]?.error?.code !== 'NO_HANDLER') return answer;
      await sleep(20); // the broker limits how many events a client sends in a second
    }
  };
  const answers = clients.map(async (client) => {
    const own = [];
    for (let n = 0; n < EVENTS; n++) own.push(await deadline(ask(client, n), `the answer to ${n}`, 60_000));
    return own;
  });
  await hook.see(() => hook.received().length > CLIENTS * EVENTS / 4, 'some events');
  await first.discard('SIGKILL');
  const second = await Sala.start({ args });
  t.after(() => second.stop());

  for (const own of await Promise.all(answers)) assert.deepEqual(own, Array.from({ length: EVENTS }, (_, n) => [n, 'handled']));
  await subscribed(forwarder, 2);
  assert.match(forwarder.stderr, /not subscribed, retrying in /);
  assert.equal(await forwarder.end('SIGTERM'), 0);
});

test('forward: over TLS to the broker and to the webhook, with an authority of its own', async (t) => {
  const pem = await certificates(temporary(t));
  const port = await freePort();
  await webhook(t, port, { tls: [pem('server.pem'), pem('server.key')] });
  const sala = await Sala.start({ args: ['--control-tls-cert', pem('server.pem'), '--control-tls-key', pem('server.key')] });
  t.after(() => sala.stop());
  const to = `https://127.0.0.1:${port}/hook`;
  const trusting = ['--kind', 'message', '--tls-ca', pem('ca.pem')];
  const ana = await connect(t, sala, { token: sala.foreignToken({ sub: 'ana' }) });

  const stranger = forward(t, sala, to, ['--kind', 'message', '--tls-ca', pem('client.pem')]);
  await stranger.see(({ stderr }) => /certificate/.test(stderr), 'the untrusted broker');
  await stranger.end('SIGTERM');

  const wrong = forward(t, sala, to, [...trusting, '--ca', pem('client.pem'), '--answer-within', '200ms', '--group', 'wrong']);
  await subscribed(wrong);
  assert.equal((await ana.ask('say', 1)).error.code, 'HANDLER_UNAVAILABLE');
  assert.match(wrong.stderr, /the target doesn't answer, retrying: tls: failed to verify certificate: x509: certificate signed by unknown authority/);
  assert.equal(await wrong.end('SIGTERM'), 0);

  const right = forward(t, sala, to, [...trusting, '--ca', pem('ca.pem')]);
  await subscribed(right);
  assert.equal(await ana.ask('say', 1), 1);
  assert.equal(await right.end('SIGTERM'), 0);
});

test('forward: a webhook that is gone: clients get an error in time, also for the events that wait', async (t) => {
  const port = await freePort();
  const { sala, forwarder } = await start(t, port, ['--kind', 'message', '--answer-within', '500ms', '--retry-for', '60s', '--grace', '200ms']);
  const ana = await login(t, sala, 'ana');
  ana.emit('unanswered'); // holds up the others of its socket
  const answers = await Promise.all([1, 2, 3].map((n) => ana.ask('say', n)));
  assert.deepEqual(answers.map(({ error }) => error.code), Array(3).fill('HANDLER_UNAVAILABLE'));
  assert.equal(await forwarder.end('SIGINT'), 0);
  assert.match(forwarder.stderr, /^sala: event \d+ \(message\) could not be delivered: /m);
  assert.match(forwarder.stderr, /0 events delivered, 4 not delivered/);
});

test('forward: refuses to send events where they aren’t safe', async () => {
  for (const [args, message] of [
    [['--to', 'http://example.com/hook'], /plain text to another machine/],
    [['--to', 'ftp://example.com'], /--to must be a URL/],
    [['--to', 'https://me:password@example.com'], /--to must not contain a password/],
    [['--to', 'http://127.0.0.1:1', '--secret-file', '/dev/null'], /at least 24 bytes/],
    [['--to', 'http://127.0.0.1:1', '--concurrency', '0'], /between 1 and 1000/],
  ]) {
    const { code, stderr } = await run(SALA, ['forward', ...args]);
    assert.equal(code, 2, stderr);
    assert.match(stderr, message);
  }
});

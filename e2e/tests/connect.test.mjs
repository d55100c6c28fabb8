// sala connect: a Socket.IO client for the terminal.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { certificates } from '../helpers/certificates.mjs';
import { login } from '../helpers/client.mjs';
import { Line } from '../helpers/line.mjs';
import { Child, ROOT, SALA, run } from '../helpers/process.mjs';
import { API_KEY, Sala } from '../helpers/sala.mjs';
import { blocksOf } from '../helpers/snippets.mjs';
import { broker, fresh } from '../helpers/suite.mjs';
import { deadline, until } from '../helpers/wait.mjs';

// The pings are so rare that nothing can wait for one.
const shared = broker({ args: ['--ping-interval', '5m'] });

// start runs sala connect and waits until it is connected.
async function start(t, url, args) {
  const child = new Child(SALA, ['connect', url, '-o', 'json', ...args], { typing: true });
  t.after(() => child.end('SIGKILL'));
  child.type = (line) => child.process.stdin.write(`${line}\n`);
  // fact waits for the first line that fits, and returns it.
  child.fact = (fits, what) => child.see(() => facts(child).find(fits), what);
  await child.fact(({ kind }) => kind === 'connect', 'its connect');
  return child;
}

const facts = ({ stdout }) => stdout.slice(0, stdout.lastIndexOf('\n') + 1).split('\n').filter(Boolean).map(JSON.parse);

for (const transport of ['websocket', 'polling']) {
  test(`connect: joins, prints events, sends typed lines, answers acks, ends with its input, over ${transport}`, async (t) => {
    const room = fresh('connect');
    const ana = await login(t, shared.sala, 'ana');
    await ana.join(room);
    const ben = await start(t, shared.sala.url, ['--token', await shared.sala.token('ben'), '--transport', transport, '--join', room, '--ack', '{"yes":true}']);
    assert.deepEqual((await ben.fact(({ kind, event }) => kind === 'ack' && event === 'join', 'the ack of its join')).args, [{ ok: true }]);
    await ana.next('message'); // her own arrival
    assert.deepEqual(await ana.next('message'), [`ben ha entrado en la sala ${room}.`]);

    ben.type(`my_event {"room":"${room}","text":"hola","file":{"$binary":"aGk="}} 2`);
    const [first, second] = await ana.next('my_response');
    assert.deepEqual([first.text, Buffer.from(first.file).toString(), second], ['hola', 'hi', 2]);
    assert.deepEqual((await ben.fact(({ kind, event }) => kind === 'ack' && event === 'my_event', 'its ack')).args, [{ ok: true }]);
    assert.deepEqual((await ben.fact(({ event }) => event === 'my_response', 'its own event')).args[0].file, { $binary: 'aGk=' });

    const asked = await run(SALA, ['emit', 'ready', '--user', 'ben', '--ack'], { env: { SALA_SERVER: shared.sala.grpc, SALA_API_KEY: API_KEY } });
    assert.equal(asked.code, 0, asked.stderr);
    assert.match(asked.stdout, /\[\{"yes":true\}\]/);
    assert.equal((await ben.fact(({ event }) => event === 'ready', 'the question')).needsAck, true);

    assert.deepEqual((await shared.sala.ok('GET', '/v1/sockets?user=ben')).sockets.map((socket) => socket.transport), [transport]);

    ben.type('nobody handles this');
    ben.process.stdin.end();
    assert.equal(await deadline(ben.exited, 'its end'), 0);
    assert.equal(facts(ben).at(-1).args[0].error.code, 'NO_HANDLER', 'it waits for the last ack');
    await until(async () => (await shared.sala.ok('GET', '/v1/sockets?user=ben')).sockets.length === 0, 'the broker to learn that it has left');
  });
}

test('connect: returns as the same socket with what it missed, or as a new one in the same rooms', async (t) => {
  const line = await Line.to(shared.sala);
  t.after(() => line.stop());
  for (const [recovered, transport] of [[true, 'websocket'], [false, 'websocket'], [true, 'polling'], [false, 'polling']]) {
    const room = fresh('connect');
    const args = ['--token', await shared.sala.token('ben'), '--transport', transport, '--join', room, ...recovered ? ['--recover'] : []];
    const child = await start(t, line.url, args);
    await child.fact(({ kind, event }) => kind === 'ack' && event === 'join', 'its join');
    line.cut();
    await child.fact(({ kind }) => kind === 'disconnect', 'the cut');
    await shared.sala.emit([room], 'meanwhile', 1);
    line.repair();
    const back = await child.fact(({ kind, recovered: known }) => kind === 'connect' && known !== undefined, 'its return');
    assert.equal(back.recovered, recovered);
    assert.equal(back.socket === facts(child)[0].socket, recovered);
    if (!recovered) await child.see(() => facts(child).filter(({ kind, event }) => kind === 'ack' && event === 'join').length === 2, 'its second join');
    await shared.sala.emit([room], 'after', 2);
    await child.fact(({ event }) => event === 'after', 'the next event');
    assert.equal(facts(child).some(({ event }) => event === 'meanwhile'), recovered);
    assert.ok(facts(child).some(({ kind, attempt }) => kind === 'reconnecting' && attempt === 1));
    assert.equal(await child.end('SIGINT'), 0);
  }
});

test('connect: says why it can’t connect', async () => {
  for (const [args, code, message] of [
    [[shared.sala.url], 1, /refused the client: TOKEN_REQUIRED: /],
    [[`${shared.sala.url}/none`, '--token', 'x'], 1, /NAMESPACE_NOT_FOUND/],
    [['http://127.0.0.1:1'], 1, /can't reach a broker at http:\/\/127\.0\.0\.1:1: .*refused/],
    [[shared.sala.url, '--token', 'x'], 1, /refused the client: TOKEN_INVALID: /],
    [[shared.sala.url, '--path', '/other'], 1, /there is no Socket\.IO at \/other; --path must be that of the broker/],
    [[shared.sala.http], 1, /it is the broker's REST port; clients connect to the port of --listen/],
    [[`http://${shared.sala.grpc}`], 1, /like the broker's gRPC port; clients connect to the port of --listen/],
    [[shared.sala.url.replace('http:', 'https:')], 1, /it doesn't speak TLS; use http:\/\//],
    [['ftp://127.0.0.1:1'], 2, /use http, https, ws or wss/],
  ]) {
    const ended = await run(SALA, ['connect', ...args], { input: '' });
    assert.equal(ended.code, code, ended.stderr);
    assert.match(ended.stderr, message);
    assert.equal(ended.stdout, '');
  }
});

test('connect: trusts the authority of --tls-ca, and says what is wrong with a certificate', async (t) => {
  const dir = mkdtempSync(path.join(tmpdir(), 'sala-connect-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const pem = await certificates(dir);
  const sala = await Sala.start({ args: ['--tls-cert', pem('server.pem'), '--tls-key', pem('server.key')] });
  t.after(() => sala.stop());
  const url = sala.url.replace('http:', 'https:');
  for (const [args, code, message] of [
    [[url, '--tls-ca', pem('ca.pem')], 0, /connected as /],
    [[url], 1, /isn't signed by an authority that this machine trusts; name the authority with --tls-ca/],
    [[url, '--tls-ca', pem('client.pem')], 1, /isn't signed by the authority of --tls-ca/],
    [[url.replace('127.0.0.1', 'localhost'), '--tls-ca', pem('ca.pem')], 1, /isn't valid for localhost, but for 127\.0\.0\.1/],
    [[url, '--tls-ca', pem('server.key')], 1, /contains no certificate in PEM form/],
    [[sala.url], 1, /it speaks TLS; use https:\/\//],
  ]) {
    const ended = await run(SALA, ['connect', ...args, '--token', await sala.token('ana')], { input: '' });
    assert.equal(ended.code, code, ended.stderr);
    assert.match(ended.stderr, message);
  }
});

test('connect: ends with exit code 1 when the broker disconnects it, and after --count events', async (t) => {
  const gone = await start(t, shared.sala.url, ['--no-input', '--token', await shared.sala.token('cleo')]);
  await shared.sala.ok('POST', '/v1/sockets:disconnect', { selector: { users: ['cleo'] } });
  assert.equal(await deadline(gone.exited, 'its end'), 1);
  assert.match(gone.stderr, /the broker has disconnected the client/);

  const counted = await start(t, shared.sala.url, ['-n', '2', '--no-input', '--token', await shared.sala.token('dora')]);
  await run(SALA, ['emit', 'one', '--user', 'dora'], { env: { SALA_SERVER: shared.sala.grpc, SALA_API_KEY: API_KEY } });
  await run(SALA, ['emit', 'two', '--user', 'dora'], { env: { SALA_SERVER: shared.sala.grpc, SALA_API_KEY: API_KEY } });
  assert.equal(await deadline(counted.exited, 'its end'), 0);
  assert.deepEqual(facts(counted).filter(({ kind }) => kind === 'event').map(({ event }) => event), ['one', 'two']);
});

// What the page about the command line shows, without what differs each time.
const PAGE = blocksOf('docs/cli.md');
const plain = (text) => text.replaceAll(/^\d\d:\d\d:\d\d\.\d{3} /gm, 'TIME ').replaceAll(/\b[A-Z2-7]{26}\b/g, 'ID');

// command returns the block that begins so, and what a shell needs to run it.
function command(beginning, sala) {
  const at = PAGE.findIndex(({ text }) => text.startsWith(beginning));
  const key = /SALA_API_KEY='(\S+)'/.exec(sala.child.stdout)?.[1] ?? API_KEY;
  const here = (text) => text.replaceAll('http://127.0.0.1:3000', sala.url).replaceAll('http://127.0.0.1:9091', sala.http);
  const env = { PATH: `${path.dirname(SALA)}:${process.env.PATH}`, SALA_SERVER: sala.grpc, SALA_API_KEY: key };
  return { script: `exec 2>&1\n${here(PAGE[at].text)}`, next: PAGE.slice(at + 1).map(({ text }) => here(text)), env };
}

test('connect: prints what docs/cli.md shows', async (t) => {
  const sala = await Sala.dev();
  t.after(() => sala.stop());
  await sala.child.see(({ stdout }) => stdout.includes('SALA_API_KEY='), 'its key');
  const { script, next: [connected, typed], env } = command('sala connect http://127.0.0.1:3000', sala);
  const session = new Child('bash', ['-c', script], { env, typing: true });
  t.after(() => session.end('SIGKILL'));
  await session.see(({ stdout }) => stdout.split('\n').length > connected.trim().split('\n').length, 'what comes first');
  assert.equal(plain(session.stdout), plain(connected));

  const [line, ...answers] = typed.trim().split('\n');
  session.process.stdin.end(`${line}\n`);
  assert.equal(await deadline(session.exited, 'its end'), 0);
  assert.equal(plain(session.stdout.slice(connected.length)), plain(`${answers.join('\n')}\n`));
});

test('connect: prints the JSON that docs/cli.md describes', async () => {
  const { script, env } = command('echo ', shared.sala);
  const { code, stdout } = await run('bash', ['-c', script], { env: { ...env, TOKEN: await shared.sala.token('emil', { rooms: ['chat:42'] }) } });
  assert.equal(code, 0, stdout);
  const page = readFileSync(path.join(ROOT, 'docs/cli.md'), 'utf8');
  const fields = Object.fromEntries([...page.matchAll(/^\| `(\w+)` \| (.+) \|$/gm)].map(([, kind, text]) => [kind, [...text.matchAll(/`(\w+)`/g)].map(([, name]) => name)]));
  const printed = facts({ stdout });
  assert.deepEqual([...new Set(printed.map(({ kind }) => kind))].sort(), ['ack', 'connect', 'event']);
  for (const { time, kind, ...others } of printed) {
    assert.ok(Date.parse(time) > 0, time);
    for (const name of Object.keys(others)) assert.ok(fields[kind].includes(name), `${name} of ${kind}`);
  }
});

test('connect: says what docs/cli.md shows if the address is that of REST', async () => {
  const { script, next: [said], env } = command('sala connect http://127.0.0.1:9091', shared.sala);
  const { code, stdout } = await run('bash', ['-c', script], { env, input: '' });
  assert.equal(code, 1);
  assert.equal(stdout, said);
});

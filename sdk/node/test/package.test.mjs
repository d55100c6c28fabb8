// The package as its users get it: packed, and installed into an empty folder.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { before, after, test } from 'node:test';
import { promisify } from 'node:util';
import { API_KEY, Broker } from './broker.mjs';

const exec = promisify(execFile);
const ROOT = path.join(import.meta.dirname, '..');
const folder = mkdtempSync(path.join(tmpdir(), 'sala-node-'));
const npm = (...args) => exec('npm', [...args, '--no-audit', '--no-fund', '--loglevel=error'], { cwd: folder });

before(async () => {
  await npm('pack', ROOT, '--ignore-scripts');
  const [tarball] = readdirSync(folder);
  writeFileSync(path.join(folder, 'package.json'), '{"type": "module"}');
  await npm('install', '--prefer-offline', `./${tarball}`);
});
after(() => rmSync(folder, { recursive: true, force: true }));

test('the package has what it needs and no more', () => {
  const installed = path.join(folder, 'node_modules/@salabroker/sala');
  assert.deepEqual(readdirSync(installed).sort(), ['LICENSE', 'README.md', 'dist', 'package.json']);
  assert.equal(readFileSync(path.join(installed, 'LICENSE'), 'utf8'), readFileSync(path.join(ROOT, '../../LICENSE'), 'utf8'));
});

test('the first program of the README runs', async (t) => {
  const broker = await Broker.start(t);
  broker.methods.issueToken = ({ user, rooms }) => ({ token: `token of ${user} in ${rooms}`, tokenId: 'id', expireTime: new Date() });
  broker.methods.emit = () => ({ matched: 1, queued: 1, kept: 0, dropped: 0, partial: false, missingNodes: [], positions: [], unrecordedRooms: [], duplicate: false });
  const [, program] = /```js\n(import .*?)```/s.exec(readFileSync(path.join(ROOT, 'README.md'), 'utf8'));
  writeFileSync(path.join(folder, 'first.mjs'), program.replace('127.0.0.1:9090', broker.address));
  const child = spawn(process.execPath, ['first.mjs'], { cwd: folder, env: { ...process.env, SALA_API_KEY: API_KEY }, stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill());
  const [line] = await once(child.stdout, 'data');
  assert.equal(`${line}`, 'connect with this token: token of ana in lobby\n');
  const subscriber = await broker.subscribers.next();
  await subscriber.requests.next();
  subscriber.start();
  subscriber.send({ deliveryId: 'd', needsAck: true, args: ['hello'] });
  assert.equal((await subscriber.requests.next()).value.argsJson, '[{"ok":true}]');
  assert.equal(broker.calls.at(-1).request.argsJson, '[{"user":"ana","text":"hello"}]');
});

test('the types are complete', async () => {
  writeFileSync(path.join(folder, 'program.mts'), `
    import { Ack, ClientError, Refuse, SalaError, connect, type Accept, type Client, type EmitResult, type SocketEvent } from '@salabroker/sala';
    import { cluster } from '@salabroker/sala/stubs';

    await using sala: Client = connect('127.0.0.1:9090', { apiKey: 'key', tls: false });
    const sent: EmitResult = await sala.emit('news', [1], { rooms: ['r'], exceptUsers: 'ana' });
    const names: string[] = [];
    for await (const { name } of sala.rooms.list({ prefix: 'p' })) names.push(name, String(sent.matched));
    const verdict = await sala.tokens.verify('token');
    console.log(verdict.valid ? verdict.claims.user : verdict.reason);
    sala.stub(cluster.ClusterServiceClient).listNodes({}, (err, response) => console.log(err ?? response.nodes));
    const decide = ({ socket }: SocketEvent): Accept => {
      if (socket.user === 'mallory') throw new Refuse('BANNED', 'no');
      return { rooms: ['lobby'], data: { plan: 'pro' } };
    };
    await sala.subscribe({ group: 'g' })
      .on('say', (event) => (event.args.length > 0 ? new Ack(...event.args) : Promise.reject(new ClientError('EMPTY', 'say something'))))
      .decide(decide)
      .onUserOnline(({ user }) => console.log(user))
      .run({ signal: AbortSignal.timeout(1) })
      .catch((err: unknown) => { if (!(err instanceof SalaError && err.code === 'UNAUTHENTICATED')) throw err; });
    // @ts-expect-error: who the event is for is missing
    await sala.emit('news', []);
    // @ts-expect-error: there is no such code
    new SalaError('message', 'NOPE');
  `);
  await compile('program.mts');
});

test('the snippets of the README compile', async () => {
  const [first, ...snippets] = [...readFileSync(path.join(ROOT, 'README.md'), 'utf8').matchAll(/^```js\n(.*?)^```$/gms)].map(([, snippet]) => snippet);
  assert.ok(first.startsWith('import') && snippets.length === 2);
  writeFileSync(path.join(folder, 'snippets.mts'), `
    import { readFileSync } from 'node:fs';
    import { connect } from '@salabroker/sala';
    const sala = connect('127.0.0.1:9090', { apiKey: 'key' });
    ${snippets.map((snippet) => `await (async () => {\n${snippet.replaceAll('SALA_API_KEY', 'SALA_API_KEY!')}\n})();`).join('\n')}
  `);
  await compile('snippets.mts');
});

/** Compiles a program that uses the package. */
async function compile(program) {
  const compiler = path.join(ROOT, 'node_modules/typescript/bin/tsc');
  const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2022', '--lib', 'es2023,esnext.disposable', '--types', 'node', '--typeRoots', path.join(ROOT, 'node_modules/@types')];
  await exec(process.execPath, [compiler, ...options, program], { cwd: folder }).catch(({ stdout }) => assert.fail(stdout));
}

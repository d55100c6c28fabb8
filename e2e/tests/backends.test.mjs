// The chat example's backends in Go and in Node, with clients in Node and in
// Chromium.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { CLOSED_EARLY, browser, open } from '../helpers/browser.mjs';
import { login, refusal } from '../helpers/client.mjs';
import { Child, ROOT, run } from '../helpers/process.mjs';
import { API_KEY, Sala } from '../helpers/sala.mjs';
import { deadline } from '../helpers/wait.mjs';

const chromium = browser();
const dir = mkdtempSync(path.join(tmpdir(), 'sala-e2e-'));
const CLIENT = path.join(path.dirname(createRequire(import.meta.url).resolve('socket.io-client/package.json')), 'dist/socket.io.esm.min.js');
const GO = path.join(ROOT, 'examples/chat-backend-go');
const NODE = path.join(ROOT, 'examples/chat-backend-node');
const EXAMPLES = {
  Go: { command: path.join(dir, 'chat-backend-go'), args: [], cwd: GO },
  Node: { command: process.execPath, args: ['main.mjs'], cwd: NODE },
};

// The page contains only the client; the test drives it.
const page = createServer((request, response) => {
  const script = request.url === '/socket.io.js';
  response.setHeader('content-type', script ? 'text/javascript' : 'text/html');
  response.end(script ? readFileSync(CLIENT) : '<!doctype html><link rel="icon" href="data:,"><script type="module">import { io } from "/socket.io.js"; window.io = io;</script>');
});
let url;

before(async () => {
  const built = await run('go', ['build', '-o', EXAMPLES.Go.command, '.'], { cwd: GO, ms: 280_000 });
  assert.equal(built.code, 0, built.stderr);
  await new Promise((resolve) => page.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${page.address().port}`;
});
after(() => {
  page.close();
  page.closeAllConnections();
  rmSync(dir, { recursive: true, force: true });
});

for (const [language, { command, args, cwd }] of Object.entries(EXAMPLES)) {
  const start = async (t, sala) => {
    const file = path.join(dir, language);
    const child = new Child(command, args, { cwd, env: { SALA_SERVER: sala.grpc, SALA_API_KEY: API_KEY, CHAT_DB: file, CHAT_FILE: file } });
    t.after(() => child.end('SIGKILL'));
    await child.see(({ output }) => output.includes('listening'), 'its subscription');
    return child;
  };
  const broker = async (t) => {
    const sala = await Sala.start({ args: ['--allowed-origins', url, '--decide-required'] });
    t.after(() => sala.stop());
    return sala;
  };

  test(`the chat's backend in ${language} explains in one sentence what is wrong with its key`, async (t) => {
    const sala = await broker(t);
    for (const [key, says] of [['wrong-wrong-wrong-wrong', /the broker doesn't know this API key[^\n]*\n$/], ['', /^set SALA_API_KEY to an API key[^\n]*\n$/]]) {
      const file = path.join(dir, `unused by ${language}`);
      const { code, stderr } = await run(command, args, { cwd, env: { SALA_SERVER: sala.grpc, SALA_API_KEY: key, CHAT_DB: file, CHAT_FILE: file } });
      assert.equal(code, 1, stderr);
      assert.match(stderr, says);
      assert.equal(stderr.trim().split('\n').length, 1, stderr);
    }
  });

  test(`the chat's backend in ${language}, clients in Node`, async (t) => {
    const sala = await broker(t);
    let backend = await start(t, sala);
    const refused = await refusal(t, sala, { token: await sala.token('mallory') });
    assert.deepEqual([refused.data.code, refused.message], ['BANNED', 'you are banned from this chat']);

    const ada = await login(t, sala, 'ada');
    const ben = await login(t, sala, 'ben', { transports: ['polling'] });
    const ack = await ada.ask('say', { room: 'lobby', text: 'hello' });
    assert.deepEqual(Object.keys(ack).sort(), ['at', 'id']);
    for (const client of [ada, ben]) assert.deepEqual(await client.next('said'), [{ ...ack, room: 'lobby', user: 'ada', text: 'hello' }]);

    for (const [what, message, code] of [
      ['a forbidden word', { room: 'lobby', text: 'Buy SPAM!' }, 'MODERATED'],
      ['another room', { room: 'elsewhere', text: 'hello' }, 'NOT_IN_ROOM'],
      ['no text', { room: 'lobby' }, 'INVALID_ARGUMENT'],
      ['nothing', undefined, 'INVALID_ARGUMENT'],
      ['a number', 7, 'INVALID_ARGUMENT'],
    ]) assert.equal((await ada.ask('say', message)).error?.code, code, what);
    assert.deepEqual(await ada.ask('avatar', Buffer.from([0, 1, 255])), Buffer.from([0, 1, 255]));
    assert.equal((await ada.ask('dance')).error.code, 'NO_HANDLER');

    // Without an ack, and in order.
    for (let n = 0; n < 20; n++) ben.emit('say', { room: 'lobby', text: `${n}` });
    for (let n = 0; n < 20; n++) assert.equal((await ada.next('said'))[0].text, `${n}`);

    assert.equal(await backend.end(), 0, backend.output);
    assert.equal((await ada.ask('say', { room: 'lobby', text: 'anybody?' })).error.code, 'NO_HANDLER');
    backend = await start(t, sala);
    const history = await ada.ask('history', { room: 'lobby' });
    assert.deepEqual(history.map(({ text }) => text), ['hello', ...Array.from({ length: 20 }, (_, n) => `${n}`)]);
    assert.deepEqual(history[0], { ...ack, room: 'lobby', user: 'ada', text: 'hello' });
    const next = await ben.ask('say', { room: 'lobby', text: 'again' });
    assert.equal(next.id, history.at(-1).id + 1);
    assert.deepEqual(await ben.ask('history', { room: 'empty' }), []);
  });

  test(`the chat's backend in ${language} survives a restart of its broker`, async (t) => {
    const sala = await broker(t);
    const backend = await start(t, sala);
    await sala.stop();
    await backend.see(({ output }) => output.includes('stream has ended'), 'that it notices');
    const again = await Sala.start({ args: ['--grpc-listen', sala.grpc, '--decide-required'] });
    t.after(() => again.stop());
    await backend.see(({ output }) => output.match(/listening/g).length === 2, 'its second stream');
    const ada = await login(t, again, 'ada');
    assert.ok((await ada.ask('say', { room: 'lobby', text: 'back' })).id);
    assert.equal(await backend.end(), 0, backend.output);
  });

  test(`the chat's backend in ${language}, clients in Chromium`, async (t) => {
    const sala = await broker(t);
    const backend = await start(t, sala);
    const visit = async (user) => {
      const tab = await open(t, chromium, url, user === 'mallory' ? { expected: CLOSED_EARLY } : {});
      await tab.waitForFunction(() => window.io);
      const connected = await tab.evaluate(([address, token]) => new Promise((resolve) => {
        window.received = [];
        window.socket = window.io(address, { auth: { token } });
        window.socket.on('connect', () => resolve('connected'));
        window.socket.on('connect_error', (err) => resolve(err.data.code));
        window.socket.on('said', (message) => window.received.push(message.text));
      }), [sala.url, await sala.token(user)]);
      return { tab, connected, ask: (...call) => tab.evaluate((all) => window.socket.timeout(10_000).emitWithAck(...all), call) };
    };
    assert.equal((await visit('mallory')).connected, 'BANNED');
    const ada = await visit('ada');
    const ben = await visit('ben');
    assert.equal(ada.connected, 'connected');
    const text = `from a browser, ${language}`;
    const { id } = await ada.ask('say', { room: 'lobby', text });
    assert.ok(id > 0);
    for (const { tab } of [ada, ben]) await tab.waitForFunction((said) => window.received.includes(said), text);
    assert.equal((await ben.ask('say', { room: 'lobby', text: 'scam' })).error.code, 'MODERATED');
    assert.equal((await ben.ask('history', { room: 'lobby' })).at(-1).text, text);
    const bytes = await ada.tab.evaluate(async () => [...new Uint8Array(await window.socket.timeout(10_000).emitWithAck('avatar', new Uint8Array([9, 0, 255])))]);
    assert.deepEqual(bytes, [9, 0, 255]);
    assert.equal(await deadline(backend.end(), 'the end of the backend'), 0, backend.output);
  });
}

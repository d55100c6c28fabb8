// Follows docs/tutorial.md in each language, changing only addresses, and how two of the libraries are installed.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { browser, open } from '../helpers/browser.mjs';
import { connect } from '../helpers/client.mjs';
import { ROOT } from '../helpers/process.mjs';
import { Sala } from '../helpers/sala.mjs';
import { Reader, commands, section, tab } from '../helpers/tutorial.mjs';
import { until } from '../helpers/wait.mjs';

const [BROKER, BACKEND, ANNOUNCE] = [section(1), section(3), section(5)];
const PYTHON = `env PYTHONUNBUFFERED=1 PYTHONPATH=${path.join(ROOT, 'sdk/python/src')} /usr/bin/python3`;

// Installing from a registry is left out; the tests of the libraries do that. A program replaces the shell, so that it gets
// the signal that Ctrl-C sends: go run, which passes none on, is replaced by go build.
const LANGUAGES = {
  Go: {
    install: (reader, block) => reader.run(block),
    run: (block) => block.replace(/^go run (.*)/, 'go build -o program $1\nexec ./program'),
  },
  Node: {
    install: ({ folder }) => {
      mkdirSync(path.join(folder, 'node_modules/@salabroker'), { recursive: true });
      symlinkSync(path.join(ROOT, 'sdk/node'), path.join(folder, 'node_modules/@salabroker/sala'));
    },
    run: (block) => `exec ${block}`,
  },
  Python: { install: () => {}, run: (block) => block.replace('.venv/bin/python', `exec ${PYTHON}`) },
};

// follow runs the broker as the tutorial says.
async function follow(t) {
  const [, flags] = /^go run \.\/cmd\/sala serve --dev ([^\n]*)$/m.exec(commands(BROKER)[0]);
  const sala = await Sala.dev({ args: flags.replaceAll("'", '').split(' ') });
  t.after(() => sala.stop());
  await sala.child.see(({ stdout }) => stdout.includes('SALA_API_KEY='), 'the API key');
  return new Reader(t, sala);
}

// startBackend runs the backend in a language, and returns it with the tokens that it prints.
async function startBackend(t, reader, name) {
  const backend = reader.start(LANGUAGES[name].run(commands(tab(BACKEND, name)).at(-1)));
  t.after(() => backend.end('SIGKILL'));
  const tokens = await backend.see(({ stdout }) => {
    const found = Object.fromEntries([...stdout.matchAll(/^token of (\w+): (\S+)\n/gm)].map(([, user, token]) => [user, token]));
    return found.ana && found.ben && found;
  }, 'two tokens', 120_000);
  return { backend, tokens };
}

// say speaks until a backend is there to answer, and returns its ack.
function say(client, text) {
  return until(async () => {
    const ack = await client.ask('say', text);
    return ack.error?.code !== 'NO_HANDLER' && ack;
  }, 'a backend that answers');
}

for (const [name, { install, run }] of Object.entries(LANGUAGES)) {
  test(`the chat in ${name}`, async (t) => {
    const reader = await follow(t);
    reader.save(tab(BACKEND, name));
    reader.save(tab(ANNOUNCE, name));
    await install(reader, commands(tab(BACKEND, name))[0]);
    const { backend, tokens } = await startBackend(t, reader, name);
    const [ana, ben] = await Promise.all(['ana', 'ben'].map((user) => connect(t, reader.sala, { token: tokens[user] })));

    assert.deepEqual(await say(ana, 'hello'), { ok: true });
    for (const client of [ana, ben]) assert.deepEqual(await client.next('said'), [{ user: 'ana', text: 'hello' }]);
    assert.deepEqual(await ben.ask('say', ''), { error: { code: 'EMPTY', message: 'say something' } });

    assert.equal(await reader.run(run(commands(tab(ANNOUNCE, name))[0])), 'sent to 2\n');
    for (const client of [ana, ben]) assert.deepEqual(await client.next('said'), [{ user: 'news', text: 'lunch is ready' }]);

    await backend.end('SIGINT');
    assert.equal((await ana.ask('say', 'hello?')).error.code, 'NO_HANDLER');
    await startBackend(t, reader, name);
    assert.deepEqual(await say(ana, 'back'), { ok: true });
    assert.deepEqual(await ben.next('said'), [{ user: 'ana', text: 'back' }]);
  });
}

test('with curl', async (t) => {
  const reader = await follow(t);
  const [ana, ben] = (await reader.run(commands(tab(BACKEND, 'curl'))[0])).trim().split('\n').map((line) => JSON.parse(line));
  const clients = await Promise.all([ana, ben].map(({ token }) => connect(t, reader.sala, { token })));
  assert.equal((await clients[0].ask('say', 'hello')).error.code, 'NO_HANDLER');
  await reader.run(commands(tab(ANNOUNCE, 'curl'))[0]);
  for (const client of clients) assert.deepEqual(await client.next('said'), [{ user: 'news', text: 'lunch is ready' }]);
});

const shared = browser();

test('the page', async (t) => {
  const reader = await follow(t);
  reader.save(section(2));
  reader.save(tab(BACKEND, 'Python'));
  const { tokens } = await startBackend(t, reader, 'Python');
  const client = readFileSync(path.join(ROOT, 'e2e/node_modules/socket.io-client/dist/socket.io.min.js'));
  const [ana, ben] = await Promise.all(['ana', 'ben'].map(async (user) => {
    const page = await open(t, shared, 'about:blank');
    page.on('dialog', (dialog) => dialog.accept(tokens[user]));
    await page.route('https://cdn.socket.io/**', (route) => route.fulfill({ body: client, contentType: 'text/javascript' }));
    await page.goto(pathToFileURL(path.join(reader.folder, 'chat.html')).href);
    await page.getByText('connected').waitFor();
    return page;
  }));
  await ana.locator('#text').fill('hello');
  await ana.locator('#text').press('Enter');
  for (const page of [ana, ben]) await page.getByText('ana: hello').waitFor();
  await ben.getByRole('button').click();
  await ben.getByText('not sent: say something').waitFor();
  for (const page of [ana, ben]) await page.close(); // before the broker ends
});

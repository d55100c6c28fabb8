// Who may see and do what in the console: keys of each scope, wrong and revoked keys, and what
// must never leave or enter the page.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { browser } from '../helpers/browser.mjs';
import { login } from '../helpers/client.mjs';
import { Keys, PAGES, SCOPES, enter, go, signIn, visit } from '../helpers/console.mjs';
import { Leaks, canary } from '../helpers/leaks.mjs';
import { ROOT, run } from '../helpers/process.mjs';
import { CONFIG, Sala } from '../helpers/sala.mjs';
import { until } from '../helpers/wait.mjs';

const chromium = browser();
const keys = new Keys();
const few = canary();
const leaks = new Leaks();
leaks.add('the key of an operator', keys.all);
for (const [scope, key] of Object.entries(keys.of)) leaks.add(`the key with ${scope}`, key);
leaks.add('a key with few rooms', few);

const config = { ...CONFIG, api_key: [...keys.config, `few=${few}:rooms:read:/:chat:*,emit:/:chat:*,sockets:read:/`] };
const closers = [];
let sala;
let ana;
before(async () => {
  sala = await Sala.start({ config });
  const idle = { after: (close) => closers.push(close) };
  const { token } = await sala.ok('POST', '/v1/tokens', { user: 'ana', rooms: ['chat:42', 'other'] }, { key: keys.all });
  ana = await login(idle, { url: sala.url, token: () => token }, 'ana');
});
after(() => {
  closers.forEach((close) => close());
  return sala.stop();
});

// What each scope is needed for, beside reading a page: a path, the button there, and the call.
const ACTIONS = [
  { scope: 'emit', at: '/rooms/%2F/chat%3A42', button: 'Emit', call: ['POST', '/v1/emit', { rooms: ['chat:42'], event: 'e', args: [] }] },
  { scope: 'rooms:clear', at: '/rooms/%2F/chat%3A42', button: 'Clear room', call: ['POST', '/v1/rooms/chat:42:clear', {}] },
  { scope: 'messages:write', at: '/rooms/%2F/chat%3A42', button: 'Clear history', call: ['DELETE', '/v1/rooms/chat:42/messages'] },
  { scope: 'sockets:write', at: () => `/sockets/${ana.id}`, button: 'Disconnect', call: ['POST', '/v1/sockets:disconnect', { selector: { users: ['ana'] } }] },
  { scope: 'tokens:issue', at: () => `/sockets/${ana.id}`, button: 'Revoke tokens', call: ['POST', '/v1/tokens:revoke', { user: 'ana' }] },
];

const READS = {
  '/rooms': '/v1/rooms', '/sockets': '/v1/sockets', '/users': '/v1/users', '/tail': '/v1/events', '/explain': '/v1/explain?user=ana', '/backends': '/v1/groups', '/limits': '/v1/limits',
};

describe('a key of each scope', () => {
  for (const scope of SCOPES) {
    test(scope, async (t) => {
      const key = keys.of[scope];
      const page = await signIn(t, chromium, sala, key, { leaks });
      for (const [at, { name, scopes }] of Object.entries(PAGES)) {
        const allowed = scopes.includes(scope);
        const link = page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: new RegExp(`^${name}`) });
        assert.equal(await link.evaluate((element) => element.classList.contains('locked')), !allowed, `${name} in the navigation`);
        if (allowed) continue;
        await go(page, at);
        await page.getByText('Your key does not allow this').waitFor();
        await page.getByText(`The key lacks the scope ${scopes[0]}.`).first().waitFor();
        if (READS[at]) assert.equal((await sala.rest('GET', READS[at], undefined, { key })).status, 403, `${READS[at]} with a key that has ${scope} only`);
      }
      assert.ok(!page.watch.paths.some((asked) => /^\/v1\/(?!keys:self)/.test(asked) && !allowedPaths(scope).some((each) => asked.startsWith(each))), `it asked only for what it may: ${page.watch.paths}`);
      await page.watch.check();
    });
  }
});

// The paths that pages may ask for with a scope.
const allowedPaths = (scope) => Object.entries(READS).filter(([at]) => PAGES[at].scopes.includes(scope)).map(([, asked]) => asked.split('?')[0]).concat(scope === 'cluster:read' ? ['/v1/nodes', '/v1/stats'] : []);

test('actions that a key may not do are disabled, say why, and are refused anyway', async (t) => {
  const reader = canary();
  leaks.add('a reader’s key', reader);
  const other = await Sala.start({ config: { ...config, api_key: [`ops=${keys.all}`, `reader=${reader}:rooms:read,sockets:read`] } });
  t.after(() => other.stop());
  const { token } = await other.ok('POST', '/v1/tokens', { user: 'ana', rooms: ['chat:42'] }, { key: keys.all });
  const client = await login(t, { url: other.url, token: () => token }, 'ana');
  const page = await signIn(t, chromium, other, reader, { leaks });
  for (const { scope, at, button, call } of ACTIONS) {
    await go(page, typeof at === 'string' ? at : `/sockets/${client.id}`);
    const found = page.getByRole('button', { name: button, exact: true });
    await found.waitFor();
    assert.equal(await found.getAttribute('aria-disabled'), 'true', button);
    assert.match(await found.getAttribute('title'), new RegExp(`lacks the scope ${scope}`));
    await found.press('Enter');
    assert.equal(await page.getByRole('dialog').count(), 0);
    await page.getByRole('status').filter({ hasText: scope }).first().waitFor();
    const { status, body } = await other.rest(...call.slice(0, 2), call[2], { key: reader });
    assert.equal(status, 403, `${call.slice(0, 2).join(' ')}: ${JSON.stringify(body)}`);
  }
  await page.watch.check();
});

test('limits of a key to rooms and namespaces hold', async (t) => {
  const page = await signIn(t, chromium, sala, few, { leaks, path: '/rooms', expected: /403/ });
  await page.getByRole('link', { name: 'chat:42' }).waitFor();
  assert.equal(await page.getByRole('link', { name: 'other' }).count(), 0);
  await go(page, '/send?room=other');
  await page.getByLabel('Event name').fill('news');
  const send = page.getByRole('button', { name: 'Send', exact: true });
  assert.match(await send.getAttribute('title'), /does not reach the room other/);
  await page.getByLabel('Rooms', { exact: true }).fill('chat:42');
  await send.click();
  await page.getByText('Sent to 1 socket').waitFor();
  await page.getByLabel('Users', { exact: true }).fill('ana'); // the page can't know that this is refused
  await send.click();
  await page.getByRole('alert').filter({ hasText: 'SCOPE_DENIED' }).waitFor();
  await page.watch.check();
});

test('a wrong key, and the right one after it', async (t) => {
  const wrong = leaks.add('a wrong key', canary());
  const page = await visit(t, chromium, sala, { leaks, expected: /401/ });
  for (const key of [wrong, 'ключ', ' ']) {
    await page.getByLabel('API key').fill(key);
    await page.keyboard.press('Enter');
    if (key.trim()) await page.getByRole('alert').filter({ hasText: 'does not accept this key' }).waitFor();
  }
  await enter(page, ` ${keys.all} `);
  await page.watch.check();
  await page.reload();
  await page.getByLabel('API key').waitFor();
  assert.equal(await page.getByLabel('API key').inputValue(), '', 'a reload forgets the key');
  await page.watch.shows();
});

test('a key that is revoked while somebody is signed in', async (t) => {
  const config = (key) => ({ ...CONFIG, api_key: [`ops=${keys.all}`, `mine=${key}:rooms:read,emit,events`] });
  const old = leaks.add('a key to revoke', canary());
  const other = await Sala.start({ config: config(old), args: ['--audit-log', '-'] });
  t.after(() => other.stop());
  const page = await signIn(t, chromium, other, old, { leaks, path: '/tail', expected: /401/ });
  await page.getByRole('status').filter({ hasText: 'Live' }).waitFor();
  const fresh = leaks.add('its replacement', canary());
  await other.reconfigure(config(fresh));
  const dialog = page.getByRole('dialog'); // comes at once: the stream has ended
  await dialog.getByText('no longer accepts the key').waitFor();
  assert.equal((await other.rest('GET', '/v1/rooms', undefined, { key: old })).status, 401);
  await dialog.getByLabel('API key').fill(old);
  await page.keyboard.press('Enter');
  await dialog.getByRole('alert').filter({ hasText: 'does not accept this key' }).waitFor();
  await dialog.getByLabel('API key').fill(fresh);
  await page.keyboard.press('Enter');
  await dialog.waitFor({ state: 'detached' });
  await page.getByRole('status').filter({ hasText: 'Live' }).waitFor();
  await go(page, '/send?room=lobby');
  await page.getByLabel('Event name').fill('half written');
  const last = leaks.add('the replacement of the replacement', canary());
  await other.reconfigure(config(last));
  await page.getByRole('button', { name: 'Send', exact: true }).click();
  await dialog.getByLabel('API key').fill(last);
  await page.keyboard.press('Enter');
  await dialog.waitFor({ state: 'detached' });
  assert.equal(await page.getByLabel('Event name').inputValue(), 'half written', 'nothing is lost');
  await page.getByRole('button', { name: 'Send', exact: true }).click();
  await page.getByText('Nobody matched').waitFor();
  for (const line of ['"key":"mine","peer":"","method":"Keys/Revoke"', '"method":"/sala.v1.ObserveService/Tail","code":"UNAUTHENTICATED","reason":"API_KEY_INVALID"']) {
    await other.child.see(({ stdout }) => stdout.includes(line), `${line} in the audit log`);
  }
  leaks.none('the output of the broker', other.child.output);
  await page.watch.check();
});

test('a key whose scopes change while somebody is signed in', async (t) => {
  const mine = leaks.add('a key that loses a scope', canary());
  const config = (scopes) => ({ ...CONFIG, api_key: [`ops=${keys.all}`, `mine=${mine}:${scopes}`] });
  const other = await Sala.start({ config: config('rooms:read,emit') });
  t.after(() => other.stop());
  const page = await signIn(t, chromium, other, mine, { leaks, path: '/send?room=lobby', expected: /403/ });
  await page.getByLabel('Event name').fill('half written');
  await other.reconfigure(config('rooms:read,events'));
  await page.getByRole('button', { name: 'Send', exact: true }).click();
  await page.getByText('The key lacks the scope emit. Sign in').waitFor();
  await go(page, '/rooms');
  await page.getByText('There are no rooms').waitFor();
  await go(page, '/tail');
  await page.getByRole('status').filter({ hasText: 'Live' }).waitFor();
  await other.reconfigure(config('rooms:read'));
  await page.getByText('The key lacks the scope events.').first().waitFor();
  await page.watch.check();
});

test('names with HTML in them, or with characters that hide, are text everywhere', async (t) => {
  const evil = '<img src=x onerror="window.hacked=1">';
  const turned = 'abc\u202Ecba';
  const { token } = await sala.ok('POST', '/v1/tokens', { user: evil, rooms: [evil, turned], join: ['**'], publish: ['**'], data: { note: evil } }, { key: keys.all });
  const client = await login(t, { url: sala.url, token: () => token }, evil);
  const page = await signIn(t, chromium, sala, keys.all, { leaks, expected: /400|404/ });
  const name = encodeURIComponent(evil);
  const shown = async (at) => {
    await go(page, at);
    await page.getByText('onerror').first().waitFor();
    assert.equal(await page.locator('main img[src="x"]').count(), 0, at);
  };
  await go(page, '/tail');
  await page.getByRole('status').filter({ hasText: 'Live' }).waitFor();
  await client.ask('my_event', { room: evil, text: evil });
  await sala.ok('POST', '/v1/emit', { rooms: [evil], event: evil, args: [evil] }, { key: keys.all });
  await page.locator('.happening').filter({ hasText: 'emit' }).filter({ hasText: 'onerror' }).first().click();
  for (const at of ['/rooms', `/rooms/%2F/${name}`, '/sockets', `/sockets/${client.id}`, '/users', `/explain?user=${name}&room=${name}`, `/sockets?user=${name}`]) await shown(at);
  await go(page, `/send?room=${name}`);
  await page.getByLabel('Event name').fill(evil);
  await page.getByRole('button', { name: 'Send', exact: true }).click();
  await page.getByText('Sent to 1 socket').waitFor();
  await go(page, '/rooms');
  await page.getByText('U+202E').first().waitFor();
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  await page.watch.check();
});

test('rooms whose names mean something in addresses open, over REST too', async (t) => {
  const rooms = ['.', '..', '...', 'a/b', '/', '100%', '%2E', 'a?b=c', 'a#b', 'a b', '😀', 'x:clear', 'a/../b'];
  const { token } = await sala.ok('POST', '/v1/tokens', { user: 'dora', rooms }, { key: keys.all });
  await login(t, { url: sala.url, token: () => token }, 'dora');
  const page = await signIn(t, chromium, sala, keys.all, { leaks, path: '/rooms', expected: /400|404/ }); // these rooms have no history
  for (const room of rooms) {
    await page.locator('main').getByRole('link', { name: room, exact: true }).first().click();
    await page.locator('main h1').filter({ hasText: room }).waitFor();
    await page.getByRole('link', { name: 'dora', exact: true }).first().waitFor();
    const answer = await page.evaluate(async ([room, key]) => {
      const at = room === '.' || room === '..' ? `/v1/rooms:get?room=${room}` : `/v1/rooms/${encodeURIComponent(room)}`;
      return (await fetch(at, { headers: { authorization: `Bearer ${key}` } })).json();
    }, [room, keys.all]);
    assert.equal(answer.name, room);
    await go(page, '/rooms');
  }
  await go(page, '/rooms/%2F/.');
  await page.getByRole('button', { name: 'Clear room', exact: true }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Clear room', exact: true }).click();
  await page.getByText('One socket was removed').waitFor();
  await page.watch.check();
});

test('brokers of two versions behind the same address', async (t) => {
  const other = await Sala.start({ config, program: await anotherVersion(t) });
  t.after(() => other.stop());
  const nodes = [sala, other];
  let turn = 0;
  const front = http.createServer((request, response) => {
    const at = nodes[request.url.startsWith('/console/') ? 0 : turn++ % 2]; // the page is of one version
    const passed = http.request(at.http + request.url, { method: request.method, headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    passed.on('error', () => response.destroy());
    response.on('close', () => passed.destroy());
    request.pipe(passed);
  }).listen(0, '127.0.0.1');
  await once(front, 'listening');
  t.after(() => { front.close(); front.closeAllConnections(); });
  const page = await signIn(t, chromium, { http: `http://127.0.0.1:${front.address().port}` }, keys.all, { leaks, path: '/rooms' });
  await page.getByRole('status').filter({ hasText: 'version 99.0.0 answers now' }).waitFor(); // within a few calls
  await page.getByRole('button', { name: 'Later' }).click();
  await page.getByText('99.0.0').waitFor({ state: 'detached' });
  const before = turn;
  await until(() => turn > before + 4, 'both to answer again');
  assert.equal(await page.getByText('99.0.0').count(), 0, 'it is said once');
  await page.watch.check();
});

// anotherVersion builds the broker with another version, and returns the path of the program.
async function anotherVersion(t) {
  const dir = mkdtempSync(path.join(tmpdir(), 'sala-e2e-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const program = path.join(dir, 'sala');
  const flags = '-s -w -X github.com/salabroker/sala/cmd/sala/internal/buildinfo.version=99.0.0';
  const { code, stderr } = await run('go', ['build', '-tags', 'grpcnotrace', '-trimpath', '-ldflags', flags, '-o', program, './cmd/sala'], { env: { CGO_ENABLED: '0' }, ms: 280_000 });
  assert.equal(code, 0, stderr);
  return program;
}

test('a broker that lacks a call', async (t) => {
  const page = await visit(t, chromium, sala, { leaks, expected: /404|501/ });
  await page.route('**/v1/groups*', (route) => route.fulfill({ status: 404, json: { code: 5, message: 'no such path', details: [{ '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'PATH_NOT_FOUND' }] } }));
  await enter(page, keys.all);
  await go(page, '/backends');
  await page.getByRole('alert').filter({ hasText: 'another release' }).waitFor();
});

test('the policy of the page lets it reach only its broker, and run only its own scripts', async (t) => {
  const page = await visit(t, chromium, sala, { expected: /Content Security Policy|Failed to load|Fetch API|Connecting to|Executing inline|Applying inline/ });
  const policy = (await sala.rest('GET', '/console/', undefined, { key: '' })).headers.get('content-security-policy');
  for (const part of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"]) assert.ok(policy.includes(part), `${part} in ${policy}`);
  assert.ok(!/unsafe|\*/.test(policy), policy);
  assert.equal(await page.evaluate(() => fetch('http://127.0.0.1:9/').then(() => 'reached', (err) => err.name)), 'TypeError');
  assert.equal(await page.evaluate(() => {
    const script = document.createElement('script');
    script.textContent = 'window.inlineRan = true';
    document.head.append(script);
    return window.inlineRan ?? false;
  }), false);
  for (const name of ['', 'console.js', 'style.css', 'config.json']) {
    const { headers, status } = await sala.rest('GET', `/console/${name}`, undefined, { key: '' });
    assert.equal(status, 200, name);
    assert.equal(headers.get('x-content-type-options'), 'nosniff', name);
    assert.equal(headers.get('set-cookie'), null, name);
  }
});

test('all of it takes at most 150 KB, compressed', () => {
  const dist = path.join(ROOT, 'api/console/dist');
  const size = readdirSync(dist).reduce((sum, file) => sum + gzipSync(readFileSync(path.join(dist, file))).length, 0);
  assert.ok(size <= 150_000, `${size} bytes`);
});

test('--console=off turns it off', async (t) => {
  const off = await Sala.start({ config, args: ['--console=off'] });
  t.after(() => off.stop());
  for (const at of ['/console/', '/console/console.js', '/console/config.json']) assert.equal((await off.rest('GET', at, undefined, { key: '' })).status, 404, at);
  await off.ok('GET', '/v1/rooms', undefined, { key: keys.all });
});

// The published page of the official Socket.IO Admin UI, in Chromium.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Manager } from 'socket.io-client';
import { adminUI, signIn } from '../helpers/adminui.mjs';
import { CLOSED_EARLY, browser, open, shoot } from '../helpers/browser.mjs';
import { connect, open as tryConnect } from '../helpers/client.mjs';
import { Cluster } from '../helpers/cluster.mjs';
import { API_KEY, CONFIG, Sala, logLines } from '../helpers/sala.mjs';
import { until } from '../helpers/wait.mjs';

const WATCHER = 'watcher-key-of-the-e2e-tests';
const KEYS = [`ops=${API_KEY}`, `watcher=${WATCHER}:cluster:read,sockets:read,events`];

// What the console of the page says when a broker ends.
const EXPECTED = new RegExp(`net::ERR_|WebSocket connection to|${CLOSED_EARLY.source}`);

const chromium = browser();
const ui = adminUI();
const started = [];
after(() => Promise.all(started.map((sala) => sala.stop())));

async function start({ keys = KEYS, args = [], config = {} } = {}) {
  const sala = await Sala.start({ args: ['--admin-ui', '--allowed-origins', ui.origin, '--audit-log', '-', ...args], config: { ...CONFIG, api_key: keys, ...config } });
  started.push(sala);
  return sala;
}

const visit = (t) => open(t, chromium, ui.origin, { expected: EXPECTED });
const see = (page, text) => page.getByText(new RegExp(`^\\s*${text}\\s*$`, 'i')).first().waitFor();
// shown returns once a view is shown alone: the one before it slides away.
const shown = (page, name) => page.waitForFunction((wanted) => {
  const views = [...document.querySelectorAll('.v-breadcrumbs')].map((view) => view.textContent.trim());
  return views.length === 1 && views[0].endsWith(wanted);
}, name);

async function go(page, name) {
  await page.getByRole('navigation').getByText(name, { exact: true }).click();
  await shown(page, name);
}

const row = (page, text) => page.locator('tbody tr').filter({ hasText: text });
const button = (within, icon) => within.locator(`button:has(.mdi-${icon})`);

// audited returns the lines of the audit log with the method, as "key code target".
const audited = (sala, method) => sala.child.stdout.split('\n').filter((line) => line.includes(`${method}"`))
  .map((line) => JSON.parse(line)).map(({ key, code, target = {} }) => `${key} ${code} ${JSON.stringify(target)}`);

// wantAudited waits for these lines, which come after the action that they are about.
async function wantAudited(sala, method, lines) {
  await until(() => audited(sala, method).length >= lines.length, `${lines.length} lines about ${method} in the audit log`);
  assert.deepEqual(audited(sala, method), lines);
}

test('sign in, look around, join, leave, disconnect', async (t) => {
  const sala = await start();
  const ana = await connect(t, sala, { token: await sala.token('ana') });
  const page = await visit(t);
  await signIn(page, sala, 'ops', 'a wrong key');
  await see(page, 'Invalid credentials');
  await shoot(page, 'admin-ui-refused');
  await signIn(page, sala, 'watcher', API_KEY);
  await until(() => audited(sala, 'AdminUI/SignIn').length === 2, 'the second refusal');
  await see(page, 'Invalid credentials');
  await signIn(page, sala, 'ops', API_KEY);
  await see(page, 'CONNECTED');
  await see(page, 'HEALTHY');
  await shoot(page, 'admin-ui-dashboard');

  await go(page, 'Sockets');
  await row(page, ana.id).waitFor();
  const ben = await connect(t, sala, { token: await sala.token('ben') });
  await ben.join('chat');
  await row(page, ben.id).click();
  await shown(page, 'details');
  await see(page, 'chat');
  assert.match(await page.locator('pre').textContent(), /"user": "ben"/);
  await page.getByLabel('Join a room').fill('lobby');
  await page.locator('form').getByRole('button').click();
  await row(page, 'lobby').waitFor();
  await shoot(page, 'admin-ui-socket');
  assert.deepEqual(await rooms(sala, ben), ['chat', 'lobby']);
  await button(row(page, 'chat'), 'tag-off-outline').click(); // the page goes to the room as well
  await shown(page, 'details');
  await until(async () => String(await rooms(sala, ben)) === 'lobby', 'the socket to leave');

  await go(page, 'Rooms');
  await row(page, 'lobby').waitFor();
  await row(page, 'chat').waitFor({ state: 'detached' });
  await shoot(page, 'admin-ui-rooms');
  await ana.join('lobby');
  await row(page, 'lobby').getByText('2').waitFor();
  await button(row(page, 'lobby'), 'tag-off-outline').click(); // clear
  await until(async () => (await rooms(sala, ana)).length === 0, 'the room to be empty');
  await shown(page, 'details');
  await go(page, 'Rooms');
  await row(page, 'lobby').waitFor({ state: 'detached' });

  await go(page, 'Sockets');
  const { id } = ana; // which the client forgets
  await button(row(page, id), 'logout').click();
  assert.equal((await ana.next('sala:disconnect'))[0].code, 'DISCONNECTED');
  await shown(page, 'details');
  await go(page, 'Sockets');
  await row(page, ben.id).waitFor();
  await row(page, id).waitFor({ state: 'detached' });

  ben.emit('hello', { secret: 42 });
  await go(page, 'Events');
  await row(page, 'hello').waitFor();
  for (const type of ['Connection', 'Disconnection', 'Room joined', 'Room left']) await row(page, type).first().waitFor();
  await shoot(page, 'admin-ui-events');

  await wantAudited(sala, 'AdminUI/SignIn', [' UNAUTHENTICATED {}', ' UNAUTHENTICATED {}', 'ops OK {}']);
  await wantAudited(sala, 'SocketService/Leave', [
    `ops OK {"namespaces":["/"],"sockets":["${ben.id}"]}`, 'ops OK {"namespaces":["/"],"rooms":["lobby"]}',
  ]);
  await wantAudited(sala, 'SocketService/Disconnect', [`ops OK {"namespaces":["/"],"sockets":["${id}"]}`]);
  assert.ok(!sala.log.includes(API_KEY) && !sala.child.stdout.includes(API_KEY), 'no log has the key');
});

async function rooms(sala, client) {
  return (await sala.ok('GET', `/v1/sockets/${client.id}`)).socket.rooms;
}

test('a key that may only read sees no buttons, and can do nothing by hand', async (t) => {
  const sala = await start();
  const ana = await connect(t, sala, { token: await sala.token('ana', { rooms: ['chat'] }) });
  const page = await visit(t);
  await signIn(page, sala, 'watcher', WATCHER);
  await see(page, 'CONNECTED');
  await go(page, 'Rooms');
  await row(page, 'chat').waitFor();
  assert.equal(await row(page, 'chat').getByRole('button').count(), 0);

  // Version 0.5.1 has no form that emits.
  const [watcher, ops] = await Promise.all([['watcher', WATCHER], ['ops', API_KEY]].map(([username, password]) => connect(t, sala, { namespace: '/admin', auth: { username, password } })));
  watcher.emit('emit', '/', 'chat', 'news', 'from the watcher');
  watcher.emit('_disconnect', '/', true, ana.id);
  await until(() => audited(sala, 'SocketService/Disconnect').length > 0, 'the refusal of the disconnect');
  ops.emit('emit', '/', ana.id, 'news', { from: 'ops' });
  assert.deepEqual(await ana.next('news'), [{ from: 'ops' }]);
  await wantAudited(sala, 'SocketService/Disconnect', [`watcher PERMISSION_DENIED {"namespaces":["/"],"sockets":["${ana.id}"]}`]);
  await wantAudited(sala, 'MessageService/Emit', [
    'watcher PERMISSION_DENIED {"namespaces":["/"],"rooms":["chat"]}', `ops OK {"namespaces":["/"],"sockets":["${ana.id}"]}`,
  ]);
  assert.ok(ana.socket.connected);
});

test('the page comes back by its session, but not once the key has gone', async (t) => {
  const sala = await start();
  const page = await visit(t);
  await signIn(page, sala, 'ops', API_KEY);
  await see(page, 'CONNECTED');
  const stored = await page.evaluate(() => JSON.stringify(localStorage));
  assert.ok(!stored.includes(API_KEY), 'the page keeps a session instead of the key');
  await page.reload();
  await see(page, 'CONNECTED');
  assert.equal(await page.getByLabel('Password').isVisible(), false);

  started.splice(started.indexOf(sala), 1);
  await sala.stop();
  await see(page, 'DISCONNECTED');
  await start({ keys: [KEYS[1]], args: ['--listen', sala.addr.public] });
  await see(page, 'Invalid credentials');
});

test('with many sockets the page shows totals, and the log says why', async (t) => {
  const names = Array.from({ length: 90 }, (_, i) => `/n${i}`);
  const sala = await start({ config: { namespaces: ['/', ...names] } });
  const token = await sala.token('ana');
  const page = await visit(t);
  await signIn(page, sala, 'ops', API_KEY);
  await page.getByRole('navigation').getByText('Sockets', { exact: true }).waitFor();
  for (let i = 0; i < 12; i++) { // 1080 sockets
    const manager = new Manager(sala.url, { transports: ['websocket'], reconnection: false });
    t.after(() => manager._close());
    for (const name of names) manager.socket(name, { auth: { token } });
  }
  await page.getByRole('navigation').getByText('Sockets', { exact: true }).waitFor({ state: 'detached' });
  await see(page, 'HEALTHY');
  await shoot(page, 'admin-ui-totals');
  assert.ok(logLines(sala.child).some(({ msg }) => msg?.startsWith('admins see totals only')));
});

test('the page shows all nodes of a cluster, and a session holds at each', async (t) => {
  const cluster = await Cluster.start(2, ['--admin-ui', '--allowed-origins', ui.origin], { ...CONFIG, api_key: KEYS });
  t.after(() => cluster.stop());
  const [here, there] = cluster.nodes;
  const ana = await connect(t, there, { token: await there.token('ana') });
  const page = await visit(t);
  await signIn(page, here, 'ops', API_KEY);
  await go(page, 'Sockets');
  await row(page, ana.id).waitFor();
  await ana.join('chat');
  await go(page, 'Rooms');
  await row(page, 'chat').waitFor();
  await go(page, 'Servers');
  for (const node of [here, there]) await row(page, node.id).getByText(/^\s*healthy\s*$/i).waitFor();
  await shoot(page, 'admin-ui-servers');

  const sessionId = await page.evaluate(() => localStorage.getItem('session_id'));
  const { id } = ana; // which the client forgets
  await connect(t, there, { namespace: '/admin', auth: { sessionId } });
  const refused = tryConnect(t, there, { namespace: '/admin', auth: { sessionId: `${sessionId}x` } });
  const err = await new Promise((resolve) => { refused.socket.once('connect_error', resolve); });
  assert.equal(err.message, 'invalid credentials');

  await cluster.lose(there);
  await row(page, there.id).getByText(/unhealthy/i).waitFor({ timeout: 30_000 });
  await go(page, 'Sockets');
  await row(page, id).waitFor({ state: 'detached', timeout: 30_000 });
});

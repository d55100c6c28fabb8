// Every page of the console and everything that can be done there, in Chromium, with a key that
// may do everything.
import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, test } from 'node:test';
import { browser } from '../helpers/browser.mjs';
import { connect, login } from '../helpers/client.mjs';
import { choose, go, signIn } from '../helpers/console.mjs';
import { subscribe } from '../helpers/events.mjs';
import { SALA, run } from '../helpers/process.mjs';
import { API_KEY, CONFIG } from '../helpers/sala.mjs';
import { broker } from '../helpers/suite.mjs';
import { until } from '../helpers/wait.mjs';

const chromium = browser();
const shared = broker({ config: { ...CONFIG, history: [{ namespace: '/', rooms: 'log:**', messages: 100, ttl: '5m' }] }, args: ['--namespaces', '/', '--namespaces', '/chat', '--max-joins-per-second', '2'] });

const open = (t, path, options) => signIn(t, chromium, shared.sala, API_KEY, { path, ...options });
const row = (page, text) => page.getByRole('row').filter({ hasText: text });
const button = (page, name) => page.getByRole('button', { name, exact: true });
const result = (page, text) => page.getByRole('status').filter({ hasText: text }).first().waitFor();

// GONE is what Chromium logs when a page asks for a room or a socket that is no longer there, or
// for the history of a room that has none.
const GONE = /404 \(Not Found\)|400 \(Bad Request\)/;

// confirm presses the button of that name in the dialog, waits for the result and closes it.
async function confirm(page, name, text) {
  const dialog = page.getByRole('dialog');
  await button(dialog, name).click();
  await dialog.getByRole('status').filter({ hasText: text }).waitFor();
  await button(dialog, 'Close').last().click();
  await dialog.waitFor({ state: 'hidden' });
}

describe('rooms, sockets and users', () => {
  test('rooms are searched, sorted and opened by the keyboard alone', async (t) => {
    const { sala } = shared;
    const [ana, ben] = [await login(t, sala, 'ana', {}, { rooms: ['lobby', 'kitchen'] }), await login(t, sala, 'ben', {}, { rooms: ['lobby'] })];
    const page = await open(t, '/rooms', { expected: GONE });
    await row(page, 'lobby').filter({ hasText: '2' }).waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type('KITCH');
    await row(page, 'lobby').waitFor({ state: 'detached' });
    assert.match(page.url(), /q=KITCH/);
    await page.keyboard.press('Escape');
    await row(page, 'lobby').waitFor();
    await page.getByLabel('Order').selectOption({ label: 'Most sockets first' });
    await page.getByRole('row').nth(1).filter({ hasText: 'lobby' }).waitFor();
    await page.getByRole('link', { name: 'lobby' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 1, name: 'lobby' }).waitFor();
    for (const { id } of [ana, ben]) await page.getByRole('link', { name: id }).waitFor();
  });

  test('a room: emit, members, users, history, clear', async (t) => {
    const { sala } = shared;
    const ana = await login(t, sala, 'ana', {}, { rooms: ['log:1'] });
    const page = await open(t, '/rooms/%2F/log%3A1', { expected: GONE });
    await page.getByRole('table', { name: 'Users' }).getByText('ana').waitFor();
    await button(page, 'Emit').click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Event').fill('news');
    await dialog.getByLabel('Arguments').fill('["hello", 12345678901234567890]');
    await confirm(page, 'Emit', '1 matched');
    assert.deepEqual((await ana.next('news'))[0], 'hello');
    await page.getByText('12345678901234567890').first().waitFor();
    await button(page, 'Clear history').click();
    await confirm(page, 'Clear history', 'The history is empty');
    await page.getByText('12345678901234567890').waitFor({ state: 'detached' });
    await button(page, 'Clear room').click();
    await page.getByRole('dialog').getByLabel('Notice').fill('closed');
    await confirm(page, 'Clear room', 'One socket was removed');
    await ana.next('closed');
    await page.getByText('Nobody is in this room').waitFor();
  });

  test('a socket: search, join, leave, disconnect with a reason', async (t) => {
    const { sala } = shared;
    const { token } = await sala.ok('POST', '/v1/tokens', { user: 'carla', rooms: ['den'], data: { plan: 'pro' } });
    const carla = await connect(t, sala, { token });
    const page = await open(t, '/sockets', { expected: GONE });
    await page.getByRole('searchbox').fill('carl');
    await page.getByRole('link', { name: carla.id }).click();
    await page.getByText('"pro"').waitFor();
    await button(page, 'Join a room').click();
    await page.getByRole('dialog').getByLabel('Room').fill('attic');
    await confirm(page, 'Join', 'The socket is in the room');
    await button(page, 'Leave attic').click();
    await confirm(page, 'Leave', 'The socket has left the room');
    await button(page, 'Leave attic').waitFor({ state: 'detached' });
    await button(page, 'Disconnect').click();
    await page.getByRole('dialog').getByLabel('Reason').fill('too loud');
    await confirm(page, 'Disconnect', 'One socket is being disconnected');
    assert.equal((await carla.next('sala:disconnect'))[0].reason, 'too loud');
    await page.getByText('This socket is no longer connected').waitFor();
  });

  test('users are searched, and one is signed out for good', async (t) => {
    const { sala } = shared;
    const token = await sala.token('dora');
    const dora = await connect(t, sala, { token });
    const page = await open(t, '/users');
    await page.getByRole('searchbox').fill('dor');
    await page.getByRole('link', { name: 'dora' }).click();
    await page.getByRole('link', { name: dora.id }).waitFor();
    await button(page, 'Revoke tokens').click();
    await confirm(page, 'Revoke tokens', 'One socket was disconnected');
    await dora.next('disconnect');
    await assert.rejects(connect(t, sala, { token }));
  });
});

describe('live tail', () => {
  test('shows outcomes, filters, pauses, resumes, clears', async (t) => {
    const { sala } = shared;
    const page = await open(t, '/tail');
    await result(page, 'Live');
    const ana = await login(t, sala, 'ana', {}, { publish: ['lobby'] });
    const lines = page.locator('.happening');
    const line = (...words) => words.reduce((found, word) => found.filter({ hasText: word }), lines).first();
    await line('connect', 'ana').waitFor();
    assert.equal((await ana.ask('my_event', { room: 'secret' })).error.code, 'PUBLISH_DENIED');
    await line('message', 'secret', 'refused', 'PUBLISH_DENIED').waitFor();
    await sala.ok('POST', '/v1/emit', { users: ['ana'], event: 'news', args: [] });
    await line('emit', 'ana', 'news', 'sent to 1').waitFor();

    await button(page, 'Pause').click();
    await button(page, 'Resume').waitFor();
    await ana.ask('my_event', { room: 'cellar' });
    await page.getByRole('button', { name: /Resume \(\d+ new\)/ }).click();
    await line('cellar').waitFor();
    await line('cellar').click(); // opens it, and pauses
    await page.locator('.happening[open] pre').filter({ hasText: '"cellar"' }).waitFor();
    await page.getByRole('link', { name: 'Why did it (not) arrive?' }).waitFor();
    await button(page, 'Resume').click();

    await button(page, 'Clear').click();
    await page.getByText('Nothing yet').waitFor();
    await button(page, 'Emits').click();
    await page.getByLabel('Event', { exact: true }).fill('wanted');
    await page.waitForURL(/event=wanted/);
    await result(page, 'Live');
    await ana.ask('my_event', { room: 'cellar' });
    await until(async () => { // the page may still be live with the filters of before
      for (const event of ['unwanted', 'wanted']) await sala.ok('POST', '/v1/emit', { users: ['ana'], event, args: [] });
      return line('wanted').waitFor({ timeout: 1000 }).then(() => true, () => false);
    }, 'the event that is wanted');
    assert.equal(await lines.filter({ hasText: /unwanted|cellar/ }).count(), 0, 'what the filters leave out isn’t there');
    await page.getByLabel('Outcome').selectOption({ label: 'Refused' });
    await page.getByText('Nothing yet').waitFor();
  });

  test('holds a bounded number of lines', async (t) => {
    const { sala } = shared;
    const page = await open(t, '/tail?kinds=emits');
    await result(page, 'Live');
    for (let i = 0; i < 6; i++) await sala.ok('POST', '/v1/emit:batch', { emits: Array.from({ length: 100 }, (_, n) => ({ users: ['nobody'], event: `e${i * 100 + n}`, args: [] })) });
    await page.getByText('e599', { exact: true }).waitFor();
    await page.waitForFunction(() => document.querySelectorAll('.happenings > li').length >= 400);
    assert.ok(await page.locator('.happenings > li').count() <= 500);
  });
});

describe('send', () => {
  test('to rooms, users and sockets, with exceptions and options, by the keyboard', async (t) => {
    const { sala } = shared;
    const [ana, ben] = [await login(t, sala, 'ana', {}, { rooms: ['lobby'] }), await login(t, sala, 'ben', {}, { rooms: ['lobby'] })];
    const page = await open(t, '/send?room=lobby');
    await page.getByText('Leave out').click();
    await page.getByLabel('Except users').fill('ben');
    await page.getByLabel('Event name').fill('news');
    const args = page.getByLabel('Arguments');
    await args.fill('["hello",\n {"n": 1,, "m": 2}]');
    await page.getByText('Line 2, column 10: a name in double quotes is missing here.').waitFor();
    assert.equal(await args.getAttribute('aria-invalid'), 'true');
    assert.equal(await button(page, 'Send').isDisabled(), true);
    await button(page, 'Go there').press('Enter');
    assert.deepEqual(await args.evaluate((area) => [area.selectionStart, area.selectionEnd, document.activeElement === area]), [19, 20, true]);
    await args.fill('{"n": 1}');
    await button(page, 'Put them into [ ]').press('Enter');
    assert.equal(await args.inputValue(), '[{"n": 1}]');
    await page.getByText('Options').click();
    await page.getByLabel('Idempotency key').fill('once');
    await button(page, 'Send').press('Enter');
    await result(page, 'Sent to 1 socket');
    assert.deepEqual(await ana.next('news'), [{ n: 1 }]);
    await button(page, 'Send').press('Enter');
    await result(page, 'This key was sent before');
    await sala.emit(['lobby'], 'marker');
    await Promise.all([ana.next('marker'), ben.next('marker')]);
    assert.deepEqual([ana.inbox, ben.inbox], [[], []], 'nothing came twice, and nothing to those who were left out');

    const curl = await page.locator('.same pre').textContent();
    assert.match(curl, /\$SALA_API_KEY/);
    assert.ok(!curl.includes(API_KEY));
  });

  test('to everyone, once it is confirmed; and to nobody', async (t) => {
    const { sala } = shared;
    const ana = await login(t, sala, 'ana');
    const page = await open(t, '/send?user=nobody');
    await page.getByLabel('Event name').fill('news');
    await button(page, 'Send').click();
    await result(page, 'Nobody matched');
    assert.match(await page.getByRole('link', { name: 'Ask why' }).getAttribute('href'), /#\/explain\?user=nobody/);
    await choose(page, 'Everyone');
    await button(page, 'Send to everyone').click();
    await button(page.getByRole('dialog'), 'Cancel').click();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    assert.deepEqual(ana.inbox, []);
    await button(page, 'Send to everyone').click();
    await confirm(page, 'Send to everyone', /Sent to \d+ socket/);
    await ana.next('news');
  });

  test('the commands that it shows do the same', async (t) => {
    const { sala } = shared;
    const eve = await login(t, sala, "eve o'hara");
    const page = await open(t, "/send?user=eve+o'hara");
    await page.getByLabel('Event name').fill('it');
    await page.getByLabel('Arguments').fill('["it\'s $HOME", 12345678901234567890]');
    for (const tool of ['curl', 'CLI']) {
      await choose(page, tool);
      const command = await page.locator('.same pre').textContent();
      const { code, stderr } = await run('bash', ['-c', command], { env: { SALA_API_KEY: API_KEY, SALA_SERVER: sala.grpc, PATH: `${path.dirname(SALA)}:${process.env.PATH}` } });
      assert.equal(code, 0, `${command}\n${stderr}`);
      assert.equal((await eve.next('it'))[0], "it's $HOME");
    }
  });
});

describe('tokens', () => {
  test('issue one that is shown once, connect with it, verify and revoke it', async (t) => {
    const { sala } = shared;
    const page = await open(t, '/tokens');
    await page.getByLabel('User').fill('fay');
    await page.getByLabel('Rooms at connect').fill('lobby\nkitchen, upstairs');
    await page.getByLabel('May join').fill('chat:*');
    await page.getByLabel('Data for backends').fill('{"plan": pro}');
    await page.getByText('Line 1, column 10').waitFor();
    await page.getByLabel('Data for backends').fill('{"plan": "pro"}');
    await button(page, 'Issue token').click();
    const token = await page.locator('.secret code').textContent();
    const fay = await connect(t, sala, { token });
    assert.deepEqual((await sala.ok('GET', '/v1/sockets?user=fay')).sockets.map(({ rooms, data }) => ({ rooms, data })), [{ rooms: ['kitchen, upstairs', 'lobby'], data: { plan: 'pro' } }]);
    await button(page, 'Done').click();
    assert.ok(!(await page.content()).includes(token), 'the token is gone');

    await choose(page, 'Verify');
    await page.getByLabel('Token', { exact: true }).fill(token);
    await button(page, 'Verify').click();
    await result(page, 'A client can connect with this token.');
    await page.getByText('chat:*').waitFor();
    assert.equal(await page.getByLabel('Token', { exact: true }).inputValue(), '');

    await choose(page, 'Revoke');
    await page.getByLabel('User', { exact: true }).fill('fay');
    await button(page, 'Revoke').click();
    await confirm(page, 'Revoke', '1 socket disconnected');
    await fay.next('disconnect');
    await choose(page, 'Verify');
    await page.getByLabel('Token', { exact: true }).fill(token);
    await button(page, 'Verify').click();
    await result(page, 'TOKEN_REVOKED');
  });

  test('what the broker says about a wrong request is at hand', async (t) => {
    const page = await open(t, '/tokens', { expected: /400/ });
    await page.getByLabel('User').fill('gus');
    await page.getByLabel('May join').fill('a**b');
    await button(page, 'Issue token').click();
    await page.getByRole('alert').filter({ hasText: 'join' }).waitFor();
  });
});

describe('diagnosis', () => {
  test('backends with their groups, members, credits and lag', async (t) => {
    const { sala } = shared;
    await subscribe(t, sala, { group: 'orders', kinds: ['EVENT_KIND_MESSAGE'], events: ['order'], credits: 0 });
    const page = await open(t, '/backends');
    const card = page.locator('section').filter({ hasText: 'orders' });
    await card.getByText('1 member').waitFor();
    const ana = await login(t, sala, 'ana');
    ana.emit('order', { n: 1 });
    await card.getByText('1 event waits').waitFor();
    await card.getByText('Stuck: no credits left').waitFor();
  });

  test('limits say who hit which one', async (t) => {
    const { sala } = shared;
    const greedy = await login(t, sala, 'greedy');
    for (let i = 0; i < 60; i++) greedy.emit('join', { room: `r${i}` });
    const page = await open(t, '/limits');
    await row(page, 'greedy').filter({ hasText: 'joins' }).waitFor();
    await page.getByRole('link', { name: 'greedy' }).click();
    await page.getByRole('heading', { name: 'Live tail' }).waitFor();
    assert.equal(await page.getByLabel('User', { exact: true }).inputValue(), 'greedy');
  });

  test('explain finds what is in the way, and that it no longer is', async (t) => {
    const { sala } = shared;
    const hal = await login(t, sala, 'hal', {}, { join: ['chat:*'] });
    const page = await open(t, '/rooms');
    await go(page, '/explain');
    await page.getByLabel('User').fill('hal');
    await page.getByLabel('Room').fill('chat:42');
    await page.keyboard.press('Enter');
    await page.locator('.check-line.bad').filter({ hasText: 'Is the user in the room?' }).waitFor();
    await page.getByRole('link', { name: hal.id }).waitFor();
    await hal.join('chat:42');
    await page.locator('.check-line.good').filter({ hasText: 'Is the user in the room?' }).waitFor();
    await sala.emit(['chat:42'], 'news');
    await button(page, 'Explain').click();
    await page.locator('.happening').filter({ hasText: 'chat:42' }).filter({ hasText: 'news' }).first().waitFor();
  });
});

test('everything is there in Spanish too', async (t) => {
  const page = await open(t, '/rooms', { locale: 'es-ES', language: 'es' });
  for (const [path, heading] of [['/', 'Resumen'], ['/tail', 'En vivo'], ['/send', 'Enviar'], ['/tokens', 'Tokens'], ['/limits', 'Límites'], ['/explain', 'Explicar']]) {
    await go(page, path);
    await page.getByRole('heading', { level: 1, name: heading }).waitFor();
  }
  assert.equal(await page.locator('html').getAttribute('lang'), 'es');
});

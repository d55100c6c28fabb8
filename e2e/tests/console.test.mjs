// The demo page of `sala serve --dev`, in Chromium.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { DARK, DESKTOP, LIGHT, PHONE, browser, fits, open, shoot } from '../helpers/browser.mjs';
import { connect } from '../helpers/client.mjs';
import { run } from '../helpers/process.mjs';
import { Sala } from '../helpers/sala.mjs';

const chromium = browser();

// Brokers stop after all tests, so that no page sees its broker go away.
const started = [];
after(() => Promise.all(started.map((sala) => sala.stop())));

async function dev() {
  const sala = await Sala.dev();
  started.push(sala);
  const [page, key] = await sala.child.see(({ stdout }) => /(http:\S+)#key=(\S+)/.exec(stdout), 'the address of the page').then(([url, , key]) => [url, key]);
  return { sala, page, key };
}

// A line of the log: any line, or one for something that arrived.
const log = (page, text) => page.locator('#log li').filter({ hasText: text });
const received = (page, text) => page.locator('#log li[data-kind="in"]').filter({ hasText: text });

async function enter(page, user) {
  await page.getByLabel('User').fill(user);
  await page.getByRole('button', { name: 'Connect', exact: true }).click();
  await page.getByText(`${user}, connected`).waitFor();
}

async function join(page, room) {
  await page.getByLabel('Room to join').fill(room);
  await page.getByRole('button', { name: 'Join', exact: true }).click();
  await page.getByRole('button', { name: `Leave ${room}` }).waitFor();
}

async function send(page, { via = 'this client', to = 'a room', room, event, message }) {
  await page.getByRole('radio', { name: via }).check();
  await page.getByRole('radio', { name: to }).check();
  if (room) await page.getByLabel('Room', { exact: true }).fill(room);
  if (event) await page.getByLabel('Event').fill(event);
  await page.getByLabel('Message').fill(message);
  await page.getByRole('button', { name: 'Send', exact: true }).click();
}

const count = (page, room) => page.locator('#rooms li').filter({ hasText: room }).locator('.count');

test('two visitors: connect, join, talk, broadcast, push, clear, leave', async (t) => {
  const { page: url, key } = await dev();
  const ada = await open(t, chromium, url, LIGHT);
  const ben = await open(t, chromium, url, LIGHT);

  assert.ok(!ada.url().includes(key), 'the key is out of the address bar');
  assert.ok(!(await ada.content()).includes(key), 'and nowhere on the page');
  await enter(ada, 'ada');
  await enter(ben, 'ben');
  await ada.getByRole('button', { name: 'Clear log' }).click();
  await ada.getByText('Open a second tab to see both sides').waitFor();
  await join(ada, 'lobby');
  await join(ben, 'lobby');
  await join(ben, 'kitchen');
  await count(ada, 'lobby').filter({ hasText: '2' }).waitFor();
  await count(ada, 'kitchen').filter({ hasText: '1' }).waitFor();

  await send(ada, { room: 'lobby', message: 'hello lobby' });
  await received(ben, 'my_response').filter({ hasText: '"hello lobby"' }).waitFor();
  await received(ada, 'my_response').filter({ hasText: '"hello lobby"' }).waitFor();

  await send(ben, { to: 'everyone', message: '{"dinner": "at eight", "seats": [1, 2]}' });
  await received(ada, 'my_response').filter({ hasText: '{"dinner":"at eight","seats":[1,2]}' }).waitFor();
  await log(ben, 'shout').filter({ hasText: 'ack {"ok":true}' }).waitFor();
  assert.equal(await received(ben, 'my_response').filter({ hasText: 'dinner' }).count(), 0, 'the sender of a broadcast does not receive it');

  await send(ada, { via: 'a backend', room: 'lobby', event: 'news', message: 'from a backend' });
  for (const page of [ada, ben]) await received(page, 'news').filter({ hasText: '"from a backend"' }).waitFor();
  assert.match(await ada.locator('#curl-text').textContent(), /curl -X POST '.*\/v1\/emit'[\s\S]*\$SALA_API_KEY[\s\S]*"news"/);

  await shoot(ada, 'console-1440');
  await ada.setViewportSize({ width: 1280, height: 668 }); // the size of the README's picture
  await shoot(ada, 'console-1280');

  await send(ben, { via: 'a backend', to: 'everyone', event: 'news', message: '<img src=x onerror=alert(1)>' });
  await received(ada, 'news').filter({ hasText: '<img src=x' }).waitFor();
  assert.equal(await ada.locator('img[src="x"]').count(), 0, 'what arrives is text');

  // A click counts even while the list of rooms is being refreshed.
  await ada.getByRole('button', { name: 'Clear lobby' }).hover();
  await ada.mouse.down();
  await join(ben, 'pantry');
  await count(ada, 'pantry').filter({ hasText: '1' }).waitFor();
  await ada.mouse.up();
  await received(ben, 'message').filter({ hasText: 'The room lobby was removed.' }).waitFor();
  for (const room of ['kitchen', 'pantry']) await ben.getByRole('button', { name: `Leave ${room}` }).click();
  await ben.getByText('There are none yet').waitFor();

  await ben.getByRole('button', { name: 'Disconnect' }).click();
  await ben.getByText('Not connected', { exact: true }).waitFor();
  await enter(ben, 'ben again');
});

test('the curl command on the page works as shown', async (t) => {
  const { page: url, key } = await dev();
  const page = await open(t, chromium, url);
  await enter(page, "ada o'hara");
  await join(page, "o'room");
  await send(page, { via: 'a backend', room: "o'room", event: 'it', message: "it's \"quoted\" $HOME" });
  await log(page, "it's").first().waitFor();
  const curl = await page.locator('#curl-text').textContent();
  const { code, stdout, stderr } = await run('bash', ['-c', curl.replace('curl', 'curl -sS')], { env: { SALA_API_KEY: key } });
  assert.equal(code, 0, stderr);
  assert.equal(JSON.parse(stdout).queued, 1);
  await received(page, '$HOME').nth(1).waitFor();
});

test('a wrong key is refused with an explanation, and the right one works afterwards', async (t) => {
  const { page: url, key } = await dev();
  const page = await open(t, chromium, `${url}#key=wrong`, { expected: /401/ });
  await page.getByLabel('User').fill('ada');
  await page.getByRole('button', { name: 'Connect', exact: true }).click();
  await page.getByRole('alert').filter({ hasText: /key/i }).waitFor();
  await page.getByLabel('API key').fill(key);
  await enter(page, 'ada');
});

test('the page shows why the broker disconnected it', async (t) => {
  const { sala, page: url, key } = await dev();
  const page = await open(t, chromium, url);
  await enter(page, 'ada');
  await page.getByLabel('User').waitFor();
  const auth = { key };
  await sala.ok('POST', '/v1/sockets:disconnect', { selector: { users: ['ada'] }, reason: 'too loud' }, auth);
  await page.getByRole('alert').filter({ hasText: 'too loud' }).waitFor();
  await page.getByText('Not connected', { exact: true }).waitFor();
});

test('binary data, and a namespace that does not exist', async (t) => {
  const { sala, page: url, key } = await dev();
  const page = await open(t, chromium, url);
  await page.getByLabel('Namespace').fill('/nowhere');
  await page.getByRole('button', { name: 'Connect', exact: true }).click();
  await page.getByRole('alert').filter({ hasText: 'Invalid namespace' }).waitFor();
  await page.getByLabel('Namespace').fill('/');
  await enter(page, 'ada');
  await sala.ok('POST', '/v1/emit', { users: ['ada'], event: 'file', args: [{ data: { _placeholder: true, num: 0 } }], attachments: ['AAECAw=='] }, { key });
  await received(page, 'file').filter({ hasText: '<4 bytes>' }).waitFor();
});

test('the content security policy lets the page reach only its broker', async (t) => {
  const { page: url } = await dev();
  const page = await open(t, chromium, url, { expected: /Content Security Policy|Failed to load|Fetch API|Connecting to/ });
  const elsewhere = await page.evaluate(() => fetch('http://127.0.0.1:9/').then(() => 'reached', (err) => err.name));
  assert.equal(elsewhere, 'TypeError');
  const inline = await page.evaluate(() => {
    const script = document.createElement('script');
    script.textContent = 'window.inlineRan = true';
    document.head.append(script);
    return window.inlineRan ?? false;
  });
  assert.equal(inline, false);
});

test('the page fits a phone and a desktop, in light and dark mode', async (t) => {
  const { sala, page: url, key } = await dev();
  const { token } = await sala.ok('POST', '/v1/tokens', { user: 'ben', join: ['**'] }, { key });
  const ben = await connect(t, sala, { token });
  await ben.join('a-room-with-a-rather-long-name-that-does-not-fit-anywhere-at-all');
  for (const [name, viewport, scheme] of [['phone-light', PHONE, LIGHT], ['phone-dark', PHONE, DARK], ['desk-dark', DESKTOP, DARK], ['tablet', { width: 800, height: 1000 }, LIGHT]]) {
    await t.test(name, async (t) => {
      const page = await open(t, chromium, url, { viewport, ...scheme });
      await fits(page);
      await enter(page, 'ada');
      await join(page, 'lobby');
      await send(page, { room: 'lobby', message: 'x'.repeat(300) });
      await received(page, 'my_response').waitFor();
      await fits(page);
      await shoot(page, `console-${name}`, { fullPage: true });
    });
  }
});

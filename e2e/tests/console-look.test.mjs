// Every page of the console at two widths, in light and dark: accessible, within its window, and
// with a picture of it in e2e/artifacts.
import { after, before, test } from 'node:test';
import { DARK, DESKTOP, LIGHT, browser, fits, shoot } from '../helpers/browser.mjs';
import { login } from '../helpers/client.mjs';
import { PAGES, PHONE_390, accessible, choose, go, signIn, visit } from '../helpers/console.mjs';
import { Backend } from '../helpers/events.mjs';
import { API_KEY, CONFIG, Sala } from '../helpers/sala.mjs';

const chromium = browser();
const shared = {};
const LONG = 'a-room-with-a-rather-long-name-that-does-not-fit-anywhere-at-all:and-goes-on';

// There is something to see on every page.
let socket;
const closers = [];
before(async () => {
  const sala = await Sala.start({ config: { ...CONFIG, history: [{ namespace: '/', rooms: 'chat:**', messages: 100, ttl: '5m' }] }, args: ['--max-joins-per-second', '2'] });
  shared.sala = sala;
  const idle = { after: (stop) => closers.push(stop) };
  socket = await login(idle, sala, 'ana', {}, { rooms: ['chat:42', 'lobby', LONG], publish: ['chat:42'], data: { plan: 'pro', seats: 3 } });
  for (const user of ['ben', 'carla', 'a user with spaces, commas and ñ']) await login(idle, sala, user, {}, { rooms: ['chat:42'] });
  for (let i = 0; i < 8; i++) socket.emit('join', { room: `chat:${i}` });
  await sala.ok('POST', '/v1/emit', { rooms: ['chat:42'], event: 'news', args: [{ text: 'hello', n: 1 }] });
  await socket.ask('my_event', { room: 'secret' });
  const backend = new Backend(sala.grpc, { group: 'orders', kinds: ['EVENT_KIND_MESSAGE'], credits: 10 });
  closers.push(() => backend.close());
  await backend.next('started');
});
after(() => {
  closers.forEach((close) => close());
  return shared.sala?.stop();
});

const VIEWS = [['light', 1440, DESKTOP, LIGHT], ['dark', 1440, DESKTOP, DARK], ['light', 390, PHONE_390, LIGHT], ['dark', 390, PHONE_390, DARK]];

for (const [theme, width, viewport, scheme] of VIEWS) {
  test(`${width} px, ${theme}`, async (t) => {
    const page = await signIn(t, chromium, shared.sala, API_KEY, { viewport, ...scheme, expected: /400|404/ });
    const paths = {
      ...Object.fromEntries(Object.keys(PAGES).map((path) => [path.slice(1) || 'overview', path])),
      room: '/rooms/%2F/chat%3A42', socket: `/sockets/${socket.id}`, explain: '/explain?user=ana&room=chat%3A42', send: `/send?room=${LONG}`,
      verify: '/tokens', revoke: '/tokens?revoke=ana',
    };
    for (const [name, path] of Object.entries(paths)) {
      await go(page, path);
      if (name === 'verify') await choose(page, 'Verify');
      if (name === 'tail') await socket.ask('my_event', { room: 'secret' });
      await page.locator('.loading').first().waitFor({ state: 'detached' });
      await check(page, `console-${name}-${width}-${theme}`);
    }
    await go(page, '/rooms/%2F/chat%3A42');
    await page.getByRole('button', { name: 'Emit', exact: true }).click();
    await check(page, `console-dialog-${width}-${theme}`);
  });
}

test('the sign-in, and what a wrong key gets', async (t) => {
  const page = await visit(t, chromium, shared.sala, { viewport: PHONE_390, ...DARK, expected: /401/ });
  await check(page, 'console-signin-390-dark');
  await page.getByLabel('API key').fill('wrong');
  await page.keyboard.press('Enter');
  await page.getByRole('alert').filter({ hasText: 'does not accept this key' }).waitFor();
  await check(page, 'console-wrong-key-390-dark');
});

async function check(page, name) {
  await fits(page);
  await accessible(page, name);
  await shoot(page, name, { fullPage: true });
}

// Browsers repeat requests silently when a kept connection is reset.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { browser, open } from '../helpers/browser.mjs';
import { login } from '../helpers/client.mjs';
import { Cutter } from '../helpers/cutter.mjs';
import { ROOT } from '../helpers/process.mjs';
import { Sala, logLines } from '../helpers/sala.mjs';
import { until } from '../helpers/wait.mjs';

const chromium = browser();
const CLIENT = readFileSync(path.join(ROOT, 'e2e/node_modules/socket.io-client/dist/socket.io.js'));
let sala;
let site;
let cutter;

before(async () => {
  site = createServer((request, response) => {
    const [type, body] = request.url === '/client.js' ? ['text/javascript', CLIENT] : ['text/html', '<!doctype html><link rel="icon" href="data:,"><script src="/client.js"></script>'];
    response.writeHead(200, { 'content-type': type }).end(body);
  }).listen(0, '127.0.0.1');
  await once(site, 'listening');
  sala = await Sala.start({ args: ['--allowed-origins', '*'] });
  cutter = await Cutter.start(sala.addr.public, { every: 3 });
});
after(async () => {
  site?.close();
  site?.closeAllConnections();
  await cutter?.stop();
  await sala?.stop();
});

// On a busy machine, the broker may pause between any two instructions. It then finds a request and its repeats all at once,
// and may read them in any order. holdUp causes such pauses until the test ends.
function holdUp(t) {
  const broker = sala.child.process;
  let ended = false;
  const held = (async () => {
    while (!ended) {
      broker.kill('SIGSTOP');
      await sleep(Math.random() * 40);
      broker.kill('SIGCONT');
      await sleep(Math.random() * 60);
    }
  })();
  t.after(() => { ended = true; return held; });
}

test('Chromium over long-polling, with frequent connection resets: the session survives, and nothing is lost, doubled or out of order', async (t) => {
  const witness = await login(t, sala, 'witness');
  await witness.join('room');
  holdUp(t);
  const page = await open(t, chromium, `http://127.0.0.1:${site.address().port}`);
  await page.evaluate(({ at, token }) => new Promise((resolve) => {
    window.received = [];
    window.ends = [];
    window.socket = window.io(at, { transports: ['polling'], auth: { token } });
    window.socket.on('n', (n) => window.received.push(n));
    window.socket.on('disconnect', (reason, details) => window.ends.push(`${reason} ${details?.message} ${details?.description}`));
    window.socket.on('connect', resolve);
  }), { at: cutter.url, token: await sala.token('ada', { rooms: ['page'] }) });

  const count = 600;
  const numbers = Array.from({ length: count }, (_, n) => n);
  const sent = page.evaluate(async (all) => {
    for (const n of all) {
      window.socket.emit('my_event', { room: 'room', n });
      await new Promise((resolve) => { setTimeout(resolve, n % 10); });
    }
  }, numbers);
  for (const n of numbers) await sala.emit(['page'], 'n', n);
  await sent;
  const told = () => witness.inbox.filter(({ event }) => event === 'my_response').map(({ args }) => args[0].n);
  await until(() => told().length >= count, 'all events of the page', 60_000).catch(() => {});
  await until(async () => (await page.evaluate(() => window.received.length)) >= count, 'all events for the page', 60_000).catch(() => {});
  // A duplicate would arrive before this.
  await sala.emit(['page'], 'n', 'last');
  await until(async () => (await page.evaluate(() => window.received)).includes('last'), 'the last event for the page').catch(() => {});

  const closed = logLines(sala.child).filter(({ msg }) => msg === 'connection closed').map(({ reason, error }) => `${reason}: ${error}`);
  assert.deepEqual(await page.evaluate(() => window.ends), [], `the session goes on; what the broker says of those that have ended: ${closed}`);
  assert.deepEqual(await page.evaluate(() => window.received), [...numbers, 'last']);
  assert.deepEqual(told(), numbers);
  for (const [moment, cuts] of Object.entries(cutter.cuts)) assert.ok(cuts > 0, `${cuts} connections were reset with a request ${moment}`);
  t.diagnostic(`resets: ${JSON.stringify(cutter.cuts)}`);
});

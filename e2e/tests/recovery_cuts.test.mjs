// Chromium, whose connections are cut at any moment: pages receive everything that is sent to them, once and in order.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { once } from 'node:events';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { browser, open } from '../helpers/browser.mjs';
import { TRANSPORTS } from '../helpers/client.mjs';
import { Line } from '../helpers/line.mjs';
import { ROOT } from '../helpers/process.mjs';
import { OFFSET } from '../helpers/recovery.mjs';
import { Sala } from '../helpers/sala.mjs';

const chromium = browser();
const CLIENT = readFileSync(path.join(ROOT, 'e2e/node_modules/socket.io-client/dist/socket.io.js'));
const ROOM = 'room';
// How often connections are cut, and how many times; messages are sent meanwhile, so many at a time.
const MEAN_LIFE = 300;
const CUTS = 10;
const AT_ONCE = 5;

let sala;
let site;
before(async () => {
  site = createServer((request, response) => {
    const [type, body] = request.url === '/client.js' ? ['text/javascript', CLIENT] : ['text/html', '<!doctype html><link rel="icon" href="data:,"><script src="/client.js"></script>'];
    response.writeHead(200, { 'content-type': type }).end(body);
  }).listen(0, '127.0.0.1');
  await once(site, 'listening');
  sala = await Sala.start({ args: ['--namespaces', '/,/second', '--allowed-origins', '*',
    '--ping-interval', '1s', '--ping-timeout', '3s', '--recovery-messages', '100000', '--recovery-bytes', '20000000'] });
});
after(async () => {
  site?.close();
  site?.closeAllConnections();
  await sala?.stop();
});

// connectAll connects a client to two namespaces in the page, which records what each receives: its number and the last
// argument.
function connectAll({ at, token, transports }) {
  window.sockets = {};
  const options = { transports, auth: { token, recover: true }, reconnectionDelay: 10, reconnectionDelayMax: 100, timeout: 2000 };
  const root = window.io(at, options);
  return Promise.all([['/', root], ['/second', root.io.socket('/second', options)]].map(([namespace, socket]) => new Promise((resolve) => {
    const seen = { received: [], connects: 0, recovered: 0, ids: [], others: [] };
    window.sockets[namespace] = seen;
    socket.on('n', (n, ...more) => { seen.received.push([n, more.length, more.at(-1)]); });
    socket.onAny((event) => { if (event !== 'n') seen.others.push(event); });
    socket.on('connect', () => {
      seen.connects++;
      seen.ids.push(socket.id);
      if (socket.recovered) seen.recovered++;
      resolve();
    });
  })));
}

// cutting cuts a line's connections at random moments, for the broker as well or not. It ends with the line repaired.
async function cutting(line) {
  for (let n = 0; n < CUTS; n++) {
    await sleep(-Math.log(1 - Math.random()) * MEAN_LIFE);
    line[Math.random() < 0.5 ? 'cut' : 'lose']();
    await sleep(Math.random() * 30);
    line.repair();
  }
}

for (const [transport, transports] of Object.entries(TRANSPORTS)) {
  test(`Chromium over ${transport}`, async (t) => {
    const line = await Line.to(sala);
    t.after(() => line.stop());
    const page = await open(t, chromium, `http://127.0.0.1:${site.address().port}`, { expected: /ERR_|WebSocket|Failed to load/ });
    await page.evaluate(connectAll, { at: line.url, token: await sala.token('ada', { rooms: [`${ROOM}-${transport}`] }), transports });
    const rooms = [`${ROOM}-${transport}`];
    let done = false;
    const cuts = cutting(line).finally(() => { done = true; });
    let sent = 0;
    for (; !done; sent += AT_ONCE) {
      for (const namespace of ['/', '/second']) {
        await sala.ok('POST', '/v1/emit:batch', {
          emits: Array.from({ length: AT_ONCE }, (_, i) => ({
            namespace, rooms, event: 'n', args: i % 3 ? [sent + i, 'text'] : [sent + i, { _placeholder: true, num: 0 }], attachments: i % 3 ? [] : ['AAH+/w=='],
          })),
        });
      }
    }
    await cuts;
    for (const namespace of ['/', '/second']) await sala.ok('POST', '/v1/emit', { namespace, rooms, event: 'n', args: [sent, 'text'] });
    await page.waitForFunction((last) => Object.values(window.sockets).every(({ received }) => received.at(-1)?.[0] === last), sent, { timeout: 20_000 });
    for (const [namespace, seen] of Object.entries(await page.evaluate(() => window.sockets))) {
      const { received, connects, recovered, ids, others } = seen;
      assert.deepEqual([recovered, new Set(ids).size, others], [connects - 1, 1, []]);
      assert.deepEqual(received.map(([n]) => n), Array.from({ length: sent + 1 }, (_, n) => n), `${namespace} after ${connects} connects`);
      for (const [n, length, offset] of received) {
        assert.equal(length, 2, `arguments of ${n}`);
        assert.match(offset, OFFSET);
      }
      assert.ok(connects > 1);
    }
  });
}

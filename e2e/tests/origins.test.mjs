// Browsers send the origin of a page; pages of other origins are refused.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TRANSPORTS, login, refusal } from '../helpers/client.mjs';
import { rawGet, rawUpgrade } from '../helpers/http.mjs';
import { Sala } from '../helpers/sala.mjs';
import { broker } from '../helpers/suite.mjs';

const FRIEND = 'https://friend.example';
const STRANGER = 'https://stranger.example';
// These tests leave half-open polling sessions behind; a drain needn't wait for them.
const DRAIN = ['--drain-timeout', '100ms'];
const shared = broker({ args: ['--allowed-origins', FRIEND, ...DRAIN] });
const POLLING = '/socket.io/?EIO=4&transport=polling';

test('another origin is refused over every transport', async (t) => {
  const { sala } = shared;
  for (const [name, transports] of Object.entries(TRANSPORTS)) {
    await t.test(name, async (t) => {
      for (const Origin of [STRANGER, `${FRIEND}.stranger.example`, 'http://friend.example', `${FRIEND}:8443`, 'null']) {
        const err = await refusal(t, sala, { transports, token: await sala.token('ada'), extraHeaders: { Origin } });
        assert.ok(!err.data?.code, 'it did not even get as far as the token');
      }
    });
  }
  for (const origin of [STRANGER, 'null']) {
    const polling = await rawGet(sala.url + POLLING, { origin });
    assert.equal(polling.status, 403);
    assert.equal(polling.headers['access-control-allow-origin'], undefined);
    assert.equal((await rawUpgrade(sala.url, { origin })).status, 403);
  }
});

test('an allowed origin, the broker\'s own and no origin are accepted', async (t) => {
  const { sala } = shared;
  for (const [name, transports] of Object.entries(TRANSPORTS)) {
    await t.test(name, async (t) => {
      for (const extraHeaders of [{ Origin: FRIEND }, { Origin: sala.url }, {}]) {
        assert.ok((await login(t, sala, 'ada', { transports, extraHeaders })).socket.connected);
      }
    });
  }
});

test('an allowed origin gets the CORS headers that a browser needs', async () => {
  const { sala } = shared;
  const answer = await rawGet(sala.url + POLLING, { origin: FRIEND });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers['access-control-allow-origin'], FRIEND);
  assert.match(answer.headers.vary ?? '', /origin/i);

  const preflight = await rawGet(sala.url + POLLING, { origin: FRIEND, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization,content-type' }, 'OPTIONS');
  assert.ok([200, 204].includes(preflight.status), `status ${preflight.status}`);
  assert.equal(preflight.headers['access-control-allow-origin'], FRIEND);
  assert.match(preflight.headers['access-control-allow-methods'] ?? '', /POST/);
  assert.match(preflight.headers['access-control-allow-headers'] ?? '', /authorization/i);
});

test('a star allows any origin', async (t) => {
  const sala = await Sala.start({ args: ['--allowed-origins', '*', ...DRAIN] });
  t.after(() => sala.stop());
  assert.equal((await rawGet(sala.url + POLLING, { origin: STRANGER })).status, 200);
  assert.ok((await login(t, sala, 'ada', { extraHeaders: { Origin: STRANGER } })).socket.connected);
});

test('origins are compared as origins', async (t) => {
  const sala = await Sala.start({ args: ['--allowed-origins', 'https://*.friend.example http://*.friend.example:8080', ...DRAIN] });
  t.after(() => sala.stop());
  for (const [origin, host, status] of [
    ['wss://chat.example', 'chat.example:443', 101], // what Starscream sends
    ['https://chat.example', 'chat.example:443', 101],
    ['https://chat.example:443', 'CHAT.example', 101],
    ['https://chat.example', 'chat.example:80', 101], // nginx's $host:$server_port behind TLS
    ['http://chat.example', 'chat.example:80', 101],
    ['http://[::1]:3000', '[0:0::1]:3000', 101],
    ['http://chat.example', 'chat.example:443', 403],
    ['https://chat.example', 'chat.example:8443', 403],
    ['https://chat.example:8443', 'chat.example', 403],
    ['https://chat.example.stranger.example', 'chat.example', 403],
    ['https://a.friend.example', 'chat.example', 101],
    ['https://A.b.Friend.example:443', 'chat.example', 101],
    ['wss://a.friend.example', 'chat.example', 101],
    ['http://a.friend.example:8080', 'chat.example', 101],
    ['https://friend.example', 'chat.example', 403],
    ['http://a.friend.example', 'chat.example', 403],
    ['https://afriend.example', 'chat.example', 403],
  ]) {
    const answer = await rawUpgrade(sala.url, { origin, host });
    answer.socket?.destroy();
    assert.equal(answer.status, status, `${origin} at ${host}`);
  }
});

// Stock clients on a path other than the default, and numbers as names.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CLIENTS, TRANSPORTS, WAYS, login } from '../helpers/client.mjs';
import { rawGet } from '../helpers/http.mjs';
import { broker, fresh } from '../helpers/suite.mjs';

const shared = broker({ args: ['--path', '/ws', '--public-health', '--drain-timeout', '100ms'] });

test('clients connect below --path, with and without a trailing slash', async (t) => {
  for (const [version, io] of Object.entries(CLIENTS)) {
    for (const options of [{ path: '/ws' }, { path: '/ws/' }, { path: '/ws', addTrailingSlash: false }]) {
      for (const transports of Object.values(TRANSPORTS)) {
        await t.test(`client ${version}, ${JSON.stringify(options)}, ${transports}`, async (t) => {
          assert.ok((await login(t, shared.sala, 'ada', { io, transports, ...options })).socket.connected);
        });
      }
    }
  }
  assert.equal((await rawGet(`${shared.sala.url}/socket.io/?EIO=4&transport=polling`)).status, 404);
  assert.equal((await rawGet(`${shared.sala.url}/readyz`)).status, 200);
});

test('a number as the name of an event, a room or a user does not close the connection', async (t) => {
  for (const way of WAYS) {
    await t.test(way.name, async (t) => {
      const room = Number(fresh('').replace(/\D/g, '')) + 1000;
      const { socket, id } = await login(t, shared.sala, 'ada', { ...way.options, path: '/ws' });
      const ask = (...event) => new Promise((answer) => socket.emit(...event, answer));
      assert.equal((await ask(42, 'x')).error.code, 'NO_HANDLER');
      for (const odd of [null, true, { a: 1 }, '', 'x'.repeat(256)]) assert.equal((await ask(odd, 'x')).error.code, 'INVALID_ARGUMENT');
      assert.deepEqual(await ask('join', { room, username: 5 }), { ok: true });
      assert.deepEqual(await ask('my_event', { room }), { ok: true });
      assert.ok((await shared.sala.ok('GET', `/v1/sockets/${id}`)).socket.rooms.includes(String(room)));
      assert.equal((await shared.sala.ok('POST', '/v1/emit', { rooms: [room], event: 'x' })).matched, 1);
      assert.ok(socket.connected);
    });
  }
});

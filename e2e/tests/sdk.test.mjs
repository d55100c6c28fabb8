// The same scenarios over every client library, with stock clients. e2e/sdk/README.md describes the
// drivers.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { login } from '../helpers/client.mjs';
import { broker, fresh } from '../helpers/suite.mjs';
import { until } from '../helpers/wait.mjs';
import { DRIVERS } from '../sdk/drivers.mjs';
import { Library } from '../sdk/driver.mjs';

const shared = broker();

for (const [name, program] of Object.entries(DRIVERS)) {
  describe(`the library for ${name}`, () => {
    let library;
    before(async () => { library = await Library.build(name, program); });
    after(() => library?.remove());

    test('emits to rooms, users and sockets, with binary data', async (t) => {
      const { sala } = shared;
      const [ana, ben] = [fresh('ana'), fresh('ben')];
      const room = fresh('room');
      const a = await login(t, sala, ana, {}, { rooms: [room] });
      const b = await login(t, sala, ben, {}, { rooms: [room] });
      const backend = await library.dial(t, sala);
      const bytes = Buffer.from([0, 1, 255]);
      const args = [{ text: 'hé👍', n: 1.5, list: [null, true] }, 'two', { file: bytes }];
      const sent = await backend.do('emit', { rooms: [room], event: 'news', args });
      assert.equal(sent.matched, 2);
      assert.equal(sent.queued, 2);
      assert.ok(!sent.partial && !sent.duplicate);
      for (const client of [a, b]) assert.deepEqual(await client.next('news'), args);

      assert.equal((await backend.do('emit', { users: [ana], event: 'to-user', args: [] })).matched, 1);
      assert.deepEqual(await a.next('to-user'), []);
      assert.equal((await backend.do('emit', { sockets: [b.id], event: 'to-socket', args: [null] })).matched, 1);
      assert.deepEqual(await b.next('to-socket'), [null]);
      assert.equal((await backend.do('emit', { rooms: [room], exceptSockets: [a.id], event: 'but', args: [1] })).matched, 1);
      assert.deepEqual(await b.next('but'), [1]);
      assert.equal(await backend.end(), 0);
    });

    test('what a handler returns is the ack', async (t) => {
      const { sala } = shared;
      const ana = await login(t, sala, fresh('ana'));
      const names = { echo: fresh('echo'), first: fresh('first'), nothing: fresh('nothing'), refuse: fresh('refuse'), crash: fresh('crash') };
      const backend = await library.subscribe(t, sala, {
        group: fresh('group'), on: Object.fromEntries(Object.entries(names).map(([behaviour, event]) => [event, behaviour])),
      });
      const all = (event, ...args) => new Promise((resolve) => ana.emit(event, ...args, (...ack) => resolve(ack)));
      const bytes = Buffer.from([0, 1, 255]);
      assert.deepEqual(await all(names.echo, 1, 'two', { data: bytes }), [1, 'two', { data: bytes }]);
      assert.deepEqual(await all(names.first, [1, 2]), [[1, 2]]);
      assert.deepEqual(await all(names.nothing, 1), []);
      assert.deepEqual(await all(names.refuse), [{ error: { code: 'MODERATED', message: 'mind your language' } }]);
      const [{ error }] = await all(names.crash);
      assert.equal(error.code, 'HANDLER_FAILED');
      assert.ok(!JSON.stringify(error).includes('secret'), JSON.stringify(error));
      await until(() => backend.stderr.includes(names.crash), 'the event in the log');

      const handling = await backend.next('handling', ({ name: event }) => event === names.echo);
      assert.equal(handling.kind, 'message');
      assert.equal(handling.socket, ana.id);
      assert.equal(handling.needsAck, true);
      assert.deepEqual(handling.args, [1, 'two', { data: bytes }]);
      await backend.do('stop');
      assert.equal((await backend.next('ended')).error, undefined);
      assert.equal(await backend.end(), 0);
    });
  });
}

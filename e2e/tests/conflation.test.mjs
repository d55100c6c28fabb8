// Stock clients that stop reading get only the newest value of each key when they read again.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { TRANSPORTS } from '../helpers/client.mjs';
import { buffers, recoverer } from '../helpers/recovery.mjs';
import { broker, fresh } from '../helpers/suite.mjs';
import { until } from '../helpers/wait.mjs';

const QUEUE = ['--max-queue-bytes', String(64 << 20), '--recovery-bytes', String(64 << 20)];
const FILLERS = 24; // of 900 kB: more than what the buffers between the broker and the client hold

async function replaced(sala) {
  const { body } = await sala.rest('GET', '/metrics');
  return Number(/^sala_deliveries_replaced_total (\d+)$/m.exec(body)[1]);
}

for (const recover of [true, false]) {
  describe(recover ? 'with a session' : 'without a session', () => {
    const shared = broker({ args: QUEUE });
    for (const [name, transports] of Object.entries(TRANSPORTS)) {
      test(`over ${name}`, async (t) => {
        const { sala } = shared;
        const room = fresh('prices');
        const ada = await recoverer(t, sala, fresh('ada'), { transports, auth: { recover } });
        await ada.join(room);
        if (name === 'upgrade') await until(() => ada.socket.io.engine.transport.name === 'websocket', 'the upgrade');
        const before = await replaced(sala);

        ada.line.stall();
        const filler = 'x'.repeat(900_000);
        for (let n = 0; n < FILLERS; n++) assert.equal((await sala.emit([room], 'filler', filler)).queued, 1);
        const emit = async (event) => assert.equal((await sala.ok('POST', '/v1/emit', { rooms: [room], ...event })).queued, 1);
        for (let n = 0; n < 20; n++) {
          await emit({ event: 'price', args: ['EURUSD', n], conflateKey: 'EURUSD' });
          await emit({
            event: 'chart', args: ['EURUSD', n, { _placeholder: true, num: 0 }], conflateKey: 'chart',
            attachments: [Buffer.from([n]).toString('base64')],
          });
          await emit({ event: 'trade', args: [n] });
        }
        assert.equal(await replaced(sala) - before, 38);

        ada.line.flow();
        await until(() => ada.inbox.some(({ event, args }) => event === 'trade' && args[0] === 19), 'the last event');
        const received = ada.inbox.filter(({ event }) => ['price', 'chart', 'trade'].includes(event))
          .map(({ event, args }) => [event, ...buffers(recover ? args.slice(0, -1) : args)]);
        assert.deepEqual(received, [
          ...Array.from({ length: 19 }, (_, n) => ['trade', n]),
          ['price', 'EURUSD', 19], ['chart', 'EURUSD', 19, Buffer.from([19])], ['trade', 19],
        ]);
        assert.equal(ada.inbox.filter(({ event }) => event === 'filler').length, FILLERS);
      });
    }
  });
}

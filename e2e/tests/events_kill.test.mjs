// kill -9 of a backend while clients wait for its answers.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { login } from '../helpers/client.mjs';
import { Child, ROOT } from '../helpers/process.mjs';
import { API_KEY, Sala } from '../helpers/sala.mjs';
import { deadline } from '../helpers/wait.mjs';

const CLIENTS = 50;
const EVENTS = 100; // of each client
const PAUSE = 30; // ms between two events of a client: 1,700 events/s in all

async function member(t, sala, name) {
  const child = new Child(process.execPath, ['helpers/member.mjs', sala.grpc, 'workers', name, '15'], { cwd: path.join(ROOT, 'e2e'), env: { SALA_API_KEY: API_KEY } });
  t.after(() => child.end('SIGKILL'));
  await child.see(({ stdout }) => stdout.includes('started'), 'its subscription');
  return child;
}

// handed lists what a member has printed: {key, redelivered}.
function handed({ stdout }) {
  const complete = stdout.slice(0, stdout.lastIndexOf('\n') + 1);
  return [...complete.matchAll(/^event (\S+) (\d+) (true|false) (true|false)$/gm)].map(([, socket, n, , redelivered]) => ({ socket, n: Number(n), redelivered: redelivered === 'true' }));
}

test('kill -9 of one of two members: every client gets one ack, and events in flight are redelivered', async (t) => {
  const sala = await Sala.start();
  t.after(() => sala.stop());
  const doomed = await member(t, sala, 'doomed');
  const survivor = await member(t, sala, 'survivor');
  const clients = [];
  for (let n = 0; n < CLIENTS; n++) clients.push(await login(t, sala, `user-${n}`, { transports: ['websocket'] }));

  // Counted on the wire, because the client itself calls back only once.
  const packets = new Map();
  for (const client of clients) {
    client.socket.io.decoder.on('decoded', ({ type, id }) => {
      if (type === 3) packets.set(`${client.id} ${id}`, (packets.get(`${client.id} ${id}`) ?? 0) + 1);
    });
  }

  const killed = CLIENTS * EVENTS / 2;
  let sent = 0;
  const answers = await Promise.all(clients.map(async (client) => {
    const waiting = [];
    for (let n = 0; n < EVENTS; n++) {
      waiting.push(deadline(new Promise((resolve) => client.emit('work', n, (...answer) => resolve(answer))), `the answer to ${n}`));
      if (++sent === killed) doomed.process.kill('SIGKILL');
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
    return Promise.all(waiting);
  }));
  assert.equal(await doomed.exited, 'SIGKILL');

  const by = {};
  for (const [who] of answers.flat()) by[who.error?.code ?? who] = (by[who.error?.code ?? who] ?? 0) + 1;
  t.diagnostic(`answered by ${JSON.stringify(by)}`);
  assert.deepEqual(Object.keys(by).sort(), ['doomed', 'survivor'], 'a mate was there all the time, so nobody got an error');
  for (const own of answers) assert.deepEqual(own.map(([, n]) => n), own.map((_, n) => n), 'each answer is its own event’s');
  assert.equal(packets.size, CLIENTS * EVENTS);
  assert.deepEqual([...packets.values()].filter((count) => count !== 1), [], 'none is answered twice');

  const again = handed(survivor).filter(({ redelivered }) => redelivered);
  assert.ok(again.length > 0, 'some were in flight');
  const before = new Set(handed(doomed).map(({ socket, n }) => `${socket} ${n}`));
  t.diagnostic(`redelivered: ${again.length}, of which the dead member had printed ${again.filter(({ socket, n }) => before.has(`${socket} ${n}`)).length}`);
  const fresh = handed(survivor).filter(({ redelivered }) => !redelivered);
  for (const { id } of clients) {
    const inOrder = (list) => list.filter(({ socket }) => socket === id).every(({ n }, at, all) => at === 0 || all[at - 1].n < n);
    assert.ok(inOrder(handed(doomed)) && inOrder(fresh) && inOrder(handed(survivor)), 'one socket’s events stay in order');
  }
});

test('kill -9 of the only backend: acks end with an error code, those in flight and later ones', async (t) => {
  const sala = await Sala.start({ args: ['--ack-timeout', '2s'] });
  t.after(() => sala.stop());
  const doomed = await member(t, sala, 'doomed');
  const ada = await login(t, sala, 'ada', { transports: ['websocket'] });
  doomed.process.kill('SIGSTOP'); // alive but silent
  const late = ada.ask('work', 0);
  assert.equal((await late).error.code, 'HANDLER_TIMEOUT');
  const lost = ada.ask('work', 1);
  doomed.process.kill('SIGKILL');
  assert.equal((await lost).error.code, 'HANDLER_LOST');
  assert.equal((await ada.ask('work', 2)).error.code, 'NO_HANDLER');
});

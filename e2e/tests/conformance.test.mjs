// Every client does all that a stock client may do, and reconnects by itself when its broker goes away: several versions of
// socket.io-client in Node and in Chromium, python-socketio, and zishang520's client in Go. They run at the same time.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { GO_SOURCE, Pages, inChromium, inGo, inNode, inPython } from '../helpers/actors.mjs';
import { browser } from '../helpers/browser.mjs';
import { Front } from '../helpers/front.mjs';
import { run } from '../helpers/process.mjs';
import { CONFIG, Sala } from '../helpers/sala.mjs';
import { deadline, until } from '../helpers/wait.mjs';

const chromium = browser();
const BYTES = Buffer.from(Array.from({ length: 256 }, (_, n) => n));

// A connection that sends more at once is closed: see "Limits" in docs/clients.md.
const MAX_MESSAGE = 20_000;
const ARGS = ['--ping-interval', '2s', '--ping-timeout', '10s', '--allowed-origins', '*', '--drain-spread', '100ms'];

async function goActor(t) {
  const dir = mkdtempSync(path.join(tmpdir(), 'sala-e2e-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const program = path.join(dir, 'actor');
  const { code, stderr } = await run('go', ['build', '-o', program, '.'], { cwd: GO_SOURCE, env: { CGO_ENABLED: '0' }, ms: 280_000 });
  assert.equal(code, 0, stderr);
  return program;
}

test('every client connects, asks, sends, receives and reconnects', async (t) => {
  const pages = new Pages(chromium);
  const actors = [...inNode(), ...inChromium(pages), ...inPython(), ...inGo(await goActor(t))];
  const front = await Front.start();
  const brokers = [];
  t.after(async () => {
    await Promise.all(actors.map((actor) => actor.close()));
    await pages.close();
    await front.stop();
    for (const sala of brokers) if (sala.child.code === undefined) await sala.discard('SIGTERM');
  });
  const start = async (...args) => {
    const sala = await Sala.start({ args: [...ARGS, ...args], config: { ...CONFIG, rooms: {} } });
    brokers.push(sala);
    front.to(sala);
    return sala;
  };
  const user = (actor) => actor.name.replaceAll(/\W/g, '-');
  const room = (actor) => `room-of-${user(actor)}`;
  const each = (name, act) => t.test(name, { concurrency: true }, async (t) => {
    await Promise.all(actors.map((actor) => t.test(actor.name, () => act(actor))));
  });

  let sala = await start();
  // ask is the actor's ask, with a message now and then for the client that sends only between polls.
  const ask = async (actor, ...args) => {
    const answer = actor.ask(...args);
    let done = !actor.sendsAfterPolls;
    answer.finally(() => { done = true; }).catch(() => {});
    while (!done) {
      await sala.ok('POST', '/v1/emit', { users: [user(actor)], event: 'wake', args: [] });
      await Promise.race([actor.next('wake'), answer]);
    }
    return answer;
  };
  await each('connect', async (actor) => {
    await actor.open(front.url, await sala.token(user(actor)));
    await actor.connect();
    const { sockets } = await sala.ok('GET', `/v1/sockets?user=${user(actor)}`);
    assert.equal(sockets.length, 1);
  });
  await each('acks', async (actor) => {
    assert.deepEqual(await ask(actor, 'join', { room: room(actor) }), [{ ok: true }]);
    const [answer] = await ask(actor, 'join', { room: '' });
    assert.equal(answer.error.code, 'INVALID_ARGUMENT');
  });
  await each('rooms', async (actor) => {
    const told = await sala.emit([room(actor)], 'news', 'ñandú 👍', { n: 1 });
    assert.equal(told.matched, 1);
    assert.deepEqual(await actor.next('news'), ['ñandú 👍', { n: 1 }]);
    assert.deepEqual(await ask(actor, 'leave', { room: room(actor) }), [{ ok: true }]);
    assert.equal((await sala.emit([room(actor)], 'news', 'nobody is there')).matched, 0);
    assert.deepEqual(await ask(actor, 'join', { room: room(actor) }), [{ ok: true }]);
  });
  const binary = async (actor) => {
    await sala.ok('POST', '/v1/emit', {
      rooms: [room(actor)], event: 'picture', args: [{ name: 'p', data: { _placeholder: true, num: 0 } }], attachments: [BYTES.toString('base64')],
    });
    assert.deepEqual(await actor.next('picture'), [{ name: 'p', data: BYTES }]);
    const message = { room: room(actor), data: BYTES, more: [BYTES.subarray(0, 1)] };
    assert.deepEqual(await ask(actor, 'my_event', message), [{ ok: true }]);
    assert.deepEqual(await actor.next('my_response'), [message]);
  };
  await each('binary', async (actor) => {
    // The sync client of python-socketio 5.7 hands each message to a thread of its own. Then an attachment may come before
    // its packet, and the client drops both, as docs/clients.md says: it may try again.
    let tries = actor.name.startsWith('python sync') ? 3 : 1;
    for (;;) {
      try {
        return await binary(actor);
      } catch (err) {
        if (--tries === 0 || !err.message.startsWith('waited ')) throw err;
      }
    }
  });

  // again starts a client that has given up. Only python-engineio 4.3 does, over long-polling, when it reads the refusal of
  // a POST, as docs/clients.md says: here, if it opens a new connection for one right before it learns that it must go.
  const again = async (actor) => {
    assert.match(actor.name, /^python .* polling$/);
    await actor.close();
    actor.gaveUp = false;
    await actor.open(front.url, await sala.token(user(actor)));
    await actor.connect();
  };

  // back waits until a client has reconnected: it receives what is sent to its user, and its own request is answered. In
  // front of two brokers, some requests of a client may reach the old one over a kept connection, so it may need several
  // attempts: Python's client then waits until its session has ended. So a message may go to a socket that it has given up,
  // and a request may be lost.
  //
  // python-socketio 5.7 gives each attempt to connect a second. When a busy machine needs more, threads of the attempt stay
  // behind, which can keep the sync client from ever connecting again. So it is started again after a minute.
  const back = (event) => async (actor) => {
    let heard = 0;
    let stuckAt = actor.name === 'python sync polling' ? Date.now() + 60_000 : Infinity;
    const answer = await until(async () => {
      if (Date.now() > stuckAt) {
        t.diagnostic(`${actor.name} didn't come back by itself within a minute`);
        stuckAt = Infinity;
        actor.gaveUp = true;
      }
      if (actor.gaveUp) await again(actor);
      await sala.ok('POST', '/v1/emit', { users: [user(actor)], event, args: [] });
      const received = actor.all(event).length;
      if (received === heard) return undefined;
      heard = received;
      return deadline(ask(actor, 'join', { room: room(actor) }), 'the ack', 5000).catch(() => undefined);
    }, `${actor.name} to be back`, 150_000);
    assert.deepEqual(answer, [{ ok: true }]);
  };
  await t.test('a drain', async () => {
    const before = sala;
    sala = await start();
    const [{ id }] = (await before.ok('GET', '/v1/nodes')).nodes;
    await before.ok('POST', `/v1/nodes/${id}:drain`);
  });
  await each('return after a drain', back('back from the drain'));
  await t.test('a restart', async () => {
    const before = sala;
    sala = await start('--max-message-bytes', String(MAX_MESSAGE));
    await before.stop();
    await brokers[0].stop();
  });
  await each('return after a restart', back('back from the restart'));
  await each('return after a close for a limit', async (actor) => {
    // python-engineio 4.3 gives up for good when it reads the refusal of a POST, as docs/clients.md says. Whether it reads
    // that, or sees the connection end first, is a matter of luck.
    if (/^python .* polling$/.test(actor.name)) return;
    const { connects } = actor;
    actor.emit('my_event', { room: 'elsewhere', text: 'x'.repeat(2 * MAX_MESSAGE) });
    await until(() => actor.connects > connects, `${actor.name} to be back`, 30_000);
    await sala.ok('POST', '/v1/emit', { users: [user(actor)], event: 'here again', args: [] });
    await actor.next('here again');
  });
});

// The same scenarios over every client library, with stock clients. e2e/sdk/README.md describes the
// drivers and what every library promises.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect, login, refusal } from '../helpers/client.mjs';
import { certificates } from '../helpers/certificates.mjs';
import { run } from '../helpers/process.mjs';
import { API_KEY, CONFIG, Sala } from '../helpers/sala.mjs';
import { broker, fresh } from '../helpers/suite.mjs';
import { deadline, until } from '../helpers/wait.mjs';
import { DRIVERS } from '../sdk/drivers.mjs';
import { Library } from '../sdk/driver.mjs';
import { faults } from '../sdk/faults.mjs';
import { FlakyProxy } from '../sdk/flaky.mjs';

const READER = 'e2e-key-that-may-only-list-rooms';

const shared = broker({
  config: {
    ...CONFIG,
    api_key: [API_KEY, `reader=${READER}:rooms:read`],
    history: [{ rooms: 'remembered:**', messages: 10, ttl: '5m' }],
  },
});

// ack emits and returns all arguments of the ack.
function ack(client, event, ...args) {
  return deadline(new Promise((resolve) => client.emit(event, ...args, (...answer) => resolve(answer))), `the ack of ${event}`);
}

// groupOf returns a group of subscribers once it is as a test wants it.
function groupOf(sala, name, fits) {
  return until(async () => (await sala.ok('GET', '/v1/groups')).groups.find((group) => group.name === name && fits(group)), `the group ${name}`);
}

// handling waits until a driver's handler has an event with this first argument.
function handling(driver, value) {
  return driver.next('handling', ({ args }) => args?.[0] === value);
}

// An emit that is tried once.
const ONCE = { rooms: ['nobody'], event: 'news', args: [], retry: false };

// unreachable is what every library says about an address.
function unreachable(address, why) {
  return `can't reach the broker at ${address.replace(/^https?:\/\//, '')}: ${why}`;
}

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
      for (const except of [{ exceptSockets: [a.id] }, { exceptUsers: [ana] }]) {
        assert.equal((await backend.do('emit', { rooms: [room], ...except, event: 'but', args: [1] })).matched, 1);
        assert.deepEqual(await b.next('but'), [1]);
      }
      const everyone = await backend.do('broadcast', { event: 'all', args: [1], exceptUsers: [ben] });
      assert.ok(everyone.matched >= 1);
      assert.deepEqual(await a.next('all'), [1]);

      const order = { rooms: [room], event: 'order', args: [7], idempotencyKey: fresh('order') };
      assert.ok(!(await backend.do('emit', order)).duplicate);
      assert.ok((await backend.do('emit', order)).duplicate);
      const mismatch = await backend.fails('emit', { ...order, args: [8] });
      assert.equal(mismatch.reason, 'IDEMPOTENCY_MISMATCH');
      assert.equal((await backend.do('emit', { rooms: [room], event: 'plain', args: [], retry: false })).matched, 2);

      b.socket.on('question', (n, answer) => answer(n + 1, { file: bytes }));
      const asked = await backend.do('emitWithAck', { users: [ben], event: 'question', args: [1] });
      assert.deepEqual(asked.acks.map(({ socket, user, args: its }) => [socket, user, its]), [[b.id, ben, [2, { file: bytes }]]]);
      assert.equal(asked.summary.expected, 1);
      assert.equal(asked.summary.answered, 1);
      const silent = await backend.do('emitWithAck', { users: [ana], event: 'question', args: [], ackTimeoutMs: 50 });
      assert.equal(silent.summary.timedOut, 1);
      await backend.do('close');
      assert.equal(await backend.end(), 0);
    });

    test('emits in batches, with a result for each event', async (t) => {
      const { sala } = shared;
      const room = fresh('room');
      const ana = await login(t, sala, fresh('ana'), {}, { rooms: [room] });
      const backend = await library.dial(t, sala);
      const emits = [1, 2].map((n) => ({ rooms: [room], event: 'order', args: [n, Buffer.from([n])], idempotencyKey: fresh('order') }));
      emits.splice(1, 0, { rooms: [room], event: 'connect', args: [] });
      for (const duplicate of [false, true]) {
        const { results } = await backend.do('emitBatch', { emits });
        assert.deepEqual(results.map(({ matched, duplicate: again }) => [matched ?? 0, again ?? false]), [[1, duplicate], [0, false], [1, duplicate]]);
        assert.deepEqual([results[1].error.code, results[1].error.reason], ['INVALID_ARGUMENT', 'INVALID_ARGUMENT']);
      }
      await backend.do('emit', { rooms: [room], event: 'last', args: [] });
      await ana.next('last');
      for (const n of [1, 2]) assert.deepEqual(await ana.next('order'), [n, Buffer.from([n])]);
    });

    test('each event of a stream has a result or an error, however often its connection breaks', async (t) => {
      const { sala } = shared;
      const proxy = await FlakyProxy.to(sala.grpc);
      t.after(() => proxy.stop());
      const backend = await library.dial(t, sala, { address: proxy.address, timeoutMs: 60_000 });
      await backend.do('emit', { rooms: ['nobody'], event: 'warm', args: [] });
      for (const keyed of [true, false]) {
        const room = fresh('room');
        const ana = await login(t, sala, fresh('ana'), {}, { rooms: [room] });
        const got = [];
        ana.socket.on('price', (n) => got.push(n));
        const emits = Array.from({ length: 400 }, (_, n) => ({ rooms: [room], event: 'price', args: [n], ...(keyed && { idempotencyKey: `${room}-${n}` }) }));
        const cuts = proxy.cuts;
        const sent = backend.do('emitStream', { emits }, 90_000);
        for (const side of ['broker', 'client']) {
          await Promise.race([sent, until(() => proxy.connections > 0, 'a connection', 30_000).then(() => proxy.cutInFrame(side))]);
        }
        const { results } = await sent;
        assert.ok(proxy.cuts > cuts);
        assert.equal(results.length, 400);
        const failed = results.flatMap(({ error }, n) => (error ? [[n, error]] : []));
        for (const [, error] of failed) {
          assert.equal(error.code, 'UNAVAILABLE');
          assert.match(error.message, /; the event may have been sent, and has no key to send it again$/);
        }
        if (keyed) assert.deepEqual(failed, []);
        // Events without a result may have arrived, at most once; all others have, in their order.
        const uncertain = new Set(failed.map(([n]) => n));
        await sala.emit([room], 'end');
        await ana.next('end');
        assert.deepEqual(got, [...new Set(got)].sort((a, b) => a - b));
        assert.deepEqual(got.filter((n) => !uncertain.has(n)), emits.map((_, n) => n).filter((n) => !uncertain.has(n)));
      }
      await backend.do('close');
    });

    test('issues tokens, and manages rooms, sockets and users', async (t) => {
      const { sala } = shared;
      const backend = await library.dial(t, sala);
      const [user, prefix] = [fresh('user'), fresh('rooms')];
      const rooms = [1, 2, 3].map((n) => `${prefix}:${n}`);
      const issued = await backend.do('issueToken', { user, ttlSeconds: 600, rooms, join: [`${prefix}:*`], data: { plan: 'pro' } });
      const left = Date.parse(issued.expireTime) - Date.now();
      assert.ok(left > 500_000 && left <= 601_000, issued.expireTime);
      const verified = await backend.do('verifyToken', { token: issued.token });
      assert.ok(verified.valid);
      assert.deepEqual([verified.user, verified.join, verified.data], [user, [`${prefix}:*`], { plan: 'pro' }]);
      const refused = await backend.do('verifyToken', { token: 'garbage' });
      assert.ok(!refused.valid);
      assert.equal(refused.reason, 'TOKEN_INVALID');

      const client = await connect(t, sala, { token: issued.token });
      const listed = await backend.do('listRooms', { prefix, namespace: '/', pageSize: 2 });
      assert.deepEqual(listed.rooms.map(({ name, namespace, sockets }) => [name, namespace, sockets]), rooms.map((room) => [room, '/', 1]));
      const room = await backend.do('getRoom', { room: rooms[0] });
      assert.deepEqual([room.name, room.sockets, room.users], [rooms[0], 1, 1]);
      const { sockets } = await backend.do('listSockets', { user });
      for (const found of [...sockets, await backend.do('getSocket', { socket: client.id })]) {
        assert.deepEqual([found.id, found.user, found.rooms, found.data], [client.id, user, rooms, { plan: 'pro' }]);
      }
      assert.equal(sockets.length, 1);

      const extra = fresh('extra');
      assert.equal((await backend.do('joinRooms', { users: [user], to: [extra] })).matched, 1);
      assert.equal((await backend.do('updateSockets', { sockets: [client.id], data: [1, 'x'] })).matched, 1);
      const changed = await backend.do('getSocket', { socket: client.id });
      assert.deepEqual([changed.rooms.includes(extra), changed.data], [true, [1, 'x']]);
      assert.equal((await backend.do('leaveRooms', { rooms: [extra], to: [extra] })).matched, 1);

      const present = await backend.do('listUsers', { room: rooms[1], pageSize: 1 });
      assert.deepEqual(present.users.map((found) => [found.user, found.sockets, found.data]), [[user, 1, [1, 'x']]]);
      assert.deepEqual((await backend.do('onlineUsers', { of: [user, fresh('nobody')] })).online, [user]);
      const [one] = (await backend.do('countUsers', { of: [rooms[2]] })).counts;
      assert.deepEqual([one.room, one.users, one.sockets], [rooms[2], 1, 1]);

      assert.equal((await backend.do('clearRoom', { room: rooms[0], notice: { event: 'closed', args: ['bye'] } })).removed, 1);
      assert.deepEqual(await client.next('closed'), ['bye']);
      const missing = await backend.fails('getRoom', { room: rooms[0] });
      assert.deepEqual([missing.code, missing.reason], ['NOT_FOUND', 'ROOM_NOT_FOUND']);

      const remembered = fresh('remembered:room');
      for (const n of [1, 2, 3]) await backend.do('emit', { rooms: [remembered], event: 'said', args: [n] });
      await backend.do('emit', { rooms: [remembered], event: 'said', args: ['unrecorded'], skipHistory: true });
      const history = await backend.do('listMessages', { room: remembered, last: 2 });
      assert.deepEqual(history.messages.map(({ event, args, offset }) => [event, args, Number(offset)]), [['said', [2], 2], ['said', [3], 3]]);
      await backend.do('clearMessages', { room: remembered });
      assert.deepEqual((await backend.do('listMessages', { room: remembered, last: 2 })).messages ?? [], []);

      assert.equal((await backend.do('disconnectSockets', { users: [user], reason: 'enough' })).matched, 1);
      assert.equal((await client.next('sala:disconnect'))[0].reason, 'enough');
      await client.next('disconnect');
      await backend.do('revokeTokens', { tokenId: issued.tokenId });
      assert.equal((await refusal(t, sala, { token: issued.token })).data.code, 'TOKEN_REVOKED');
    });

    test('errors have a code, a reason and fields', async (t) => {
      const { sala } = shared;
      const backend = await library.dial(t, sala);
      const nothing = await backend.fails('emit', { event: 'news', args: [] });
      assert.equal(nothing.code, 'INVALID_ARGUMENT');
      assert.ok(nothing.fields.length > 0 && nothing.message, JSON.stringify(nothing));
      const odd = await backend.fails('emit', { rooms: ['a'], event: 'connect', args: [] });
      assert.equal(odd.fields[0].field, 'event');

      const reader = await library.dial(t, sala, { key: READER });
      const denied = await reader.fails('emit', { rooms: ['a'], event: 'news', args: [] });
      assert.deepEqual([denied.code, denied.reason], ['PERMISSION_DENIED', 'SCOPE_DENIED']);
      await reader.do('subscribe', { on: { say: 'nothing' } });
      assert.equal((await reader.next('ended')).error.code, 'PERMISSION_DENIED');

      const stranger = await library.dial(t, sala, { key: 'a-key-that-nobody-knows' });
      assert.equal((await stranger.fails('listRooms', {})).code, 'UNAUTHENTICATED');
      await stranger.do('subscribe', { on: { say: 'nothing' } });
      assert.equal((await stranger.next('ended')).error.code, 'UNAUTHENTICATED');

      const plain = await library.start(t).fails('dial', { address: 'http://192.0.2.1:9090', tls: {}, key: API_KEY });
      assert.equal(plain.code, '');
    });

    test('says in one sentence why it can’t reach the broker', async (t) => {
      const { sala } = shared;
      const host = (url) => new URL(url).host;
      const backend = library.start(t);
      const wrongPort = 'it speaks HTTP/1 there, not gRPC; connect to the port of --grpc-listen, 9090 by default';
      for (const [address, why] of [
        ['127.0.0.1:1', 'connection refused; is it running, and is this the address of its gRPC listener?'],
        ['http://sala.invalid:9090', "the name sala.invalid doesn't resolve; check the address"],
        [`https://${sala.grpc}`, `it doesn't speak TLS there; connect to http://${sala.grpc}, or give the broker a certificate`],
        [host(sala.http), wrongPort],
        [host(sala.url), wrongPort],
      ]) {
        await backend.do('dial', { address, key: API_KEY });
        const failed = await backend.fails('emit', ONCE);
        assert.deepEqual([failed.code, failed.reason, failed.message], ['UNAVAILABLE', '', unreachable(address, why)]);
      }
      const silent = net.createServer((socket) => t.after(() => socket.destroy())).listen(0, '127.0.0.1');
      t.after(() => silent.close());
      await once(silent, 'listening');
      const address = `127.0.0.1:${silent.address().port}`;
      await backend.do('dial', { address, key: API_KEY });
      const late = await backend.fails('emit', { ...ONCE, timeoutMs: 500 });
      assert.deepEqual([late.code, late.message], ['DEADLINE_EXCEEDED', `the broker at ${address} didn't answer in time`]);
      await backend.do('dial', { address: sala.grpc, key: 'a-key-that-nobody-knows' });
      assert.match((await backend.fails('listRooms', {})).message, /doesn't know this API key/);
    });

    test('what a handler returns is the ack', async (t) => {
      const { sala } = shared;
      const user = fresh('ana');
      const ana = await login(t, sala, user);
      const names = Object.fromEntries(['echo', 'first', 'nothing', 'refuse', 'crash', 'large', 'forward'].map((behaviour) => [behaviour, fresh(behaviour)]));
      const backend = await library.subscribe(t, sala, {
        group: fresh('group'), on: Object.fromEntries(Object.entries(names).map(([behaviour, event]) => [event, behaviour])),
      });
      const bytes = Buffer.from([0, 1, 255]);
      assert.deepEqual(await ack(ana, names.echo, 1, 'two', { data: bytes }), [1, 'two', { data: bytes }]);
      assert.deepEqual(await ack(ana, names.first, [1, 2]), [[1, 2]]);
      assert.deepEqual(await ack(ana, names.nothing, 1), []);
      assert.deepEqual(await ack(ana, names.refuse), [{ error: { code: 'MODERATED', message: 'mind your language' } }]);
      const failed = [{ error: { code: 'HANDLER_FAILED', message: "the backend's handler has failed" } }];
      assert.deepEqual(await ack(ana, names.crash), failed);
      assert.deepEqual(await ack(ana, names.large), failed);
      assert.equal((await backend.next('rejected')).reason, 'INVALID_ARGUMENT');
      await until(() => backend.stderr.includes(names.crash), 'the event in the log');
      assert.deepEqual(await ack(ana, names.first, 'x'.repeat(900_000)), ['x'.repeat(900_000)]);
      assert.equal((await ack(ana, fresh('unknown')))[0].error.code, 'NO_HANDLER', 'it subscribes only to the events that have a handler');

      const room = fresh('room');
      await ana.join(room);
      assert.deepEqual(await ack(ana, names.forward, room, 2), []);
      for (let n = 0; n < 2; n++) assert.deepEqual(await ana.next('forwarded'), [room, 2]);

      const handled = await backend.next('handling', ({ name: event }) => event === names.echo);
      assert.deepEqual([handled.kind, handled.socket, handled.user, handled.namespace], ['message', ana.id, user, '/']);
      assert.ok(handled.needsAck && !handled.redelivered);
      assert.deepEqual(handled.args, [1, 'two', { data: bytes }]);
      ana.emit(names.nothing, 'without an ack');
      assert.ok(!(await handling(backend, 'without an ack')).needsAck);
      await backend.do('stop');
      assert.equal((await backend.next('ended')).error, undefined);
      assert.equal(await backend.end(), 0);
    });

    test('decides who may connect, and sees what happens to clients', async (t) => {
      const sala = await Sala.start();
      t.after(() => sala.stop());
      const backend = await library.subscribe(t, sala, {
        group: 'deciders',
        kinds: ['connect', 'join', 'leave', 'disconnect', 'room_opened', 'room_closed', 'user_online'],
        decide: {
          ana: { accept: { rooms: ['lobby'], data: { plan: 'pro' } } },
          mallory: { refuse: { code: 'BANNED', message: 'you are banned' } },
          crash: 'crash',
          '*': 'nothing',
        },
      });
      const ana = await login(t, sala, 'ana');
      const seen = (kind) => backend.next('handling', (line) => line.kind === kind);
      assert.equal((await seen('decide')).user, 'ana');
      assert.deepEqual((await seen('connect')).data, { plan: 'pro' });
      assert.deepEqual((await sala.ok('GET', `/v1/sockets/${ana.id}`)).socket.rooms, ['lobby']);
      assert.equal((await seen('room_opened')).room, 'lobby');
      assert.equal((await seen('user_online')).user, 'ana');
      await login(t, sala, 'ben');
      const banned = await refusal(t, sala, { token: await sala.token('mallory') });
      assert.deepEqual([banned.data.code, banned.message], ['BANNED', 'you are banned']);
      const crashed = await refusal(t, sala, { token: await sala.token('crash') });
      assert.deepEqual([crashed.data.code, crashed.message], ['HANDLER_FAILED', "the backend's handler has failed"]);
      await ana.join('other');
      assert.equal((await backend.next('handling', ({ kind, room }) => kind === 'join' && room === 'other')).socket, ana.id);
      const { id } = ana;
      ana.close();
      const gone = await seen('disconnect');
      assert.deepEqual([gone.socket, gone.user], [id, 'ana']);
      assert.ok(gone.reason);
      await backend.do('stop');
    });

    test('events of one socket are handled one after another, those of others at the same time', async (t) => {
      const { sala } = shared;
      const event = fresh('work');
      const group = fresh('group');
      const backend = await library.subscribe(t, sala, { group, concurrency: 2, credits: 100, on: { [event]: 'hold' } });
      const clients = [];
      for (let n = 0; n < 3; n++) clients.push(await login(t, sala, fresh('user')));
      const [a, b, c] = clients;
      const answers = [ack(a, event, 'a1'), ack(a, event, 'a2'), ack(b, event, 'b1')];
      await handling(backend, 'a1');
      await handling(backend, 'b1');
      answers.push(ack(c, event, 'c1'));
      // A third must wait: two run, which is the concurrency. That a2 waits is the order.
      await groupOf(sala, group, ({ unacknowledged }) => unacknowledged === 4);
      assert.deepEqual(backend.seen('handling').map(({ args }) => args[0]), []);
      await backend.do('release', { value: 'b1' });
      await handling(backend, 'c1');
      await backend.do('release', { value: 'a1' });
      await handling(backend, 'a2');
      for (const value of ['a2', 'c1']) await backend.do('release', { value });
      assert.deepEqual((await Promise.all(answers)).flat(), ['a1', 'a2', 'b1', 'c1']);
      await backend.do('stop');
    });

    test('credits follow the handlers', async (t) => {
      const { sala } = shared;
      const event = fresh('work');
      const group = fresh('group');
      const backend = await library.subscribe(t, sala, { group, concurrency: 8, credits: 2, on: { [event]: 'hold' } });
      const clients = await Promise.all([0, 1, 2, 3].map(() => login(t, sala, fresh('user'))));
      const answers = clients.map((client, n) => ack(client, event, n));
      await until(() => backend.seen('handling').length === 2, 'two handlers');
      await groupOf(sala, group, ({ waiting }) => waiting === 2);
      assert.equal(backend.seen('handling').length, 2, 'no event came without a credit');
      const first = backend.seen('handling')[0].args[0];
      await backend.do('release', { value: first });
      await until(() => backend.seen('handling').length === 3, 'the third');
      for (const n of [0, 1, 2, 3]) if (n !== first) await backend.do('release', { value: n });
      assert.deepEqual((await Promise.all(answers)).flat(), [0, 1, 2, 3]);
      await backend.do('stop');
    });

    test('a subscription leaves gracefully: its events are answered, later ones go to another member', async (t) => {
      const { sala } = shared;
      const [event, group] = [fresh('work'), fresh('group')];
      const first = await library.subscribe(t, sala, { group, on: { [event]: 'hold' } });
      const client = await login(t, sala, fresh('user'));
      const held = ack(client, event, 'held');
      await handling(first, 'held');
      const second = await library.subscribe(t, sala, { group, on: { [event]: 'echo' } });
      const stopped = first.do('stop');
      await first.do('release', { value: 'held' });
      assert.deepEqual(await held, ['held']);
      await stopped;
      assert.equal((await first.next('ended')).error, undefined);
      assert.deepEqual(await ack(client, event, 'later'), ['later']);
      assert.equal((await handling(second, 'later')).redelivered, false);
      assert.equal(second.seen('handling').length, 0, 'nothing was redelivered');
      await second.do('stop');
    });

    test('a handler that outlasts the grace time loses its event to another member', async (t) => {
      const { sala } = shared;
      const [event, group] = [fresh('work'), fresh('group')];
      const first = await library.subscribe(t, sala, { group, graceMs: 100, on: { [event]: 'hold' } });
      const client = await login(t, sala, fresh('user'));
      const answer = ack(client, event, 'stuck');
      await handling(first, 'stuck');
      const second = await library.subscribe(t, sala, { group, on: { [event]: 'echo' } });
      await first.do('stop');
      assert.deepEqual(await answer, ['stuck']);
      assert.equal((await handling(second, 'stuck')).redelivered, true);
      await second.do('stop');
    });

    test('an event that is redelivered to the same program is handled once', async (t) => {
      const { sala } = shared;
      const [event, group] = [fresh('work'), fresh('group')];
      const proxy = await FlakyProxy.to(sala.grpc);
      t.after(() => proxy.stop());
      const backend = await library.subscribe(t, sala, { group, on: { [event]: 'hold' } }, { address: proxy.address });
      const client = await login(t, sala, fresh('user'));
      const answers = ['running', 'done'].map((value) => ack(client, event, value));
      await handling(backend, 'running');
      // The stream breaks while the handler runs, and the broker notices only when the program has
      // another one: it gives the event to the only member, which is the same program.
      const notice = proxy.cutUnseen();
      const { reason } = await backend.next('reconnect');
      assert.equal(reason, 'UNAVAILABLE');
      await backend.next('started');
      await groupOf(sala, group, ({ members }) => members.length === 2);
      notice();
      await groupOf(sala, group, ({ members, unacknowledged }) => members.length === 1 && unacknowledged > 0);
      for (const value of ['running', 'done']) await backend.do('release', { value });
      assert.deepEqual((await Promise.all(answers)).flat(), ['running', 'done']);
      const { args } = await backend.next('handling');
      assert.deepEqual([args, backend.seen('handling')], [['done'], []], 'each was handled once');
      await backend.do('stop');
    });

    test('survives a broker that is killed and started again, and one that drains', async (t) => {
      let sala = await Sala.start();
      t.after(() => sala.stop());
      const { grpc } = sala;
      const restart = async () => { sala = await Sala.start({ args: ['--grpc-listen', grpc] }); };
      const event = fresh('work');
      const backend = await library.subscribe(t, sala, { group: 'g', on: { [event]: 'echo' } });
      await sala.discard('SIGKILL');
      // It is repeated until the broker is back.
      const emitted = backend.do('emit', { rooms: ['nobody'], event: 'news', args: [], timeoutMs: 30_000 }, 40_000);
      await restart();
      assert.equal((await emitted).matched ?? 0, 0);
      const killed = await backend.next('reconnect');
      assert.equal(killed.reason, 'UNAVAILABLE');
      assert.ok(killed.gapMs > 0, JSON.stringify(killed));
      await backend.next('started');
      assert.deepEqual(await ack(await login(t, sala, 'ana'), event, 1), [1]);

      await sala.stop();
      await restart();
      assert.equal((await backend.next('reconnect')).reason, 'DRAINING');
      await backend.next('started');
      assert.deepEqual(await ack(await login(t, sala, 'ana'), event, 2), [2]);
      await backend.do('stop');
    });

    test('no event that needs an answer is lost when the proxy cuts in mid-frame, and when a backend, the proxy and the broker are killed', async (t) => {
      const report = await faults(t, library, { clients: 10, rate: 100, calm: 200 });
      t.diagnostic(JSON.stringify(report));
      assert.deepEqual(report.lost, []);
      assert.deepEqual(report.wrong, []);
      assert.deepEqual(report.withOthers, {}, 'another member took over each event');
    });

    test('talks TLS, and presents a client certificate', async (t) => {
      const pem = await certificates(library.dir);
      const sala = await Sala.start({
        args: ['--control-tls-cert', pem('server.pem'), '--control-tls-key', pem('server.key'), '--control-client-ca', pem('ca.pem')],
      });
      t.after(() => sala.discard('SIGTERM'));
      const tls = { ca: pem('ca.pem'), cert: pem('client.pem'), key: pem('client.key') };
      const backend = await library.dial(t, sala, { tls });
      assert.ok((await backend.do('issueToken', { user: 'ana' })).token);
      const url = await library.dial(t, sala, { address: `https://${sala.grpc}`, tls });
      assert.ok((await url.do('issueToken', { user: 'ana' })).token);
      const https = `https://${sala.grpc}`;
      for (const [options, why] of [
        [{ address: https }, "its certificate isn't trusted; give the client that of the CA which signed it, and check its dates"],
        [{ address: https.replace('127.0.0.1', 'localhost'), tls }, "its certificate isn't for localhost; connect to a name that the certificate has"],
        [{}, `it closes the connection; if it uses TLS, connect to ${https}`],
      ]) {
        await url.do('dial', { address: sala.grpc, key: API_KEY, ...options });
        const failed = await url.fails('emit', ONCE);
        assert.deepEqual([failed.code, failed.message], ['UNAVAILABLE', unreachable(options.address ?? sala.grpc, why)]);
      }
      // The broker ends the connection after the handshake. gRPC for Go may notice it when it writes.
      await url.do('dial', { address: sala.grpc, key: API_KEY, tls: { ca: tls.ca } });
      const stranger = await url.fails('emit', ONCE);
      assert.equal(stranger.code, 'UNAVAILABLE');
      assert.match(stranger.message, /: it ends the TLS connection; does it ask for a client certificate\?$|^the connection to the broker at \S+ broke$/);
    });
  });
}

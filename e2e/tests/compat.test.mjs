// Clients and options that real applications use, in addition to the stock ones.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import msgpack from 'socket.io-msgpack-parser';
import { CLIENTS, TRANSPORTS, WAYS, login, open, settle } from '../helpers/client.mjs';
import { Child, ROOT } from '../helpers/process.mjs';
import { Sala } from '../helpers/sala.mjs';
import { broker, fresh } from '../helpers/suite.mjs';
import { deadline } from '../helpers/wait.mjs';

const shared = broker();

// A python-socketio client as a child process.
class Python {
  constructor(t, sala, kind, token, transports) {
    this.child = new Child('/usr/bin/python3', [path.join(ROOT, 'e2e/helpers/member.py'), kind, sala.url, token, transports.join(',')]);
    t.after(() => this.child.end('SIGKILL'));
  }

  get received() {
    return this.child.stdout.split('\n').slice(0, -1).map((line) => JSON.parse(line));
  }

  // receives waits for the nth event of that name and returns its arguments.
  async receives(name, nth = 1) {
    return this.child.see(() => this.received.filter(([event]) => event === name)[nth - 1]?.slice(1), `${name} number ${nth}`);
  }
}

const PYTHONS = ['sync', 'asyncio'].flatMap((kind) => Object.entries(TRANSPORTS).map(([name, transports]) => ({ kind, name, transports })));

// again starts a broker at the address of one that has ended.
const again = (sala) => Sala.start({ args: ['--listen', sala.addr.public] });

for (const [what, signal] of [['a drain and restart', 'SIGTERM'], ['a crash and restart', 'SIGKILL']]) {
  test(`after ${what} stock and Python clients reconnect by themselves`, async (t) => {
    const sala = await Sala.start();
    t.after(() => sala.discard('SIGKILL'));
    const token = await sala.token('ada');
    const pythons = PYTHONS.map(({ kind, transports }) => new Python(t, sala, kind, token, transports));
    const stock = await Promise.all(WAYS.map(({ options }) => login(t, sala, 'ada', { ...options, reconnection: true, reconnectionDelay: 100, reconnectionDelayMax: 200 })));
    // A client whose connection breaks after its connect event, and before connect() has returned, takes itself for connected.
    await Promise.all(pythons.map((python) => python.receives('ready')));
    const back = stock.map(({ socket }) => new Promise((resolve) => { socket.on('connect', resolve); }));
    assert.equal(typeof await sala.discard(signal), signal === 'SIGTERM' ? 'number' : 'string');
    const next = await again(sala);
    t.after(() => next.stop());
    await Promise.all(back.map((connected, n) => deadline(connected, `the return of a client ${WAYS[n].name}`)));
    await Promise.all(pythons.map((python) => python.receives('connect', 2)));
    if (signal === 'SIGKILL') return;
    for (const client of stock) assert.equal((await client.next('sala:disconnect'))[0].code, 'DRAINING');
    for (const python of pythons) assert.equal((await python.receives('sala:disconnect'))[0].code, 'DRAINING');
  });
}

for (const { kind, name, transports } of PYTHONS) {
  test(`a Python client that a backend disconnects does not reconnect, ${kind} over ${name}`, async (t) => {
    const { sala } = shared;
    const user = fresh('user');
    const python = new Python(t, sala, kind, await sala.token(user), transports);
    await python.receives('connect');
    await sala.ok('POST', '/v1/sockets:disconnect', { selector: { users: [user] }, reason: 'enough' });
    assert.deepEqual(await python.receives('sala:disconnect'), [{ code: 'DISCONNECTED', reason: 'enough' }]);
    await python.receives('disconnect');
  });
}

for (const [version, io] of Object.entries(CLIENTS)) {
  for (const [name, transports] of Object.entries(TRANSPORTS)) {
    test(`binary messages with forceBase64 over ${name}, client ${version}`, async (t) => {
      const { sala } = shared;
      const room = fresh('room');
      const [one, two] = await Promise.all(['one', 'two'].map((user) => login(t, sala, user, { io, transports, forceBase64: true })));
      if (name === 'upgrade') await Promise.all([one, two].map(({ socket: { io: { engine } } }) => engine.transport.name === 'websocket' || new Promise((resolve) => { engine.once('upgrade', resolve); })));
      await two.join(room);
      const bytes = Buffer.from(Array.from({ length: 300 }, (_, n) => n % 256));
      assert.deepEqual(await one.ask('my_event', { room, bytes, more: [bytes.subarray(0, 1)] }), { ok: true });
      const [{ bytes: got, more }] = await two.next('my_response');
      assert.deepEqual([Buffer.from(got), Buffer.from(more[0])], [bytes, bytes.subarray(0, 1)]);
      await settle(sala, one, two);
      assert.ok(one.socket.connected && two.socket.connected);
    });
  }
}

for (const { name, options } of WAYS) {
  for (const namespace of ['/', '/nowhere']) {
    test(`a client with the MessagePack parser is told so, ${name}, namespace ${namespace}`, async (t) => {
      const { sala } = shared;
      const client = open(t, sala, { ...options, namespace, parser: msgpack, token: await sala.token('ada'), reconnection: true, reconnectionDelay: 10, reconnectionDelayMax: 20 });
      const err = await deadline(new Promise((resolve) => { client.socket.on('connect_error', resolve); }), 'connect_error');
      assert.equal(err.data?.code, 'UNKNOWN_PARSER', err.message);
      assert.match(err.message, /parser/);
      // Since 4.1 a refused client doesn't retry; earlier versions wait for the broker to close the connection.
      if (options.io === CLIENTS['4.8.4']) assert.equal(client.socket.active, false);
    });
  }
}

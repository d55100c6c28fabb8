// Recovery is opt-in: other clients get the same bytes as from a broker without recovery. With --recovery=always, clients of
// other versions and languages get an additional argument and work as before.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inNode, inPython } from '../helpers/actors.mjs';
import { CLIENTS, TRANSPORTS, connect, login, settle } from '../helpers/client.mjs';
import { OFFSET, RETURN, away, back, bare, emitAll, missed, recoverer, state } from '../helpers/recovery.mjs';
import { CONFIG, Sala } from '../helpers/sala.mjs';
import { broker, fresh } from '../helpers/suite.mjs';

const shared = broker({ config: { ...CONFIG, relay: [...CONFIG.relay, { event: 'say', emit: 'said', to: 'room' }] } });
const SEPARATOR = '\x1e';
const WEBSOCKET = { transports: ['websocket'] };

// Poller is a long-polling client that sees every byte.
class Poller {
  constructor(sala) {
    this.url = `${sala.url}/socket.io/?EIO=4&transport=polling`;
  }

  async open(auth) {
    const open = await (await fetch(this.url)).text();
    this.url += `&sid=${JSON.parse(open.slice(1)).sid}`;
    await this.send(`40${JSON.stringify(auth)}`);
    return this;
  }

  async send(body) {
    assert.equal(await (await fetch(this.url, { method: 'POST', body })).text(), 'ok');
  }

  // packets returns the next packets, at least n.
  async packets(n) {
    const got = [];
    while (got.length < n) got.push(...(await (await fetch(this.url)).text()).split(SEPARATOR).filter((packet) => packet !== '2'));
    return got;
  }
}

test('without auth.recover, every byte is as without recovery', async (t) => {
  const off = await Sala.start({ args: ['--recovery-window', '0'], config: { ...CONFIG, relay: [...CONFIG.relay, { event: 'say', emit: 'said', to: 'room' }] } });
  t.after(() => off.stop());
  const seen = [];
  for (const sala of [off, shared.sala]) {
    const room = 'room-of-bytes';
    const poller = await new Poller(sala).open({ token: await sala.token('ada', { rooms: [room] }) });
    const [connected] = await poller.packets(1);
    assert.match(connected, /^40\{"sid":"[^"]+"\}$/);
    // Someone in the same room takes part.
    const ben = await recoverer(t, sala, 'ben', { ...WEBSOCKET, grants: { rooms: [room] } });
    await emitAll(sala, room);
    await ben.ask('say', { room, n: 1 }, 'text');
    await ben.ask('say', { room, data: Buffer.from('x') });
    await sala.ok('POST', '/v1/broadcast', { event: 'all', args: [] });
    await poller.send('420["join",{"room":"other"}]');
    await sala.ok('POST', '/v1/sockets:disconnect', { selector: { users: ['ada'] }, reason: 'enough' });
    const packets = [];
    while (packets.at(-1) !== '41') packets.push(...await poller.packets(1));
    seen.push(packets);
  }
  assert.deepEqual(seen[1], seen[0]);
  assert.deepEqual(seen[1].slice(0, 3), ['42["nothing"]', '42["text","the last argument is text"]', '42["offset",1,"AAAAAAAA.zz"]']);
  for (const packet of ['451-["binary",{"_placeholder":true,"num":0}]', 'bAAH+/w==', '42["said",{"room":"room-of-bytes","n":1},"text"]', '42["all"]', '430[{"ok":true}]']) {
    assert.ok(seen[1].includes(packet), `${packet} in ${JSON.stringify(seen[1])}`);
  }
});

test('with auth.recover, only the CONNECT and events are different', async (t) => {
  const { sala } = shared;
  const room = fresh('room');
  const user = fresh('ada');
  const poller = await new Poller(sala).open({ token: await sala.token(user, { rooms: [room] }), recover: true });
  const [connected] = await poller.packets(1);
  const { sid, pid, ...more } = JSON.parse(connected.slice(2));
  assert.deepEqual(more, {});
  assert.match(pid, /^[^~]+~[\w-]{20,}$/);
  assert.equal(pid.split('~')[0], sid);
  await emitAll(sala, room);
  await poller.send('420["join",{"room":"other"}]');
  const packets = [];
  while (!packets.at(-1)?.startsWith('43')) packets.push(...await poller.packets(1));
  const offset = String.raw`"[\w-]{8}\.[0-9a-z]+"`;
  const want = [
    String.raw`42\["nothing",${offset}\]`, String.raw`42\["text","the last argument is text",${offset}\]`, String.raw`42\["offset",1,"AAAAAAAA\.zz",${offset}\]`,
    String.raw`42\["empty","",${offset}\]`, String.raw`42\["null",null,${offset}\]`, String.raw`42\["object",\{"a":\[1,\{"b":"ñandú 👍"\}\]\},${offset}\]`,
    String.raw`42\["list",\["in a list"\],${offset}\]`, String.raw`451-\["binary",\{"_placeholder":true,"num":0\},${offset}\]`, 'bAAH\\+/w==',
    String.raw`452-\["mixed",\{"x":\{"_placeholder":true,"num":1\}\},\{"_placeholder":true,"num":0\},"text",${offset}\]`, 'bAAH\\+/w==', 'bMg==',
    String.raw`430\[\{"ok":true\}\]`,
  ];
  // The announcement of the join comes before its ack.
  const events = packets.filter((packet) => !packet.startsWith('42["message"'));
  assert.equal(events.length, want.length, JSON.stringify(packets));
  for (const [i, pattern] of want.entries()) assert.match(events[i], new RegExp(`^${pattern}$`, 'u'));
  const offsets = packets.flatMap((packet) => packet.match(/[\w-]{8}\.[0-9a-z]+(?="\]$)/)?.[0] ?? []);
  assert.equal(new Set(offsets).size, offsets.length, 'each message has its own');
});

test('events that ask for an ack, and the broker\'s own, have no offset', async (t) => {
  const { sala } = shared;
  const user = fresh('ada');
  const ada = await recoverer(t, sala, user, WEBSOCKET);
  const asked = new Promise((resolve) => { ada.socket.on('q', (...args) => { args.at(-1)('answer'); resolve(args.slice(0, -1)); }); });
  await sala.rest('POST', '/v1/emit:ack', { users: [user], event: 'q', args: ['text'] });
  assert.deepEqual(await asked, ['text']);
  await sala.ok('POST', '/v1/sockets:disconnect', { selector: { users: [user] }, reason: 'enough' });
  assert.deepEqual(await ada.next('sala:disconnect'), [{ code: 'DISCONNECTED', reason: 'enough' }]);
});

test('recover must be true', async (t) => {
  const { sala } = shared;
  for (const recover of [false, null, 0, 1, 'true', {}, []]) {
    const user = fresh('ada');
    const ada = await connect(t, sala, { auth: { token: await sala.token(user), recover }, ...WEBSOCKET });
    assert.equal(ada.socket._pid, undefined, JSON.stringify(recover));
    await sala.ok('POST', '/v1/emit', { users: [user], event: 'n', args: ['text'] });
    assert.deepEqual(await ada.next('n'), ['text']);
  }
});

test('with --recovery=always, a client need not ask', async (t) => {
  const sala = await Sala.start({ args: ['--recovery', 'always', '--namespaces', '/,/chat', '--recovery-namespaces', '/', '--ping-interval', '1s', '--ping-timeout', '3s'] });
  t.after(() => sala.stop());
  const ada = await recoverer(t, sala, 'ada', { ...WEBSOCKET, auth: { recover: undefined } });
  const id = await away(sala, ada);
  await sala.ok('POST', '/v1/emit', { users: ['ada'], event: 'n', args: [1] });
  const returned = back(ada);
  ada.line.repair();
  assert.equal(await returned, true);
  assert.equal(ada.id, id);
  await settle(sala, ada);
  assert.deepEqual(missed(ada), [['n', 1]]);
  // Namespaces that aren't in the list are as with optional.
  const plain = await login(t, sala, 'ben', { ...WEBSOCKET, namespace: '/chat' });
  assert.equal(plain.socket._pid, undefined);
  const asks = await connect(t, sala, { namespace: '/chat', auth: { token: await sala.token('cy'), recover: true }, ...WEBSOCKET });
  assert.ok(asks.socket._pid);
});

// What docs/clients.md says about clients that know nothing of recovery: they get one more argument.
test('with --recovery=always, clients that know nothing of recovery', async (t) => {
  const sala = await Sala.start({ args: ['--recovery', 'always', '--ping-interval', '1s', '--ping-timeout', '3s'] });
  t.after(() => sala.stop());
  for (const transports of Object.values(TRANSPORTS)) {
    const user = fresh('old');
    const client = await recoverer(t, sala, user, { io: CLIENTS['4.0.0'], transports, auth: { recover: undefined } });
    await sala.ok('POST', '/v1/emit', { users: [user], event: 'n', args: [1] });
    assert.deepEqual(bare(await client.next('n')), [1]);
    const { id } = client;
    client.line.cut();
    await client.next('disconnect');
    await sala.ok('POST', '/v1/emit', { users: [user], event: 'n', args: [2] });
    const returned = new Promise((resolve) => { client.socket.once('connect', resolve); });
    client.line.repair();
    await returned;
    assert.notEqual(client.id, id, 'it has no pid to return with');
    await settle(sala, client);
    assert.deepEqual(missed(client), []);
  }
});

test('with --recovery=always, clients of other versions and languages get an additional argument', async (t) => {
  const sala = await Sala.start({ args: ['--recovery', 'always'] });
  const actors = [...inNode().filter(({ name }) => !name.includes('4.8.4')), ...inPython()];
  t.after(async () => {
    await Promise.all(actors.map((actor) => actor.close()));
    await sala.stop();
  });
  await Promise.all(actors.map((actor, n) => t.test(actor.name, async () => {
    const user = `user-${n}`;
    await actor.open(sala.url, await sala.token(user));
    await actor.connect();
    await sala.ok('POST', '/v1/emit', { users: [user], event: 'news', args: ['text', { n: 1 }] });
    const args = await actor.next('news');
    assert.match(args.pop(), OFFSET);
    assert.deepEqual(args, ['text', { n: 1 }]);
    await sala.ok('POST', '/v1/emit', { users: [user], event: 'nothing', args: [] });
    assert.match((await actor.next('nothing')).pop(), OFFSET);
    assert.deepEqual(await actor.ask('join', { room: 'room' }), [{ ok: true }]);
  })));
});

test('clients with other reconnection settings return as well', async (t) => {
  const { sala } = shared;
  const user = fresh('ada');
  const ada = await recoverer(t, sala, user, { ...RETURN, transports: ['polling', 'websocket'], upgrade: false });
  const { id } = ada;
  ada.line.cut();
  await ada.next('disconnect');
  const returned = back(ada);
  ada.line.repair();
  assert.equal(await returned, true);
  await state(sala, { id }, 'SOCKET_STATE_CONNECTED');
});

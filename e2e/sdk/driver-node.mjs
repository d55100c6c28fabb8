// Drives the Node library for the tests in e2e/tests/sdk.test.mjs. README.md describes the commands.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Ack, ClientError, Refuse, SalaError, connect } from '../../sdk/node/dist/index.js';

const write = (line) => process.stdout.write(`${JSON.stringify(encode(line))}\n`);

let sala;
let subscription;
let ended; // resolves when the subscription has ended
const held = new Map(); // a value that handlers hold → {promise, resolve}

const target = ({ namespace, rooms, users, sockets, exceptRooms, exceptUsers, exceptSockets }) => ({ namespace, rooms, users, sockets, exceptRooms, exceptUsers, exceptSockets });
const send = ({ volatile, skipHistory, conflateKey, idempotencyKey, retry, timeoutMs }) => ({ volatile, skipHistory, conflateKey, idempotencyKey, retry, timeout: timeoutMs });

const emitOf = ({ event, args = [], ...c }) => ({ event, args, ...target(c), ...send(c) });
const outcome = ({ result, error }) => result ?? { error: describe(error) };

const COMMANDS = {
  dial({ address, key, tls, plaintext, timeoutMs }) {
    const files = tls && Object.fromEntries(Object.entries(tls).filter(([, name]) => name).map(([what, name]) => [what, readFileSync(name)]));
    sala = connect(address, { apiKey: key, tls: files ?? (plaintext ? false : undefined), timeout: timeoutMs });
  },
  emit: (c) => sala.emit(c.event, c.args ?? [], { ...target(c), ...send(c) }),
  broadcast: (c) => sala.broadcast(c.event, c.args ?? [], { ...target(c), ...send(c) }),
  async emitBatch({ emits }) {
    return { results: (await sala.emitBatch(emits.map(emitOf))).map(outcome) };
  },
  async emitStream({ emits }) {
    const results = [];
    for await (const its of sala.emitStream(emits.map(emitOf))) results.push(outcome(its));
    return { results };
  },
  async emitWithAck(c) {
    const stream = sala.emitWithAck(c.event, c.args ?? [], { ...target(c), timeout: c.ackTimeoutMs, minAcks: c.minAcks });
    const acks = [];
    for await (const ack of stream) acks.push(ack);
    return { acks, summary: await stream.summary() };
  },
  issueToken: ({ ttlSeconds, ...c }) => sala.tokens.issue({ ...c, ttl: ttlSeconds && ttlSeconds * 1000 }),
  async verifyToken({ token }) {
    const { claims, ...verdict } = await sala.tokens.verify(token);
    return { ...verdict, ...claims };
  },
  revokeTokens: ({ user, tokenId }) => sala.tokens.revoke(tokenId ? { tokenId } : { user }),
  listRooms: (c) => list('rooms', sala.rooms.list(c)),
  getRoom: ({ room, namespace }) => sala.rooms.get(room, { namespace }),
  clearRoom: ({ room, ...options }) => sala.rooms.clear(room, options),
  async listMessages({ room, last }) {
    const { messages, position, complete } = await sala.rooms.messages(room, { last });
    return { messages, ...position, complete };
  },
  clearMessages: ({ room }) => sala.rooms.clearMessages(room),
  listUsers: ({ room, pageSize }) => list('users', room ? sala.rooms.users(room, { pageSize }) : sala.presence.users({ pageSize })),
  listSockets: (c) => list('sockets', sala.sockets.list(c)),
  getSocket: ({ socket }) => sala.sockets.get(socket),
  joinRooms: (c) => sala.sockets.join(target(c), c.to),
  leaveRooms: (c) => sala.sockets.leave(target(c), c.to),
  updateSockets: (c) => sala.sockets.update(target(c), c.data),
  disconnectSockets: (c) => sala.sockets.disconnect(target(c), { reason: c.reason }),
  countUsers: ({ of }) => sala.presence.count(of),
  onlineUsers: ({ of }) => sala.presence.online(of),
  subscribe,
  release: ({ value }) => hold(value).resolve(),
  async stop() {
    await subscription.stop();
    await ended;
  },
  close: () => sala.close(),
};

async function list(name, pages) {
  const all = { [name]: [], partial: false };
  for await (const { items, partial } of pages.pages()) {
    all[name].push(...items);
    all.partial ||= partial;
  }
  return all;
}

// hold returns the promise of a value, which release resolves.
function hold(value) {
  const key = `${value}`;
  if (!held.has(key)) {
    const entry = {};
    entry.promise = new Promise((resolve) => { entry.resolve = resolve; });
    held.set(key, entry);
  }
  return held.get(key);
}

const BEHAVIOURS = {
  echo: ({ args }) => new Ack(...args),
  first: ({ args }) => args[0],
  nothing: () => undefined,
  refuse: () => { throw new ClientError('MODERATED', 'mind your language'); },
  crash: () => { throw new Error('a secret of the handler'); },
  large: () => 'x'.repeat(2_000_000),
  async hold({ args: [value] }) {
    await hold(value).promise;
    return value;
  },
  async forward(event) {
    await event.emit('forwarded', event.args);
    await event.emitTo(event.args[0], 'forwarded', event.args);
  },
};

// reported wraps a handler so that it writes when it begins and ends.
const reported = (kind, handler) => async (event) => {
  const { name, socket, user, namespace, args, needsAck, redelivered, room, reason, deliveryId: delivery } = event;
  const line = { kind, name, socket: socket?.id, args, delivery };
  write({ event: 'handling', ...line, user: socket?.user ?? user, namespace, needsAck, redelivered, room, reason, data: socket?.data });
  try {
    return await handler(event);
  } finally {
    write({ event: 'handled', ...line });
  }
};

function decide(decisions) {
  return ({ socket }) => {
    const decision = decisions[socket.user] ?? decisions['*'] ?? 'nothing';
    if (decision === 'crash') throw new Error('a secret of the handler');
    if (decision.refuse) throw new Refuse(decision.refuse.code, decision.refuse.message);
    return decision.accept;
  };
}

function subscribe({ group, namespaces, concurrency, credits, graceMs, on = {}, kinds = [], decide: decisions }) {
  subscription = sala.subscribe({ group, namespaces, concurrency, credits, grace: graceMs });
  for (const [name, behaviour] of Object.entries(on)) subscription.on(name, reported('message', BEHAVIOURS[behaviour]));
  for (const kind of kinds) {
    const method = `on${kind.split('_').map((word) => word[0].toUpperCase() + word.slice(1)).join('')}`;
    subscription[method](reported(kind, () => {}));
  }
  if (decisions) subscription.decide(reported('decide', decide(decisions)));
  subscription
    .onStarted(({ partial, missingNodes }) => write({ event: 'started', partial, missingNodes }))
    .onReconnect(({ cause, gap, undelivered }) => write({ event: 'reconnect', reason: cause?.reason || cause?.code || '', gapMs: Math.round(gap), undelivered }))
    .onRejected(({ reason, deliveryId }) => write({ event: 'rejected', reason, delivery: deliveryId }));
  ended = subscription.run().then(() => write({ event: 'ended' }), (err) => write({ event: 'ended', error: describe(err) }));
}

function describe(err) {
  if (!(err instanceof SalaError)) return { code: '', message: `${err?.message ?? err}` };
  return { code: err.code, reason: err.reason, message: err.message, fields: err.fieldViolations, metadata: err.metadata };
}

async function answer({ id, do: name, ...parameters }) {
  try {
    if (!COMMANDS[name]) throw new Error(`there is no command ${name}`);
    write({ id, result: (await COMMANDS[name](decode(parameters))) ?? {} });
  } catch (err) {
    write({ id, error: describe(err) });
  }
}

// encode replaces binary data, which JSON can't hold; decode is the reverse.
function encode(value) {
  if (value instanceof Uint8Array) return { $bin: Buffer.from(value).toString('base64') };
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map(encode);
  return value && typeof value === 'object' ? Object.fromEntries(Object.entries(value).map(([key, item]) => [key, encode(item)])) : value;
}

function decode(value) {
  if (Array.isArray(value)) return value.map(decode);
  if (value && typeof value.$bin === 'string') return Buffer.from(value.$bin, 'base64');
  return value && typeof value === 'object' ? Object.fromEntries(Object.entries(value).map(([key, item]) => [key, decode(item)])) : value;
}

createInterface({ input: process.stdin }).on('line', (line) => answer(JSON.parse(line))).on('close', () => process.exit(0));

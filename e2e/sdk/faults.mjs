// Faults while clients ask and backends answer: a proxy that cuts in mid-frame, and kill -9 of a
// backend in mid-event, of the proxy and of the broker. An independent checker counts what the clients
// got: it knows nothing of the library and reads nothing that the library reports.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { io } from 'socket.io-client';
import { Sala } from '../helpers/sala.mjs';
import { deadline, until } from '../helpers/wait.mjs';

const EVENT = 'work';
const PATIENCE = 20_000; // ms for an ack; the broker answers for backends after 10 s

// Clients emit events that need an answer, and note what happens to each.
class Checker {
  sent = 0;
  answered = 0;
  disconnected = 0; // the client knows that it has no answer, because its connection ended
  errors = {}; // by code: the client was told that nobody handled the event, or that this isn't known
  wrong = []; // answers to other events, and second ones
  #pending = new Map();

  // lost are the events whose clients wait for nothing, although their connections held.
  get lost() {
    return [...this.#pending.keys()];
  }

  emit(socket, id) {
    this.sent++;
    this.#pending.set(id, socket);
    socket.emit(EVENT, id, (answer) => {
      if (!this.#pending.delete(id)) this.wrong.push(`${id} had its answer, and got ${JSON.stringify(answer)}`);
      else if (answer === id) this.answered++;
      else if (answer?.error) this.errors[answer.error.code] = (this.errors[answer.error.code] ?? 0) + 1;
      else this.wrong.push(`${id} got ${JSON.stringify(answer)}`);
    });
  }

  // gone notes that a client has lost its connection.
  gone(socket) {
    for (const [id, its] of this.#pending) {
      if (its !== socket) continue;
      this.#pending.delete(id);
      this.disconnected++;
    }
  }

  // settled waits until every event has an end, or until it would have had one.
  async settled() {
    await until(() => this.#pending.size === 0, 'all answers', PATIENCE).catch(() => {});
  }
}

// Flow is clients that emit at a steady rate, each one event after the other.
class Flow {
  sockets = [];

  constructor(sala, checker, { clients, rate }) {
    this.checker = checker;
    this.tokens = (async () => {
      for (let n = 0; n < clients; n++) this.#open(sala.url, await sala.token(`user-${n}`));
    })();
    let turn = 0;
    let due = 0;
    let last = performance.now();
    this.timer = setInterval(() => {
      const now = performance.now();
      due += (now - last) / 1000 * rate;
      last = now;
      for (; due >= 1; due--) {
        const socket = this.sockets[turn++ % clients];
        if (socket?.connected) checker.emit(socket, `${turn}`);
      }
    }, 5);
  }

  #open(url, token) {
    const socket = io(url, { forceNew: true, transports: ['websocket'], auth: { token }, reconnectionDelay: 50, reconnectionDelayMax: 200 });
    socket.on('disconnect', () => this.checker.gone(socket));
    this.sockets.push(socket);
  }

  // whole waits until all clients are connected.
  async whole() {
    await this.tokens;
    await until(() => this.sockets.every(({ connected }) => connected), 'all clients', 30_000);
  }

  async stop() {
    clearInterval(this.timer);
    await this.checker.settled();
    for (const socket of this.sockets) socket.disconnect();
  }
}

// Members is the group of backends, and what they report about the time without a stream.
class Members {
  reconnects = [];
  redelivered = 0;
  handled = 0;
  #number = 0;

  constructor(t, library) {
    Object.assign(this, { t, library });
  }

  // join adds a member whose subscription is active.
  async join(sala, address = sala.grpc) {
    const driver = await this.library.dial(this.t, sala, { address });
    driver.label = `member ${++this.#number}`;
    driver.handlings = 0;
    driver.onLine = (line) => {
      if (line.event === 'handling') {
        driver.handlings++;
        if (line.redelivered) this.redelivered++;
      }
      if (line.event === 'handled') this.handled++;
      if (line.event === 'reconnect') this.reconnects.push({ member: driver.label, reason: line.reason, gapMs: line.gapMs, undelivered: line.undelivered });
      if (['handling', 'handled'].includes(line.event)) return true; // nobody asks for them
      return false;
    };
    await driver.do('subscribe', { group: 'workers', on: { [EVENT]: 'first' } });
    await driver.next('started');
    return driver;
  }
}

// startProxy runs the proxy in its own process.
async function startProxy(t, target, port = 0) {
  const child = fork(path.join(import.meta.dirname, 'flaky.mjs'), [target, `${port}`], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
  t.after(() => child.kill('SIGKILL'));
  const [line] = await deadline(once(child.stdout, 'data'), 'the proxy');
  child.address = `${line}`.match(/proxy (\S+)/)[1];
  return child;
}

// faults runs all faults in turn, with calm ms before and after each, and returns the report.
export async function faults(t, library, { clients, rate, calm, rounds = 1 }) {
  let sala = await Sala.start();
  t.after(() => sala.stop());
  const { addr } = sala;
  const proxy = { process: await startProxy(t, addr.grpc) };
  const { address } = proxy.process;
  const checker = new Checker();
  const members = new Members(t, library);
  const proxied = await members.join(sala, address);
  const group = [await members.join(sala), await members.join(sala)];
  const flow = new Flow(sala, checker, { clients, rate });
  t.after(() => flow.stop());
  await flow.whole();
  const rest = () => new Promise((resolve) => setTimeout(resolve, calm));
  // working returns once a member has events: a fault must reach one that works.
  const working = async (driver) => {
    const before = driver.handlings;
    await until(async () => {
      await renew(flow);
      await rest();
      return driver.handlings > before;
    }, `events at ${driver.label}`, 30_000);
  };
  const again = async (driver, cut) => {
    await cut();
    await driver.next('reconnect', undefined, 30_000);
    await driver.next('started', undefined, 30_000);
  };

  const withOthers = {}; // errors although other members were there, and so was the broker
  for (let round = 0; round < rounds; round++) {
    for (const side of ['broker', 'client']) {
      await working(proxied);
      await again(proxied, async () => {
        proxy.process.send({ side });
        await deadline(once(proxy.process, 'message'), 'the cut');
      });
      await rest();
    }
    await working(proxied);
    await again(proxied, async () => {
      proxy.process.kill('SIGKILL');
      await once(proxy.process, 'exit');
      proxy.process = await startProxy(t, addr.grpc, address.split(':')[1]);
    });
    await rest();
    const [victim] = group;
    await working(victim);
    await victim.kill();
    group.shift();
    group.push(await members.join(sala));
    await rest();
    if (round === 0) Object.assign(withOthers, checker.errors);
    const reconnected = [proxied, ...group].map((driver) => again(driver, async () => {}));
    await sala.discard('SIGKILL');
    sala = await Sala.start({ args: ['--grpc-listen', addr.grpc, '--listen', addr.public] });
    await Promise.all(reconnected);
    await flow.whole();
    await rest();
  }
  await flow.stop();
  for (const driver of [proxied, ...group]) await driver.do('stop');
  const { sent, answered, disconnected, errors, lost, wrong } = checker;
  return { sent, answered, disconnected, errors, withOthers, lost, wrong, handled: members.handled, redelivered: members.redelivered, reconnects: members.reconnects };
}

// renew connects a third of the clients again: a socket stays with its member, so that one which has
// returned would have nothing to do.
async function renew(flow) {
  for (const socket of flow.sockets.filter((_, n) => n % 3 === 0)) socket.disconnect().connect();
  await flow.whole();
}

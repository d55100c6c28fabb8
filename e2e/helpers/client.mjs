// Stock Socket.IO clients, and what they receive.
import { io as latest } from 'socket.io-client';
import { io as oldest } from 'socket.io-client-oldest';
import { deadline } from './wait.mjs';

// Every transport that a stock client may use.
export const TRANSPORTS = { websocket: ['websocket'], polling: ['polling'], upgrade: ['polling', 'websocket'] };
export const CLIENTS = { '4.8.4': latest, '4.0.0': oldest };

// WAYS is each transport with each client: {name, options}.
export const WAYS = Object.entries(CLIENTS).flatMap(([version, io]) => Object.entries(TRANSPORTS)
  .map(([transport, transports]) => ({ name: `over ${transport}, client ${version}`, options: { io, transports } })));

// Client is one connected socket with an inbox.
export class Client {
  #inbox = [];
  #waiting = [];

  constructor(socket) {
    this.socket = socket;
    socket.onAny((event, ...args) => this.#arrived({ event, args }));
    socket.on('disconnect', (reason) => this.#arrived({ event: 'disconnect', args: [reason] }));
  }

  get id() {
    return this.socket.id;
  }

  // Events that arrived and that nobody has taken yet.
  get inbox() {
    return [...this.#inbox];
  }

  // next takes the first event with that name, now or when it arrives, and returns its arguments.
  next(event) {
    const at = this.#inbox.findIndex((item) => item.event === event);
    if (at >= 0) return Promise.resolve(this.#inbox.splice(at, 1)[0].args);
    return deadline(new Promise((resolve) => this.#waiting.push({ event, resolve })), `event ${event}; there came ${JSON.stringify(this.#inbox)}`);
  }

  emit(...args) {
    this.socket.emit(...args);
  }

  // ask emits and returns the first argument of the ack.
  ask(event, ...args) {
    return deadline(new Promise((resolve) => this.socket.emit(event, ...args, resolve)), `the ack of ${event}`);
  }

  async join(room, username) {
    const ack = await this.ask('join', username === undefined ? { room } : { room, username });
    if (ack?.error) throw new Error(`join ${room}: ${JSON.stringify(ack)}`);
    return ack;
  }

  close() {
    this.socket.io.reconnection(false);
    this.socket.disconnect();
    this.socket.io.engine?.close();
  }

  #arrived(item) {
    const at = this.#waiting.findIndex(({ event }) => event === item.event);
    if (at >= 0) this.#waiting.splice(at, 1)[0].resolve(item.args);
    else this.#inbox.push(item);
  }
}

// open creates a socket that is closed when the test ends. It may be refused.
export function open(t, sala, { io = latest, namespace = '/', token, auth = token && { token }, ...options } = {}) {
  const socket = io(sala.url + (namespace === '/' ? '' : namespace), { forceNew: true, reconnection: false, auth, ...options });
  const client = new Client(socket);
  t.after(() => client.close());
  return client;
}

// connect returns a connected client, or throws its connect_error.
export async function connect(t, sala, options = {}) {
  const client = open(t, sala, options);
  await deadline(new Promise((resolve, reject) => {
    client.socket.once('connect', resolve);
    client.socket.once('connect_error', reject);
  }), 'the connection');
  return client;
}

// login connects as a user who may do everything.
export async function login(t, sala, user, options = {}, grants = {}) {
  return connect(t, sala, { token: await sala.token(user, grants), ...options });
}

// refusal returns the connect_error of a client that must be refused.
export async function refusal(t, sala, options = {}) {
  try {
    await connect(t, sala, options);
  } catch (err) {
    return err;
  }
  throw new Error('the client was let in');
}

// settle returns when everything that the broker accepted before has arrived at
// these clients: a socket's events arrive in order, so nothing older can follow
// the marker. A test can then assert that something did not arrive.
export async function settle(sala, ...clients) {
  const sockets = clients.map(({ id }) => id);
  await sala.ok('POST', '/v1/emit', { namespace: clients[0].socket.nsp, sockets, event: 'settled', args: [] });
  await Promise.all(clients.map((client) => client.next('settled')));
}

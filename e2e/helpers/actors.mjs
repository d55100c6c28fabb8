// Socket.IO clients of several implementations, which a test controls in the same way. Binary values are Buffers in
// tests, and {$bin: base64} between the processes.
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { io as io4 } from 'socket.io-client';
import { io as io40 } from 'socket.io-client-oldest';
import io3 from 'socket.io-client-3';
import { cleanEnv } from './process.mjs';
import { deadline } from './wait.mjs';

const ACTORS = path.resolve(import.meta.dirname, '../actors');
const require = createRequire(import.meta.url);

// The ways in which each may connect: transports and other options.
const WAYS = {
  websocket: { transports: ['websocket'] },
  polling: { transports: ['polling'] },
  default: { transports: ['polling', 'websocket'] },
  forceBase64: { transports: ['polling', 'websocket'], forceBase64: true },
};

// RETURN makes clients reconnect soon.
const RETURN = { reconnectionDelay: 100, reconnectionDelayMax: 1000 };

function plain(value) {
  if (value instanceof Uint8Array || value instanceof ArrayBuffer) return { $bin: Buffer.from(value).toString('base64') };
  if (Array.isArray(value)) return value.map(plain);
  if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
  return value;
}

function whole(value) {
  if (Array.isArray(value)) return value.map(whole);
  if (value?.$bin !== undefined) return Buffer.from(value.$bin, 'base64');
  if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, whole(item)]));
  return value;
}

// Actor is one client: it records what happened and carries out orders. Subclasses implement order(what).
class Actor {
  #facts = [];
  #waiting = [];
  #ids = 0;
  connects = 0;
  gaveUp = false; // the client won't return

  constructor(name) {
    this.name = name;
  }

  // happened records a fact: {on: 'connect' | 'disconnect' | 'refused' | 'event' | 'ack' | 'gives up', …}.
  happened(fact) {
    if (fact.on === 'connect') this.connects++;
    if (fact.on === 'gives up') this.gaveUp = true;
    const at = this.#waiting.findIndex(({ fits }) => fits(fact));
    if (at >= 0) this.#waiting.splice(at, 1)[0].resolve(fact);
    else this.#facts.push(fact);
  }

  // fact takes the first fact that matches, now or when it occurs.
  fact(what, fits) {
    const at = this.#facts.findIndex(fits);
    if (at >= 0) return Promise.resolve(this.#facts.splice(at, 1)[0]);
    return deadline(new Promise((resolve) => this.#waiting.push({ fits, resolve })), `${what} of ${this.name}; there came ${JSON.stringify(this.#facts)}`, 30_000);
  }

  // next returns the arguments of the next event with that name.
  async next(event) {
    return whole((await this.fact(event, (fact) => fact.on === 'event' && fact.event === event)).args);
  }

  connect() {
    return this.fact('the connect', ({ on }) => on === 'connect');
  }

  // all returns the events with that name that nobody has taken.
  all(event) {
    return this.#facts.filter((fact) => fact.on === 'event' && fact.event === event);
  }

  emit(event, ...args) {
    this.order({ do: 'emit', event, args: plain(args) });
  }

  // ask emits and returns the arguments of the ack.
  async ask(event, ...args) {
    const id = ++this.#ids;
    this.order({ do: 'emit', id, ack: true, event, args: plain(args) });
    return whole((await this.fact(`the ack of ${event}`, (fact) => fact.on === 'ack' && fact.id === id)).args);
  }
}

// follow reports everything that happens to a stock JavaScript client to its actor. It runs in Node and in pages.
export function follow(socket, happened) {
  const pack = (value) => {
    if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) {
      const bytes = value instanceof ArrayBuffer ? new Uint8Array(value) : new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
      return { $bin: btoa(Array.from(bytes, (b) => String.fromCharCode(b)).join('')) };
    }
    if (Array.isArray(value)) return value.map(pack);
    if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, pack(item)]));
    return value;
  };
  const unpack = (value) => {
    if (Array.isArray(value)) return value.map(unpack);
    if (value && value.$bin !== undefined) return Uint8Array.from(atob(value.$bin), (c) => c.charCodeAt(0)).buffer;
    if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, unpack(item)]));
    return value;
  };
  socket.on('connect', () => happened({ on: 'connect' }));
  socket.on('disconnect', () => happened({ on: 'disconnect' }));
  socket.on('connect_error', (err) => happened({ on: 'refused', why: String(err) }));
  socket.onAny((event, ...args) => happened({ on: 'event', event, args: pack(args) }));
  return ({ event, args, ack, id }) => {
    const values = unpack(args);
    if (ack) socket.emit(event, ...values, (...answer) => happened({ on: 'ack', id, args: pack(answer) }));
    else socket.emit(event, ...values);
  };
}

class NodeActor extends Actor {
  constructor(name, io, options) {
    super(name);
    Object.assign(this, { io, options });
  }

  async open(url, token) {
    this.socket = this.io(url, { forceNew: true, auth: { token }, ...RETURN, ...this.options });
    this.emitter = follow(this.socket, (fact) => this.happened(fact));
  }

  order(what) {
    this.emitter(what);
  }

  async close() {
    this.socket?.disconnect();
  }
}

class ChildActor extends Actor {
  constructor(name, command, args, options) {
    super(name);
    Object.assign(this, { command, args, options });
  }

  async open(url, token) {
    this.child = spawn(this.command, this.args, { env: cleanEnv(), stdio: ['pipe', 'pipe', 'inherit'] });
    createInterface({ input: this.child.stdout }).on('line', (line) => this.happened(JSON.parse(line)));
    this.ended = new Promise((resolve) => { this.child.once('close', resolve); });
    this.order({ do: 'open', url, token, transports: this.options.transports });
  }

  order(what) {
    this.child.stdin.write(`${JSON.stringify(what)}\n`);
  }

  async close() {
    if (!this.child) return;
    this.child.stdin.end();
    const force = setTimeout(() => this.child.kill('SIGKILL'), 5000);
    await this.ended;
    clearTimeout(force);
  }
}

class PageActor extends Actor {
  constructor(name, pages, version, options) {
    super(name);
    Object.assign(this, { pages, version, options });
  }

  async open(url, token) {
    this.page = await this.pages.of(this.version);
    this.key = this.pages.add(this);
    await this.page.evaluate(([key, url, options, follow]) => {
      window.actors ??= {};
      const socket = window.io(url, options);
      window.actors[key] = { socket, emit: (0, eval)(`(${follow})`)(socket, (fact) => window.happened(key, fact)) };
    }, [this.key, url, { forceNew: true, auth: { token }, ...RETURN, ...this.options }, follow.toString()]);
  }

  order(what) {
    this.page.evaluate(([key, what]) => window.actors[key].emit(what), [this.key, what]).catch((err) => this.happened({ on: 'failed', why: String(err) }));
  }

  async close() {
    await this.page?.evaluate((key) => window.actors[key].socket.disconnect(), this.key).catch(() => {});
  }
}

// Pages are browser pages with a loaded client, one for each version.
export class Pages {
  #actors = [];
  #pages = {};

  constructor(shared) {
    this.shared = shared;
  }

  add(actor) {
    return this.#actors.push(actor) - 1;
  }

  of(version) {
    this.#pages[version] ??= this.#open(version);
    return this.#pages[version];
  }

  async #open(version) {
    const client = readFileSync(path.join(path.dirname(require.resolve(`${PACKAGES[version]}/package.json`)), 'dist/socket.io.min.js'));
    this.server ??= await this.#serve();
    const page = await this.shared.chromium.newPage();
    await page.exposeFunction('happened', (key, fact) => this.#actors[key].happened(fact));
    await page.goto(`http://127.0.0.1:${this.server.address().port}/`);
    await page.addScriptTag({ content: client.toString() });
    return page;
  }

  #serve() {
    const server = createServer((_, response) => response.setHeader('content-type', 'text/html').end('<!doctype html><title>client</title>'));
    return new Promise((resolve) => { server.listen(0, '127.0.0.1', () => resolve(server)); });
  }

  async close() {
    for (const page of Object.values(this.#pages)) await (await page).close();
    this.server?.close();
    this.server?.closeAllConnections();
  }
}

const PACKAGES = { '3.1.3': 'socket.io-client-3', '4.0.0': 'socket.io-client-oldest', '4.8.4': 'socket.io-client' };
const NODE = { '3.1.3': io3.io ?? io3, '4.0.0': io40, '4.8.4': io4 };

// inNode are the clients of socket.io-client in Node.
export function inNode() {
  return Object.entries(NODE).flatMap(([version, io]) => Object.entries(WAYS)
    .map(([way, options]) => new NodeActor(`node ${version} ${way}`, io, options)));
}

// inChromium are the same in pages.
export function inChromium(pages) {
  return Object.keys(PACKAGES).flatMap((version) => Object.entries(WAYS)
    .map(([way, options]) => new PageActor(`chromium ${version} ${way}`, pages, version, options)));
}

// inPython are the clients of Debian's python3-socketio.
export function inPython() {
  return ['sync', 'asyncio'].flatMap((kind) => ['websocket', 'polling', 'default']
    .map((way) => new ChildActor(`python ${kind} ${way}`, '/usr/bin/python3', [path.join(ACTORS, 'python.py'), kind], WAYS[way])));
}

// inGo are the clients of the program that the test has built. Over long-polling this client sends only when the pending
// poll has ended, as docs/clients.md says.
export function inGo(program) {
  return ['websocket', 'polling', 'default'].map((way) => Object.assign(new ChildActor(`go ${way}`, program, [], WAYS[way]), { sendsAfterPolls: way === 'polling' }));
}

export const GO_SOURCE = path.join(ACTORS, 'go');

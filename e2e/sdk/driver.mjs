// A client library under test: its driver in its own process. README.md describes the protocol.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { API_KEY } from '../helpers/sala.mjs';
import { cleanEnv, run } from '../helpers/process.mjs';
import { deadline } from '../helpers/wait.mjs';

// Library is a client library whose driver can be started.
export class Library {
  // build makes the driver, if it needs that.
  static async build(name, { build, command, args }) {
    const library = new Library();
    library.name = name;
    library.dir = mkdtempSync(path.join(tmpdir(), 'sala-e2e-'));
    const at = (text) => text.replace('{bin}', path.join(library.dir, 'driver'));
    if (build) {
      const [program, its, cwd] = build;
      const { code, stderr } = await run(program, its.map(at), { cwd, ms: 280_000 });
      if (code !== 0) throw new Error(`${name}: ${stderr}`);
    }
    Object.assign(library, { command: at(command), args: args.map(at) });
    return library;
  }

  // start runs a driver, and ends it when the test ends.
  start(t) {
    const driver = new Driver(this);
    t.after(() => driver.kill());
    return driver;
  }

  // dial starts a driver that is connected to a broker.
  async dial(t, sala, options = {}) {
    const driver = this.start(t);
    await driver.do('dial', { address: sala.grpc, key: API_KEY, ...options });
    return driver;
  }

  // subscribe starts a driver whose subscription is active.
  async subscribe(t, sala, options, dialled = {}) {
    const driver = await this.dial(t, sala, dialled);
    await driver.do('subscribe', options);
    await driver.next('started');
    return driver;
  }

  remove() {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

// Driver is a running driver.
class Driver {
  stderr = '';
  #ids = 0;
  #calls = new Map(); // id → {resolve, reject}
  #lines = []; // events that nobody has taken
  #waiting = [];

  constructor({ name, command, args }) {
    this.name = name;
    this.process = spawn(command, args, { env: cleanEnv(), stdio: ['pipe', 'pipe', 'pipe'] });
    this.process.stdin.on('error', () => {});
    this.process.stderr.setEncoding('utf8').on('data', (text) => { this.stderr += text; });
    createInterface({ input: this.process.stdout }).on('line', (line) => this.#arrived(JSON.parse(line)));
    this.exited = once(this.process, 'close').then(([code, signal]) => {
      this.code = code ?? signal;
      for (const { reject } of this.#calls.values()) reject(new Error(`${this.name} ended with ${this.code}:\n${this.stderr}`));
      return this.code;
    });
  }

  // do carries out a command and returns its result, or throws its error.
  do(what, parameters = {}, ms = undefined) {
    const id = ++this.#ids;
    const answered = new Promise((resolve, reject) => this.#calls.set(id, { resolve, reject }));
    this.process.stdin.write(`${JSON.stringify({ id, do: what, ...plain(parameters) })}\n`);
    return deadline(answered, `the result of ${what} ${JSON.stringify(parameters)} from ${this.name}, which said:\n${this.stderr}`, ms);
  }

  // fails carries out a command that must fail, and returns its error.
  async fails(what, parameters, ms) {
    const result = await this.do(what, parameters, ms).catch((err) => {
      if (err.code === undefined) throw err;
      return { failed: err };
    });
    if (!result.failed) throw new Error(`${what} succeeded: ${JSON.stringify(result)}`);
    return result.failed;
  }

  // next takes the first event that fits, now or when it comes.
  next(event, fits = () => true, ms = undefined) {
    const matches = (line) => line.event === event && fits(line);
    const at = this.#lines.findIndex(matches);
    if (at >= 0) return Promise.resolve(this.#lines.splice(at, 1)[0]);
    return deadline(new Promise((resolve) => this.#waiting.push({ matches, resolve })),
      `${event} from ${this.name}; there came ${JSON.stringify(this.#lines.slice(-20))}, and it said:\n${this.stderr}`, ms);
  }

  // seen returns the events with that name that nobody has taken.
  seen(event) {
    return this.#lines.filter((line) => line.event === event);
  }

  // end closes the driver's standard input and returns its exit code.
  end() {
    this.process.stdin.end();
    return deadline(this.exited, `the end of ${this.name}, which said:\n${this.stderr}`);
  }

  async kill(signal = 'SIGKILL') {
    if (this.code === undefined) this.process.kill(signal);
    await this.exited;
  }

  #arrived(line) {
    line = whole(line);
    if (this.onLine?.(line)) return; // it has taken the line
    if (line.id !== undefined) {
      const { resolve, reject } = this.#calls.get(line.id);
      this.#calls.delete(line.id);
      if (line.error) reject(Object.assign(new Error(line.error.message), line.error));
      else resolve(line.result);
      return;
    }
    const at = this.#waiting.findIndex(({ matches }) => matches(line));
    if (at >= 0) this.#waiting.splice(at, 1)[0].resolve(line);
    else this.#lines.push(line);
  }
}

function plain(value) {
  if (value instanceof Uint8Array) return { $bin: Buffer.from(value).toString('base64') };
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

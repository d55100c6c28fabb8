// A broker under test: bin/sala with all its listeners on free ports.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { once } from 'node:events';
import { jwt } from './jwt.mjs';
import { Child, SALA } from './process.mjs';

export const SECRET = 'a-secret-of-the-e2e-tests-long-enough-to-sign-with';
export const API_KEY = 'e2e-key-that-opens-everything';

// What the tests' broker relays and announces, as in the example configuration.
export const CONFIG = {
  relay: [
    { event: 'my_event', emit: 'my_response', to: 'room', room_field: 'room' },
    { event: 'shout', emit: 'my_response', to: 'broadcast' },
  ],
  rooms: {
    join_event: 'join',
    leave_event: 'leave',
    announce: { event: 'message', joined: '{username} ha entrado en la sala {room}.', left: '{username} ha salido de la sala {room}.' },
  },
};

// The fields of a response in which no node is missing.
export const WHOLE = { partial: false, missingNodes: [] };

// The other fields of the answer to an emit that is neither recorded nor repeated.
export const UNRECORDED = { positions: [], unrecordedRooms: [], duplicate: false };

// The log line of a listener, as JSON or as text.
const LISTENING = /\bmsg\W+listening\W+listener\W+(\w+)\W+addr\W+([\d.:]+)/g;

const ANY_PORT = '127.0.0.1:0';

export class Sala {
  // start runs `sala serve`; config is written to a file as JSON, which is YAML.
  static async start({ args = [], config = CONFIG, env = {}, program = SALA } = {}) {
    const sala = new Sala(mkdtempSync(path.join(tmpdir(), 'sala-e2e-')));
    sala.configure(config);
    return sala.run(['--config', sala.file, ...args], env, program);
  }

  // dev runs `sala serve --dev` with nothing configured.
  static async dev({ args = [] } = {}) {
    return new Sala().run(['--dev', ...args], {});
  }

  constructor(dir) {
    this.dir = dir;
    this.reloads = 0;
  }

  get file() {
    return path.join(this.dir, 'sala.yaml');
  }

  configure(config) {
    writeFileSync(this.file, JSON.stringify({ jwt_secret: `e2e=${SECRET}`, api_key: API_KEY, ...config }));
  }

  // reconfigure has the broker use the API keys of another configuration.
  async reconfigure(config) {
    this.configure(config);
    this.child.process.kill('SIGHUP');
    const wanted = ++this.reloads;
    await this.child.see(({ stderr }) => stderr.split('reloaded the API keys').length > wanted, 'the API keys to be reloaded');
  }

  async run(args, env, program = SALA) {
    this.child = new Child(program, ['serve', '--listen', ANY_PORT, '--grpc-listen', ANY_PORT, '--http-listen', ANY_PORT,
      '--log-format', 'json', '--log-level', 'debug', ...args], { env });
    try {
      const at = await this.child.see((child) => {
        const found = Object.fromEntries([...child.stderr.matchAll(LISTENING)].map(([, listener, addr]) => [listener, addr]));
        return found.public && found.grpc && found.http && found;
      }, 'three listeners');
      this.addr = at;
      this.url = `http://${at.public}`;
      this.http = `http://${at.http}`;
      this.grpc = at.grpc;
    } catch (err) {
      await this.discard('SIGKILL');
      throw err;
    }
    return this;
  }

  get log() {
    return this.child.output;
  }

  // stop ends the broker as an operator would and requires a clean exit.
  async stop() {
    const code = await this.discard('SIGTERM');
    assert.equal(code, 0, `exit code of the broker, which said:\n${this.log}`);
    assert.ok(!/panic:|DATA RACE|goroutine \d+ \[/.test(this.log), `a crash in the log:\n${this.log}`);
  }

  async discard(signal) {
    try {
      return await this.child.end(signal);
    } finally {
      if (this.dir) rmSync(this.dir, { recursive: true, force: true });
    }
  }

  // rest makes one REST call and returns {status, body}.
  async rest(method, pathname, body, { key = API_KEY, headers = {} } = {}) {
    const response = await fetch(this.http + pathname, {
      method,
      headers: { ...(key && { authorization: `Bearer ${key}` }), ...headers },
      body: body && (typeof body === 'string' ? body : JSON.stringify(body)),
    });
    const text = await response.text();
    let parsed = text;
    try {
      parsed = JSON.parse(text);
    } catch {
      // not every answer is JSON: /metrics
    }
    return { status: response.status, body: parsed, headers: response.headers };
  }

  // ok is rest for a call that must succeed; it returns the body.
  async ok(method, pathname, body, options) {
    const answer = await this.rest(method, pathname, body, options);
    assert.equal(answer.status, 200, `${method} ${pathname}: ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  // token issues a token; permissions that aren't given are granted.
  async token(user, grants = {}) {
    const { token } = await this.ok('POST', '/v1/tokens', { user, join: ['**'], publish: ['**'], broadcast: true, ...grants });
    return token;
  }

  // foreignToken makes a token outside the broker, with only the secret.
  foreignToken(claims, options) {
    return jwt({ exp: Math.floor(Date.now() / 1000) + 3600, ...claims }, { secret: SECRET, ...options });
  }

  emit(rooms, event, ...args) {
    return this.ok('POST', '/v1/emit', { rooms, event, args });
  }
}

export function logLines(child) {
  return child.output.split('\n').filter((line) => line.startsWith('{')).flatMap((line) => {
    try {
      return [JSON.parse(line)];
    } catch {
      return []; // the line is not complete yet
    }
  });
}

// freePort is for the few programs that must know a port before they run. It is none of those that systems give to
// outgoing connections and to listeners on port 0, so that nothing takes it before the program has started, or while it is
// restarted.
export async function freePort() {
  for (;;) {
    const port = randomInt(15_000, 32_000);
    const server = createServer().listen(port, '127.0.0.1');
    const free = await once(server, 'listening').then(() => true, () => false);
    if (!free) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
}

// A test's own redis-server, which stores nothing on disk.
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Child } from './process.mjs';
import { freePort } from './sala.mjs';
import { until } from './wait.mjs';

export class Redis {
  static async start() {
    const redis = new Redis();
    redis.port = await freePort();
    redis.dir = mkdtempSync(path.join(tmpdir(), 'sala-redis-'));
    await redis.restart();
    return redis;
  }

  get url() {
    return `redis://127.0.0.1:${this.port}`;
  }

  async restart() {
    this.child = new Child('redis-server', ['--port', String(this.port), '--bind', '127.0.0.1', '--dir', this.dir, '--save', '', '--appendonly', 'no']);
    await until(() => this.#answers(), 'an answer of the Redis');
  }

  kill() {
    return this.child.end('SIGKILL');
  }

  async stop() {
    await this.kill();
    rmSync(this.dir, { recursive: true, force: true });
  }

  // send sends a command, words between spaces, and returns the first line of the
  // answer. The caller gets the rest, and may keep the connection.
  send(command, keep = () => {}) {
    return new Promise((resolve, reject) => {
      const socket = net.connect(this.port, '127.0.0.1', () => socket.write(`${command}\r\n`));
      socket.once('data', (text) => { keep(socket); resolve(String(text).split('\r\n')[0]); });
      socket.on('error', reject);
    }).then((line) => {
      if (line.startsWith('-')) throw new Error(`redis: ${command}: ${line}`);
      return line;
    });
  }

  // run is send on its own connection, which it closes after the answer.
  async run(command) {
    let socket;
    const line = await this.send(command, (kept) => { socket = kept; });
    socket.destroy();
    return line;
  }

  #answers() {
    return new Promise((resolve) => {
      const socket = net.connect(this.port, '127.0.0.1', () => socket.write('PING\r\n'));
      socket.on('data', (text) => { socket.destroy(); resolve(String(text).startsWith('+PONG')); });
      socket.on('error', () => resolve(false));
    });
  }
}

// Wire is a connection to a Redis that can be cut.
export class Wire {
  #pairs = new Set();

  static async to(redis) {
    const wire = new Wire();
    wire.server = net.createServer((client) => {
      if (wire.isCut) return client.destroy();
      const behind = net.connect(redis.port, '127.0.0.1');
      const pair = { client, behind };
      wire.#pairs.add(pair);
      const end = () => { wire.#pairs.delete(pair); client.destroy(); behind.destroy(); };
      for (const socket of [client, behind]) socket.on('error', end).on('close', end);
      return client.pipe(behind).pipe(client);
    }).listen(0, '127.0.0.1');
    await once(wire.server, 'listening');
    wire.url = `redis://127.0.0.1:${wire.server.address().port}`;
    return wire;
  }

  cut() {
    this.isCut = true;
    for (const { client } of this.#pairs) client.destroy();
  }

  repair() {
    this.isCut = false;
  }

  stop() {
    this.cut();
    this.server.close();
  }
}

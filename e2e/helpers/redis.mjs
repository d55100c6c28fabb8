// A redis-server of a test's own, which keeps nothing.
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

  #answers() {
    return new Promise((resolve) => {
      const socket = net.connect(this.port, '127.0.0.1', () => socket.write('PING\r\n'));
      socket.on('data', (text) => { socket.destroy(); resolve(String(text).startsWith('+PONG')); });
      socket.on('error', () => resolve(false));
    });
  }
}

// A Redis of a test's own, which keeps nothing on disk.
import { Child } from './process.mjs';
import { freePort } from './sala.mjs';

export class Redis {
  static async start() {
    const redis = new Redis();
    const port = await freePort();
    redis.url = `redis://127.0.0.1:${port}`;
    redis.child = new Child('redis-server', ['--bind', '127.0.0.1', '--port', `${port}`, '--save', '', '--appendonly', 'no']);
    await redis.child.see(({ stdout }) => stdout.includes('Ready to accept connections'), 'a Redis');
    return redis;
  }

  stop() {
    return this.child.end('SIGTERM');
  }
}

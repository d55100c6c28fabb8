// The proxies of deploy/, run with those files; only addresses and ports differ.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { rawGet } from './http.mjs';
import { Child, ROOT } from './process.mjs';
import { freePort } from './sala.mjs';
import { until } from './wait.mjs';

// Each of these defines how to run the proxy, what to change in its file, as
// [text that must be in it, replacement], and when it has noticed that a node
// drains.
export const HAPROXY = {
  name: 'haproxy',
  file: 'deploy/haproxy.cfg',
  command: (file) => ['haproxy', ['-db', '-f', file]],
  changes: (port, nodes) => [
    ['bind :80', `bind 127.0.0.1:${port}`],
    ...nodes.map((node, n) => [`server node${n + 1} node${n + 1}:3000`, `server node${n + 1} ${node.addr.public} port ${new URL(node.http).port}`]),
  ],
  notices: (proxy, n) => proxy.child.see(({ output }) => output.includes(`Server nodes/node${n + 1} is DOWN`), 'a failed check'),
};

export const NGINX = {
  name: 'nginx',
  file: 'deploy/nginx.conf',
  command: (file, dir) => ['nginx', ['-p', dir, '-c', file, '-e', 'stderr', '-g', `daemon off; pid ${dir}/nginx.pid;`]],
  changes: (port, nodes, dir) => [
    ['listen 80;', `listen 127.0.0.1:${port};`],
    // Debian's places for these are root's.
    ['http {', `http { ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((what) => `${what}_temp_path ${dir}/${what};`).join(' ')}`],
    ...nodes.flatMap((node, n) => [
      [`10.0.0.1${n + 1}:3000`, node.addr.public],
    ]),
    ['fail_timeout=5s', 'fail_timeout=1s'],
  ],
  // It only sees a handshake fail, and retries after a while.
  notices: () => until(((end) => () => Date.now() > end)(Date.now() + 1100), 'a while to pass'),
};

// The same with sticky sessions.
export const HAPROXY_STICKY = { ...HAPROXY, name: 'haproxy, sticky', file: 'deploy/haproxy-sticky.cfg' };

export const NGINX_STICKY = {
  ...NGINX,
  name: 'nginx, sticky',
  file: 'deploy/nginx-sticky.conf',
  changes: (port, nodes, dir) => [
    ...NGINX.changes(port, nodes, dir),
    ...nodes.map((node, n) => [`10\\.0\\.0\\.1${n + 1}:3000`, node.addr.public.replaceAll('.', '\\.')]),
  ],
};

// Proxy is a running proxy; its url is for clients, like a Sala's.
export class Proxy {
  static async start(kind, nodes) {
    const proxy = new Proxy();
    proxy.dir = mkdtempSync(path.join(tmpdir(), 'sala-e2e-'));
    const port = await freePort();
    proxy.url = `http://127.0.0.1:${port}`;
    let text = readFileSync(path.join(ROOT, kind.file), 'utf8');
    for (const [from, to] of kind.changes(port, nodes, proxy.dir)) {
      if (!text.includes(from)) throw new Error(`${kind.file} has no ${from}`);
      text = text.replaceAll(from, to);
    }
    const file = path.join(proxy.dir, path.basename(kind.file));
    writeFileSync(file, text);
    proxy.child = new Child(...kind.command(file, proxy.dir), { env: { PATH: `${process.env.PATH}:/usr/sbin:/sbin` } });
    try {
      await until(() => proxy.answers(), `an answer of ${kind.name}, which said:\n${proxy.child.output}`);
    } catch (err) {
      await proxy.stop();
      throw err;
    }
    return proxy;
  }

  // answers reports whether the proxy runs: it answers every path but one with 404.
  async answers() {
    if (this.child.code !== undefined) throw new Error(`the proxy ended with ${this.child.code}:\n${this.child.output}`);
    return rawGet(`${this.url}/`).then(({ status }) => status === 404, () => false);
  }

  async stop() {
    await this.child.end('SIGTERM');
    rmSync(this.dir, { recursive: true, force: true });
  }
}

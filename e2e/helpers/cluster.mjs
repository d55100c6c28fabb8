// Several nodes that form one broker, with their own Redis.
import { once } from 'node:events';
import net from 'node:net';
import { after, before } from 'node:test';
import { Redis } from './redis.mjs';
import { CONFIG, Sala } from './sala.mjs';
import { until } from './wait.mjs';

const CLUSTER_KEY = 'a-key-of-the-e2e-tests-long-enough-to-sign-with';

export class Cluster {
  nodes = [];

  // start starts a Redis and that many nodes, and returns when each knows the others.
  static async start(size, args = [], config = CONFIG) {
    const cluster = new Cluster();
    cluster.config = config;
    cluster.redis = await Redis.start();
    cluster.args = ['--redis-url', cluster.redis.url, '--cluster-key', CLUSTER_KEY, '--drain-spread', '0s', ...args];
    for (let i = 0; i < size; i++) await cluster.add();
    await cluster.whole();
    return cluster;
  }

  // add starts another node, with optional arguments, and records its id.
  async add(...args) {
    const sala = await Sala.start({ args: [...this.args, ...args], config: this.config });
    const line = await sala.child.see((child) => child.output.match(/"msg":"joining the cluster","node":"(\w+)"/), 'the id of a node');
    sala.id = line[1];
    this.nodes.push(sala);
    return sala;
  }

  // lose kills a node as a power cut would.
  async lose(sala) {
    this.nodes = this.nodes.filter((node) => node !== sala);
    await sala.discard('SIGKILL');
  }

  // leave stops a node as an operator does, and returns when the others know.
  async leave(sala) {
    this.nodes = this.nodes.filter((node) => node !== sala);
    await sala.stop();
    await this.whole();
  }

  // whole returns when every node knows all the others.
  whole() {
    return until(async () => {
      for (const node of this.nodes) {
        const { nodes, partial } = await node.ok('GET', '/v1/nodes');
        if (partial || nodes.length !== this.nodes.length) return false;
      }
      return true;
    }, 'each node to know the others');
  }

  async stop() {
    const ends = await Promise.allSettled(this.nodes.map((node) => node.stop()));
    await this.redis.stop(); // also if a node doesn't end; otherwise the tests wouldn't
    for (const { reason } of ends) if (reason) throw reason;
  }
}

// cluster starts a cluster before the tests of a file and stops it after them.
export function cluster(size, args, config) {
  const shared = {};
  before(async () => { Object.assign(shared, { cluster: await Cluster.start(size, args, config) }); });
  after(() => shared.cluster?.stop());
  return shared;
}

// balancer spreads connections over the ready nodes, as a load balancer does, and
// returns its URL.
export async function balancer(t, nodes) {
  let next = 0;
  const server = net.createServer(async (client) => {
    client.on('error', () => {});
    const ready = await Promise.all(nodes.map(async (node) => (await node.rest('GET', '/readyz?local=1')).status === 200));
    const able = nodes.filter((_, i) => ready[i]);
    const [host, port] = able[next++ % able.length].addr.public.split(':');
    const behind = net.connect(Number(port), host);
    behind.on('error', () => client.destroy());
    client.on('close', () => behind.destroy());
    behind.on('close', () => client.destroy());
    client.pipe(behind).pipe(client);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return `http://127.0.0.1:${server.address().port}`;
}

// Two nodes of one broker behind a proxy with its configuration from deploy/.
import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';
import { TRANSPORTS, WAYS, connect, refusal } from '../helpers/client.mjs';
import { rawGet } from '../helpers/http.mjs';
import { HAPROXY, HAPROXY_STICKY, NGINX, NGINX_STICKY, Proxy } from '../helpers/proxy.mjs';
import { Redis } from '../helpers/redis.mjs';
import { UNRECORDED, WHOLE, Sala, logLines } from '../helpers/sala.mjs';
import { until } from '../helpers/wait.mjs';

const CHANGED = ['disconnect', 'sala:disconnect'];

// nginx chooses the node by the client's address, so every client has its own:
// Linux accepts all of 127.0.0.0/8.
let addresses = 0;

function fromElsewhere() {
  addresses++;
  return new http.Agent({ keepAlive: true, localAddress: `127.0.1.${addresses % 250 + 1}` });
}

// Session is a long-polling session without a client, which would end it.
class Session {
  static async open({ url }) {
    const response = await fetch(`${url}/socket.io/?EIO=4&transport=polling`);
    const session = new Session();
    session.cookie = response.headers.get('set-cookie')?.split(';')[0];
    session.sid = JSON.parse((await response.text()).slice(1)).sid;
    session.path = `/socket.io/?EIO=4&transport=polling&sid=${session.sid}`;
    session.url = url;
    return session;
  }

  // home returns the node of the session: the session's id begins with the node's.
  home(nodes) {
    return nodes.find(({ id }) => this.sid.startsWith(id));
  }

  async post(body) {
    return (await fetch(this.url + this.path, { method: 'POST', body, headers: { ...(this.cookie && { cookie: this.cookie }) } })).status;
  }

  async poll() {
    return (await fetch(this.url + this.path, { headers: { ...(this.cookie && { cookie: this.cookie }) } })).text();
  }
}

// Breakers stand before nodes. Once armed, one of them ends the connection of the next poll, as a node does that closes
// idle connections while a poll is on its way.
class Breakers {
  armed = false;
  nodes = [];
  #servers = [];
  #sockets = new Set();

  static async start(nodes) {
    const breakers = new Breakers();
    for (const node of nodes) {
      const [host, port] = node.addr.public.split(':');
      const server = net.createServer((client) => breakers.#pass(client, net.connect({ host, port })));
      await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
      breakers.#servers.push(server);
      breakers.nodes.push({ addr: { public: `127.0.0.1:${server.address().port}` }, http: node.http });
    }
    return breakers;
  }

  #pass(client, node) {
    for (const [from, to] of [[client, node], [node, client]]) {
      this.#sockets.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => { this.#sockets.delete(from); to.destroy(); });
    }
    client.on('data', (data) => {
      if (this.armed && /^GET .*transport=polling.*&sid=/.test(data.toString('latin1'))) {
        this.armed = false;
        client.destroy();
      } else {
        node.write(data);
      }
    });
    node.pipe(client);
  }

  stop() {
    for (const socket of this.#sockets) socket.destroy();
    for (const server of this.#servers) server.close();
  }
}

for (const kind of [HAPROXY, NGINX, HAPROXY_STICKY, NGINX_STICKY]) {
  describe(kind.name, () => {
    let redis;
    let nodes = [];
    let proxy;
    let token;

    before(async () => {
      redis = await Redis.start();
      nodes = await Promise.all([1, 2].map(() => Sala.start({ args: ['--redis-url', redis.url, '--drain-spread', '200ms', '--trusted-proxies', '127.0.0.1'] })));
      await until(async () => (await nodes[0].ok('GET', '/v1/nodes')).nodes.length === 2, 'a cluster of two');
      proxy = await Proxy.start(kind, nodes);
      token = await nodes[0].token('ada');
      for (const node of nodes) node.id = logLines(node.child).find(({ msg }) => msg === 'joining the cluster').node;
    });
    after(async () => {
      await proxy?.stop();
      await Promise.all(nodes.map((node) => node.stop()));
      await redis?.stop();
    });

    // enter connects a client that counts later failures.
    const enter = async (t, options) => {
      const client = await connect(t, proxy, { token, withCredentials: true, agent: fromElsewhere(), reconnectionDelay: 10, reconnectionDelayMax: 100, ...options });
      client.failures = [];
      client.socket.on('connect_error', (err) => client.failures.push(err.message));
      client.socket.io.on('reconnect_error', (err) => client.failures.push(err.message));
      return client;
    };
    const enterAll = (t, ways, options) => Promise.all(ways.map((way) => enter(t, { ...way.options, ...options })));

    // home returns the node that a client is connected to: socket ids begin with its id.
    const home = (client) => {
      const node = nodes.find(({ id }) => client.id.startsWith(id));
      assert.notEqual(node, undefined, `a node for ${client.id}`);
      return node;
    };

    test('clients connect in every way, to both nodes, and stay where they are', async (t) => {
      const clients = await enterAll(t, Array.from({ length: 4 }, () => WAYS).flat());
      const homes = clients.map(home);
      assert.deepEqual(new Set(homes), new Set(nodes), 'both nodes have clients');
      for (let round = 0; round < 5; round++) {
        await Promise.all(clients.map((client) => client.join(`room-${round}`)));
      }
      for (const [n, node] of nodes.entries()) {
        const sent = await node.emit(['room-0'], 'news', n);
        assert.deepEqual(sent, { matched: clients.length, queued: clients.length, kept: 0, dropped: 0, ...WHOLE, ...UNRECORDED });
        for (const client of clients) assert.deepEqual(await client.next('news'), [n]);
      }
      assert.deepEqual(clients.flatMap(({ failures, inbox }) => [...failures, ...inbox.filter(({ event }) => CHANGED.includes(event))]), []);
    });

    test('an upgrade stays on the node of its handshake', async (t) => {
      const clients = await enterAll(t, WAYS.filter(({ options }) => options.transports === TRANSPORTS.upgrade));
      for (const client of clients) {
        await until(() => client.socket.io.engine.transport.name === 'websocket', 'the upgrade');
        const node = home(client);
        await until(async () => (await node.ok('GET', `/v1/sockets/${client.id}`)).socket.transport === 'websocket', 'the broker to say so');
      }
    });

    test("a client's own address arrives, and none that it makes up", async (t) => {
      for (const { name, options } of WAYS) {
        const agent = fromElsewhere();
        const client = await enter(t, { ...options, agent, extraHeaders: { 'X-Forwarded-For': '203.0.113.9', 'X-Forwarded-Proto': 'https' } });
        const { socket } = await nodes[0].ok('GET', `/v1/sockets/${client.id}`);
        assert.equal(socket.address, agent.options.localAddress, name);
      }
    });

    test('a refusal comes through as it is', async (t) => {
      for (const transports of Object.values(TRANSPORTS)) {
        const err = await refusal(t, proxy, { transports });
        assert.equal(err.data?.code, 'TOKEN_REQUIRED');
      }
    });

    // HAProxy 2.6 gives up a request that it repeats if it inspects the response, from which the sticky file takes the session id.
    test('a client does not notice a connection to its node that ends under its poll', { skip: kind === HAPROXY_STICKY }, async (t) => {
      const breakers = await Breakers.start(nodes);
      t.after(() => breakers.stop());
      const front = await Proxy.start(kind, breakers.nodes);
      t.after(() => front.stop());
      const client = await connect(t, front, { token, transports: TRANSPORTS.polling, withCredentials: true, agent: fromElsewhere() });
      for (const event of ['before', 'after']) {
        await nodes[0].ok('POST', '/v1/emit', { sockets: [client.id], event, args: [] });
        await client.next(event);
        breakers.armed = event === 'before';
        await until(() => !breakers.armed, 'a poll that breaks');
      }
      await client.join('after');
      assert.deepEqual(client.inbox.filter(({ event }) => CHANGED.includes(event)), []);
    });

    test('nothing but Socket.IO is behind it', async () => {
      for (const pathname of ['/', '/v1/rooms', '/metrics', '/readyz']) {
        assert.equal((await rawGet(proxy.url + pathname)).status, 404);
      }
    });

    test('the clients of a node that drains come to the other, at the first attempt', async (t) => {
      // Clients without a cookie jar, such as the older one, follow only if the proxy
      // reads session ids.
      const ways = kind === NGINX_STICKY ? WAYS.filter(({ name }) => /websocket|4\.8/.test(name)) : WAYS;
      const early = await Session.open(proxy);
      const leaving = early.home(nodes);
      const staying = nodes.find((node) => node !== leaving);
      // By chance every client may be on the node that stays, so connect more until
      // one is on the other.
      const clients = [];
      let moving = [];
      while (clients.length < 3 * ways.length || moving.length === 0) {
        clients.push(...await enterAll(t, ways, { reconnection: true }));
        moving = clients.filter((client) => home(client) === leaving);
      }
      const before = moving.map(({ id }) => id);
      await staying.ok('POST', `/v1/nodes/${leaving.id}:drain`);

      for (const client of moving) assert.equal((await client.next('sala:disconnect'))[0].code, 'DRAINING');
      await Promise.all(moving.map((client, n) => until(() => client.socket.connected && client.id !== before[n], 'its return')));
      const reasons = moving.flatMap(({ inbox }) => inbox.filter(({ event }) => event === 'disconnect').flatMap(({ args }) => args));
      assert.ok(!reasons.includes('ping timeout'), `no client waits for its ping timeout: ${reasons}`);
      assert.deepEqual(new Set(moving.map(home)), new Set([staying]));
      // New clients connect there too, whether or not the proxy has noticed.
      const late = await enterAll(t, ways);
      assert.deepEqual(new Set(late.map(home)), new Set([staying]));
      await kind.notices(proxy, nodes.indexOf(leaving));
      for (const client of [...clients, ...late, ...await enterAll(t, ways)]) {
        await client.join('after');
        assert.deepEqual(client.failures, [], 'no handshake failed');
      }
      // A session that still exists continues, so that it can end gracefully: here the
      // node itself ends it.
      assert.equal(await early.post(`40${JSON.stringify({ token })}`), 200);
      assert.match(await early.poll(), /Session ID unknown/);
    });
  });
}

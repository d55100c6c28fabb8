// A TCP proxy between a client library and its broker, which breaks connections: between two
// chunks, or in the middle of a frame.
import { once } from 'node:events';
import net from 'node:net';

// reset ends a connection with RST. Node 20 never frees one that is reset while it ends.
function reset(socket) {
  if (socket.connecting || socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}

export class FlakyProxy {
  #pairs = new Set();
  #refusing = false;
  cuts = 0;

  // to proxies a host:port.
  static async to(target, port = 0) {
    const proxy = new FlakyProxy();
    proxy.turn(target);
    proxy.server = net.createServer((client) => proxy.#connect(client)).listen(port, '127.0.0.1');
    await once(proxy.server, 'listening');
    proxy.address = `127.0.0.1:${proxy.server.address().port}`;
    return proxy;
  }

  // turn sends new connections to another host:port.
  turn(target) {
    [this.host, this.port] = target.split(':');
  }

  // cut resets all connections. The next ones are refused until repair, if refusing.
  cut({ refusing = false } = {}) {
    this.#refusing = refusing;
    for (const pair of this.#pairs) this.#break(pair);
  }

  // cutUnseen resets all connections for the clients alone, and returns a function that resets them for
  // the broker as well: until then the broker keeps them, as when a machine vanishes.
  cutUnseen() {
    const unseen = [...this.#pairs];
    for (const pair of unseen) {
      pair.unseen = true;
      reset(pair.client);
    }
    return () => unseen.forEach(({ broker }) => reset(broker));
  }

  // cutInFrame passes on only the first bytes of the next chunk that comes from a side, 'broker' or
  // 'client', and then resets the connection. It returns once that has happened.
  async cutInFrame(side = 'broker') {
    await Promise.race([...this.#pairs].map((pair) => new Promise((resolve) => { pair.cutNext = { side, resolve }; })));
  }

  repair() {
    this.#refusing = false;
  }

  get connections() {
    return this.#pairs.size;
  }

  async stop() {
    this.cut({ refusing: true });
    this.server.close();
    await once(this.server, 'close');
  }

  #connect(client) {
    client.on('error', () => {});
    if (this.#refusing) {
      client.resetAndDestroy();
      return;
    }
    const broker = net.connect(Number(this.port), this.host);
    const pair = { client, broker };
    this.#pairs.add(pair);
    for (const [side, from, to] of [['client', client, broker], ['broker', broker, client]]) {
      from.setNoDelay();
      from.on('error', () => {});
      from.on('close', () => {
        this.#pairs.delete(pair);
        if (!pair.unseen || side === 'broker') to.destroy();
      });
      from.on('data', (data) => {
        if (pair.cutNext?.side !== side) {
          if (!to.destroyed) to.write(data);
          return;
        }
        // Not even the nine bytes of a frame's header arrive as a whole, or not all of its payload.
        const part = data.subarray(0, data.length > 9 ? 9 + Math.floor((data.length - 9) / 2) : Math.floor(data.length / 2));
        const { resolve } = pair.cutNext;
        pair.cutNext = undefined;
        to.write(part, () => {
          this.#break(pair);
          resolve();
        });
      });
    }
  }

  #break({ client, broker }) {
    this.cuts++;
    reset(client);
    reset(broker);
  }
}

// As a program, it proxies its first argument, prints its address, and can be killed. The second
// argument is the port to listen on.
if (process.argv[1] === import.meta.filename) {
  const proxy = await FlakyProxy.to(process.argv[2], Number(process.argv[3] ?? 0));
  console.log(`proxy ${proxy.address}`);
  process.on('message', async ({ side }) => {
    await proxy.cutInFrame(side);
    process.send({ cut: side });
  });
}

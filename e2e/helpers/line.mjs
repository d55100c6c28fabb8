// A TCP proxy between clients and their broker, whose connections break when a test says so.
import { once } from 'node:events';
import net from 'node:net';

// reset ends a connection with RST. One that is ending already must not be reset: Node 20 then never frees it, and doesn't
// exit.
function reset(socket) {
  if (socket.writableEnded || socket.connecting) socket.destroy();
  else socket.resetAndDestroy();
}

export class Line {
  #pairs = new Set();

  static async to(sala) {
    const line = new Line();
    line.turn(sala);
    line.server = net.createServer((client) => {
      if (line.broken) return reset(client);
      const broker = net.connect(line.port, line.host);
      const pair = { client, broker };
      line.#pairs.add(pair);
      for (const [from, to] of [[client, broker], [broker, client]]) {
        from.setNoDelay();
        from.on('error', () => {});
        from.on('data', (data) => { if (!pair.lost) to.write(data); });
        from.on('close', () => {
          if (pair.lost && from === client) return; // the broker doesn't notice
          line.#pairs.delete(pair);
          to.destroy();
        });
      }
      return undefined;
    }).listen(0, '127.0.0.1');
    await once(line.server, 'listening');
    line.url = `http://127.0.0.1:${line.server.address().port}`;
    return line;
  }

  // turn sends new connections to another broker.
  turn(sala) {
    const [host, port] = sala.addr.public.split(':');
    Object.assign(this, { host, port: Number(port) });
  }

  // cut resets all connections and refuses new ones until repair.
  cut() {
    this.broken = true;
    for (const { client, broker } of this.#pairs) {
      reset(client);
      reset(broker);
    }
  }

  // lose is cut for the clients alone: the broker isn't told, as when a phone loses its network.
  lose() {
    this.broken = true;
    for (const pair of this.#pairs) {
      pair.lost = true;
      reset(pair.client);
    }
  }

  // stall stops reading what the broker sends, on all connections.
  stall() {
    for (const { broker } of this.#pairs) broker.pause();
  }

  // flow ends a stall.
  flow() {
    for (const { broker } of this.#pairs) broker.resume();
  }

  repair() {
    this.broken = false;
  }

  stop() {
    this.cut();
    this.server.close();
  }
}

// A TCP proxy in front of one broker at a time.
import { connect, createServer } from 'node:net';

export class Front {
  #sockets = new Set();

  static async start() {
    const front = new Front();
    front.server = createServer((client) => front.#join(client));
    await new Promise((resolve) => { front.server.listen(0, '127.0.0.1', resolve); });
    front.url = `http://127.0.0.1:${front.server.address().port}`;
    return front;
  }

  // to sends new connections to a broker; existing ones stay where they are.
  to(sala) {
    [this.host, this.port] = sala.addr.public.split(':');
  }

  #join(client) {
    const server = connect({ host: this.host, port: Number(this.port), allowHalfOpen: true });
    client.allowHalfOpen = true;
    for (const [from, to] of [[client, server], [server, client]]) {
      this.#sockets.add(from);
      from.on('data', (data) => { if (!to.write(data)) from.pause(); });
      from.on('drain', () => to.resume());
      from.on('end', () => to.end());
      from.on('error', () => to.resetAndDestroy());
      from.on('close', () => { this.#sockets.delete(from); to.destroySoon(); });
    }
  }

  async stop() {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => { this.server.close(resolve); });
  }
}

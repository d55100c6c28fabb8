// A TCP proxy that resets kept HTTP connections, as proxies, idle timeouts and
// mobile networks do: always before the first byte of a response, when browsers
// repeat the request without telling the page.
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

// What happened to a request before its connection is reset.
export const MOMENTS = ['not passed on', 'half passed on', 'passed on', 'answered'];

export class Cutter {
  // start proxies target, a host:port, and resets a connection that has been
  // used before at every nth request, at each of the moments in turn.
  static async start(target, { every }) {
    const cutter = new Cutter();
    const [host, port] = target.split(':');
    let requests = 0;
    cutter.cuts = Object.fromEntries(MOMENTS.map((moment) => [moment, 0]));
    cutter.sockets = new Set();
    cutter.server = createServer((client) => {
      const server = connect(port, host);
      for (const socket of [client, server]) {
        socket.setNoDelay();
        socket.on('error', () => {});
        socket.on('close', () => { cutter.sockets.delete(socket); client.destroy(); server.destroy(); });
        cutter.sockets.add(socket);
      }
      let used = false;
      let waiting = false; // for a response
      let moment; // of the reset, if the request under way gets one
      const cut = (when) => {
        if (moment !== when || client.destroyed) return;
        cutter.cuts[moment]++;
        client.resetAndDestroy();
        server.resetAndDestroy();
      };
      client.on('data', (bytes) => {
        const begins = !waiting;
        waiting = true;
        if (begins && used && ++requests % every === 0) moment = MOMENTS[(requests / every) % MOMENTS.length];
        switch (moment) {
          case 'not passed on':
            return cut(moment);
          case 'half passed on':
            if (begins) server.write(bytes.subarray(0, bytes.length - 1), () => setTimeout(cut, requests % 7, moment));
            return undefined;
          case 'passed on':
            return server.write(bytes, () => setTimeout(cut, requests % 3, moment));
          default:
            return server.write(bytes);
        }
      });
      server.on('data', (bytes) => {
        if (moment === 'answered') return cut(moment);
        waiting = false;
        used = true;
        moment = undefined;
        return client.write(bytes);
      });
      client.on('end', () => server.end());
      server.on('end', () => client.end());
    }).listen(0, '127.0.0.1');
    await once(cutter.server, 'listening');
    cutter.url = `http://127.0.0.1:${cutter.server.address().port}`;
    return cutter;
  }

  async stop() {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
    await once(this.server, 'close');
  }
}

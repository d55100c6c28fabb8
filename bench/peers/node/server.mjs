// Socket.IO as a peer in the benchmarks: clients are in the rooms that they name in auth.rooms, and what comes in
// on the control port, one message a line with a tab between room and payload, is emitted to the room. The event "work" is
// answered with its argument. With --redis, all that have the same one are one.
import { createServer } from 'node:http';
import { createServer as createControl } from 'node:net';
import { parseArgs } from 'node:util';
import { Server } from 'socket.io';
import { createAdapter } from '@socket.io/redis-adapter';
import { Redis } from 'ioredis';

const { values: args } = parseArgs({
  options: { listen: { type: 'string' }, control: { type: 'string' }, redis: { type: 'string' } },
});

function adapter(url) {
  const publisher = new Redis(url);
  return createAdapter(publisher, publisher.duplicate());
}

function listen(server, address) {
  const [host, port] = address.split(':');
  server.listen({ host, port: Number(port), backlog: 4096 });
}

const http = createServer();
const io = new Server(http, { serveClient: false, adapter: args.redis && adapter(args.redis) });
io.on('connection', (socket) => {
  socket.join(socket.handshake.auth.rooms ?? []);
  socket.on('work', (argument, ack) => ack(argument));
});
listen(http, args.listen);

function publish(line) {
  const tab = line.indexOf('\t');
  io.to(line.slice(0, tab)).emit('m', JSON.parse(line.slice(tab + 1)));
}

const control = createControl((publisher) => {
  let rest = '';
  publisher.setEncoding('utf8');
  publisher.on('data', (text) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop();
    lines.forEach(publish);
  });
});
listen(control, args.control);

// Stock Socket.IO clients for the fault runs. They tell everything that happens to them, and judge nothing.
//
// The first line of standard input is the configuration: {url, rooms, clients: [{number, token, room, transports,
// namespaces, recover}]}. Each further line is an order: {relay: milliseconds or 0}, {disturb: milliseconds or 0}. The end
// of the input ends the program. Standard output has a JSON list a line: what happened, to which client, in which namespace,
// and more.
import { createInterface } from 'node:readline';
import { io } from 'socket.io-client';

// Reconnecting as fast as this makes many returns.
const RETURN = { reconnectionDelay: 10, reconnectionDelayMax: 200, timeout: 3000 };
const FLUSH_EVERY = 20;
const LONGEST_BLOCK = 250;

let lines = [];
setInterval(() => {
  if (lines.length === 0) return;
  process.stdout.write(lines.join(''));
  lines = [];
}, FLUSH_EVERY);

// tell reports what happened to a socket.
function tell(what, client, namespace, ...more) {
  lines.push(`${JSON.stringify([what, client.number, namespace, ...more])}\n`);
}

// plain replaces what JSON can't hold.
function plain(value) {
  if (Buffer.isBuffer(value)) return { $bin: value.toString('base64') };
  if (Array.isArray(value)) return value.map(plain);
  if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
  return value;
}

// follow tells what happens to a socket.
function follow(client, namespace, socket) {
  // A socket that isn't connected keeps events and hands them to its handlers when it is about to be connected.
  let away = true;
  socket.on('connect', () => {
    if (!socket.connected) return; // a handler of an event that it had kept has closed the connection
    away = false;
    tell('connect', client, namespace, socket.id, socket.recovered === true);
  });
  socket.on('disconnect', (reason) => {
    away = true;
    tell('disconnect', client, namespace, reason);
  });
  socket.on('connect_error', (err) => {
    if (!socket.active) tell('refused', client, namespace, err.message); // by the broker
  });
  socket.onAny((event, ...args) => {
    tell('event', client, namespace, event, away, plain(args));
    if (client.closesInHandler) {
      client.closesInHandler = false;
      close(client);
    }
  });
  return socket;
}

// close closes the connection as an application may.
function close(client) {
  for (const namespace of client.namespaces) tell('closed', client, namespace);
  client.manager.engine.close();
}

// open connects a client to its namespaces over one connection.
function open(client, url) {
  const auth = { token: client.token, ...(client.recover && { recover: true }) };
  const socket = io(url, { ...RETURN, transports: client.transports, forceNew: true, autoConnect: false, auth });
  client.manager = socket.io;
  client.sockets = client.namespaces.map((namespace) => follow(client, namespace, namespace === '/' ? socket : socket.io.socket(namespace, { auth })));
  for (const each of client.sockets) each.connect();
}

// relay sends the next numbered event to the client's room, if the client is connected. What it sends then may be lost.
function relay(client) {
  const [socket] = client.sockets;
  if (!socket.connected) return;
  client.sent = (client.sent ?? 0) + 1;
  const number = client.sent;
  const text = number % 2 ? ['relayed'] : [Buffer.from([number % 256]), 'relayed'];
  socket.emit('relay', { room: client.room }, client.number, number, ...text, (answer) => tell('acked', client, '/', number, answer?.ok === true));
}

const pick = (list) => list[Math.floor(Math.random() * list.length)];

// DISTURBANCES are what an application or its machine may do to its connection.
const DISTURBANCES = {
  close: (client) => client.manager.engine?.transport && close(client),
  'close in a handler': (client) => { client.closesInHandler = true; },
  'close later in the same turn': (client) => setImmediate(() => process.nextTick(() => client.manager.engine?.transport && close(client))),
  terminate: (client) => {
    const ws = client.manager.engine?.transport?.ws;
    if (ws?.readyState === 1) ws.terminate();
  },
  'close the WebSocket': (client) => {
    const ws = client.manager.engine?.transport?.ws;
    if (ws?.readyState === 1) ws.close();
  },
  block: () => {
    const end = Date.now() + Math.random() * LONGEST_BLOCK;
    while (Date.now() < end);
  },
};

function disturb(clients) {
  const [name, act] = pick(Object.entries(DISTURBANCES));
  const client = pick(clients);
  tell('disturbed', client, '/', name);
  act(client);
}

const timers = {};

// every calls act all that many milliseconds; 0 stops it.
function every(name, milliseconds, act) {
  clearInterval(timers[name]);
  if (milliseconds > 0) timers[name] = setInterval(act, milliseconds);
}

let all;
createInterface({ input: process.stdin }).on('line', (line) => {
  const order = JSON.parse(line);
  if (!all) {
    all = order.clients;
    for (const client of all) open(client, order.url);
    return;
  }
  const sending = all.filter(({ recover }) => recover);
  if (order.relay !== undefined) every('relay', order.relay, () => sending.length && relay(pick(sending)));
  if (order.disturb !== undefined) every('disturb', order.disturb, () => sending.length && disturb(sending));
}).on('close', () => process.exit(0));

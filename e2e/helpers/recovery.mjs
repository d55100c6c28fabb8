// Stock clients that take part in recovery, over connections that a test can cut.
import assert from 'node:assert/strict';
import { connect } from './client.mjs';
import { Line } from './line.mjs';
import { deadline, until } from './wait.mjs';

// Reconnecting soon.
export const RETURN = { reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 50, timeout: 2000 };

// OFFSET is what the last argument of an event for such a client looks like.
export const OFFSET = /^[\w-]{8}\.[0-9a-z]+$/;

// bare returns the arguments of an event without its offset, with Buffers for binary data.
export function bare(args) {
  assert.match(String(args.at(-1)), OFFSET, `an offset after ${JSON.stringify(args)}`);
  return buffers(args.slice(0, -1));
}

// buffers replaces binary data of any type by Buffers.
export function buffers(value) {
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return Buffer.from(value);
  if (Array.isArray(value)) return value.map(buffers);
  if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, buffers(item)]));
  return value;
}

// recoverer connects a client with a session, over a line of its own: client.line.
export async function recoverer(t, sala, user, { auth, grants, line, ...options } = {}) {
  const own = line ?? await Line.to(sala);
  if (!line) t.after(() => own.stop());
  const token = await sala.token(user, grants);
  const client = await connect(t, { url: own.url }, { auth: { token, recover: true, ...auth }, ...RETURN, ...options });
  client.line = own;
  return client;
}

// back resolves when the client has connected again, with whether its session was recovered.
export function back(client) {
  return deadline(new Promise((resolve) => { client.socket.once('connect', () => resolve(client.socket.recovered === true)); }), 'the return of a client');
}

// refused resolves with the error of the broker, which isn't a failure to reach it.
export function refused(client) {
  return deadline(new Promise((resolve) => { client.socket.on('connect_error', (err) => { if (err.data) resolve(err); }); }), 'the refusal of a client');
}

// missed returns the events that nobody has taken from a client's inbox, without offsets. Those of the client itself and
// the broker's own are left out.
export function missed(client) {
  return client.inbox.filter(({ event }) => event !== 'disconnect' && !event.startsWith('sala:')).map(({ event, args }) => [event, ...bare(args)]);
}

// state waits until the broker lists a socket in a state; undefined if it isn't listed.
export function state(sala, { id }, wanted) {
  return until(async () => {
    const { status, body } = await sala.rest('GET', `/v1/sockets/${id}`);
    return (status === 200 ? body.socket.state : undefined) === wanted;
  }, `the state ${wanted} of a socket`);
}

// away cuts a client's line and returns when the broker has noticed. Over long-polling that takes until the next ping.
export async function away(sala, client) {
  const { id } = client;
  client.line.cut();
  await client.next('disconnect');
  await state(sala, { id }, 'SOCKET_STATE_AWAY');
  return id;
}

// EVENTS are events of every shape that could confuse a client that looks at the last argument: as they are emitted, and as
// they arrive.
const BYTES = Buffer.from([0, 1, 254, 255]);
const placeholder = (num) => ({ _placeholder: true, num });
export const EVENTS = [
  { event: 'nothing', args: [] },
  { event: 'text', args: ['the last argument is text'] },
  { event: 'offset', args: [1, 'AAAAAAAA.zz'] },
  { event: 'empty', args: [''] },
  { event: 'null', args: [null] },
  { event: 'object', args: [{ a: [1, { b: 'ñandú 👍' }] }] },
  { event: 'list', args: [['in a list']] },
  { event: 'binary', args: [placeholder(0)], attachments: [BYTES], arrives: [BYTES] },
  { event: 'mixed', args: [{ x: placeholder(1) }, placeholder(0), 'text'], attachments: [BYTES, Buffer.from('2')], arrives: [{ x: Buffer.from('2') }, BYTES, 'text'] },
];

// emitAll emits all EVENTS to a room and returns them as a client must get them.
export async function emitAll(sala, room, more = {}) {
  for (const { event, args, attachments = [] } of EVENTS) {
    await sala.ok('POST', '/v1/emit', { rooms: [room], event, args, attachments: attachments.map((bytes) => bytes.toString('base64')), ...more });
  }
  return EVENTS.map(({ event, args, arrives = args }) => [event, ...arrives]);
}

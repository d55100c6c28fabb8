// Backends that subscribe to what clients do, over gRPC.
import path from 'node:path';
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';
import { ROOT } from './process.mjs';
import { API_KEY } from './sala.mjs';
import { deadline } from './wait.mjs';

const definition = protoLoader.loadSync('sala/v1/event.proto', {
  includeDirs: [path.join(ROOT, 'proto')], enums: String, longs: Number, defaults: true,
});
const { EventService } = grpc.loadPackageDefinition(definition).sala.v1;

export const { status } = grpc;
export const MESSAGES = ['EVENT_KIND_MESSAGE'];

// Backend is one stream of events.
export class Backend {
  #client;
  #received = [];
  #waiting = [];

  constructor(address, start, { key = API_KEY } = {}) {
    const metadata = new grpc.Metadata();
    metadata.set('authorization', `Bearer ${key}`);
    this.#client = new EventService(address, grpc.credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
    this.stream = this.#client.Subscribe(metadata);
    this.stream.on('data', (response) => this.#arrived(response));
    // ended resolves with the status of the stream: {code, details, metadata}.
    this.ended = new Promise((resolve) => {
      this.stream.on('error', () => {});
      this.stream.on('status', resolve);
    });
    this.send({ start });
  }

  #arrived(response) {
    this.onResponse?.(response);
    const at = this.#waiting.findIndex(({ kind }) => response[kind]);
    if (at < 0) return this.#received.push(response);
    const [{ kind, resolve }] = this.#waiting.splice(at, 1);
    return resolve(response[kind]);
  }

  // next returns the next event, or the next rejected or started.
  next(kind = 'event') {
    const at = this.#received.findIndex((response) => response[kind]);
    if (at >= 0) return Promise.resolve(this.#received.splice(at, 1)[0][kind]);
    return deadline(new Promise((resolve) => this.#waiting.push({ kind, resolve })), `${kind} at a backend, which received ${JSON.stringify(this.#received)}`);
  }

  get received() {
    return this.#received.flatMap(({ event }) => (event ? [event] : []));
  }

  send(request) {
    this.stream.write(request);
  }

  reply({ deliveryId }, args, extra = {}) {
    this.send({ reply: { deliveryId, argsJson: JSON.stringify(args), ...extra } });
  }

  decide({ deliveryId }, decision) {
    this.send({ decision: { deliveryId, ...decision } });
  }

  close() {
    this.stream.cancel();
    this.#client.close();
  }
}

// subscribe returns a backend with an active subscription, and closes it when the
// test ends.
export async function subscribe(t, sala, start = {}) {
  const backend = new Backend(sala.grpc, { credits: 1000, ...start });
  t.after(() => backend.close());
  await backend.next('started');
  return backend;
}

// answering makes a backend answer every event that needs it with what answer returns.
export function answering(backend, answer) {
  backend.onResponse = ({ event }) => {
    if (event) backend.send({ credit: { credits: 1 } });
    if (event?.needsAck) backend.reply(event, answer(event));
  };
  return backend;
}

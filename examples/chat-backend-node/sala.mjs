// Sala over gRPC: unary calls and the event stream.
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';

const definition = protoLoader.loadSync(['event', 'message', 'socket'].map((name) => `sala/v1/${name}.proto`), {
  includeDirs: [fileURLToPath(new URL('../../proto', import.meta.url))],
  enums: String,
  longs: Number,
  defaults: true,
});
const { EventService, MessageService, SocketService } = grpc.loadPackageDefinition(definition).sala.v1;

// Errors that another attempt can't fix.
const FINAL = new Set([grpc.status.UNAUTHENTICATED, grpc.status.PERMISSION_DENIED, grpc.status.INVALID_ARGUMENT]);

// isFinal reports whether another attempt would fail in the same way.
export function isFinal(err) {
  return FINAL.has(err.code);
}

// explain describes err to the person who runs this program.
export function explain(err) {
  if (err.code === grpc.status.UNAVAILABLE && !err.metadata?.get('grpc-status-details-bin').length) return 'nobody answers; is Sala running, and SALA_SERVER its gRPC address?';
  return err.details ?? err.message;
}

const CREDITS = 100; // how many events the broker may send ahead
const CALL_TIMEOUT = 5000; // ms; shorter than the deadline of the ack that waits for the result

export class Sala {
  #metadata = new grpc.Metadata();
  #clients;

  constructor(address, apiKey) {
    this.#metadata.set('authorization', `Bearer ${apiKey}`);
    const options = { 'grpc.keepalive_time_ms': 30_000, 'grpc.keepalive_timeout_ms': 10_000, 'grpc.max_reconnect_backoff_ms': 5000 };
    this.#clients = [EventService, MessageService, SocketService].map((Service) => new Service(address, grpc.credentials.createInsecure(), options));
  }

  close() {
    for (const client of this.#clients) client.close();
  }

  emit(request) {
    return this.#call(this.#clients[1], 'Emit', request);
  }

  getSocket(id) {
    return this.#call(this.#clients[2], 'GetSocket', { id });
  }

  #call(client, method, request) {
    return new Promise((resolve, reject) => {
      client[method](request, this.#metadata, { deadline: Date.now() + CALL_TIMEOUT }, (err, answer) => (err ? reject(err) : resolve(answer)));
    });
  }

  // listen passes events to handle one after another, which keeps each client's events
  // in order, and sends what handle returns: {reply}, {decision} or nothing. It returns
  // after a graceful leave and throws when the stream breaks.
  async listen(start, handle, leaving) {
    const stream = this.#clients[0].Subscribe(this.#metadata);
    // After this, events that the broker has already sent still arrive. It gives those
    // that need an answer to another member.
    const leave = () => stream.end();
    leaving.addEventListener('abort', leave, { once: true });
    const send = async (request) => {
      if (!leaving.aborted && !stream.write(request)) await Promise.race([once(stream, 'drain'), once(leaving, 'abort')]);
    };
    try {
      await send({ start: { ...start, credits: CREDITS } });
      for await (const { started, rejected, event } of stream) {
        if (started) console.log('listening');
        if (rejected) console.error('the broker rejected an answer:', rejected.reason, rejected.message);
        if (!event || (leaving.aborted && (event.needsAck || event.needsDecision))) continue;
        const answer = await handle(event);
        if (answer) await send(answer);
        await send({ credit: { credits: 1 } });
      }
    } finally {
      leaving.removeEventListener('abort', leave);
    }
  }
}

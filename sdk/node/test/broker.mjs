// A broker that tests script: a grpc-js server with the generated services.
import { Server, ServerCredentials, status as grpcStatus, Metadata } from '@grpc/grpc-js';
import { connect } from '../dist/index.js';
import { event, message, room, token } from '../dist/stubs.js';
import * as details from '../dist/gen/status_details.js';

export const API_KEY = 'a-key-for-tests';

/** An error as the broker sends it. */
export function failure(code, messageText, { reason, violations = [], metadata = {}, retryDelay } = {}) {
  const encoded = [];
  const add = (name, type, value) => encoded.push({ typeUrl: `type.googleapis.com/google.rpc.${name}`, value: Buffer.from(type.encode(type.fromPartial(value)).finish()) });
  if (reason) add('ErrorInfo', details.ErrorInfo, { reason, metadata });
  if (violations.length) add('BadRequest', details.BadRequest, { fieldViolations: violations });
  if (retryDelay !== undefined) add('RetryInfo', details.RetryInfo, { retryDelay: { seconds: Math.trunc(retryDelay / 1000), nanos: (retryDelay % 1000) * 1e6 } });
  const trailers = new Metadata();
  if (encoded.length) trailers.set('grpc-status-details-bin', Buffer.from(details.Status.encode(details.Status.fromPartial({ details: encoded })).finish()));
  return Object.assign(new Error(messageText), { code: grpcStatus[code], details: messageText, metadata: trailers });
}

/** Whatever is put into it can be awaited in order. */
export class Queue {
  #items = [];
  #waiting = [];

  put(item) {
    const next = this.#waiting.shift();
    if (next) next(item);
    else this.#items.push(item);
  }

  get length() {
    return this.#items.length;
  }

  next() {
    if (this.#items.length > 0) return Promise.resolve(this.#items.shift());
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

/** One subscription, from the broker's side. */
class Subscriber {
  /** What the subscriber has sent, except credits. */
  requests = new Queue();
  /** Credits that are granted and not used. */
  credits = 0;
  /** Whether the test ends the stream itself after the subscriber has closed its side. */
  endsLate = false;
  #creditWaiters = [];

  constructor(call) {
    this.call = call;
    this.closed = new Promise((resolve) => call.on('end', resolve));
    this.cancelled = new Promise((resolve) => call.on('cancelled', resolve));
    this.closed.then(() => this.endsLate || call.end());
    call.on('error', () => {});
    call.on('data', ({ request }) => {
      if (request.$case === 'credit' || request.$case === 'start') this.#grant(request.value.credits);
      if (request.$case !== 'credit') this.requests.put(request);
    });
  }

  #grant(credits) {
    this.credits += credits;
    this.#creditWaiters = this.#creditWaiters.filter(({ want, resolve }) => this.credits < want || resolve());
  }

  /** Waits until the subscriber has granted so many credits that aren't used. */
  async creditsReach(want) {
    if (this.credits < want) await new Promise((resolve) => this.#creditWaiters.push({ want, resolve }));
  }

  start(started = {}) {
    this.call.write({ response: { $case: 'started', value: event.SubscribeStarted.fromPartial(started) } });
  }

  send(fields) {
    this.credits--;
    this.call.write({ response: { $case: 'event', value: clientEvent(fields) } });
  }

  reject(value) {
    this.call.write({ response: { $case: 'rejected', value: event.EventRejected.fromPartial(value) } });
  }

  /** Ends the stream with an error or, without one, with OK. */
  end(err) {
    if (err) this.call.emit('error', err);
    else this.call.end();
  }
}

/** An event of the kind MESSAGE from the socket s1, unless the fields say otherwise. */
function clientEvent({ socket = 's1', auth, data, args, ...fields }) {
  return event.ClientEvent.fromPartial({
    kind: 'EVENT_KIND_MESSAGE',
    event: 'say',
    argsJson: args === undefined ? '[]' : JSON.stringify(args),
    namespace: '/',
    socket: socket === null ? undefined : { id: socket, user: 'ana', namespace: '/', authJson: auth ? JSON.stringify(auth) : '', data },
    ...fields,
  });
}

export class Broker {
  /** The subscriptions in the order in which they were made, after their start was received. */
  subscribers = new Queue();
  /** The calls of emitStream. */
  emitStreams = new Queue();
  /** The requests of unary calls, with their metadata. */
  calls = [];
  /** Answers of unary calls by method name: a function of the request that returns a response or throws. */
  methods = {};

  static async start(t, { credentials = ServerCredentials.createInsecure(), port = 0 } = {}) {
    const broker = new Broker();
    await broker.listen(credentials, port);
    t.after(() => broker.kill());
    return broker;
  }

  async listen(credentials, port) {
    this.server = new Server();
    this.server.addService(event.EventServiceService, { subscribe: (call) => this.subscribers.put(new Subscriber(call)) });
    this.server.addService(message.MessageServiceService, { ...this.#unary(['emit', 'broadcast', 'emitBatch']), emitWithAck: (call) => this.methods.emitWithAck(call), emitStream: (call) => this.emitStreams.put(call) });
    this.server.addService(room.RoomServiceService, this.#unary(['listRooms', 'getRoom', 'clearRoom', 'listMessages']));
    this.server.addService(token.TokenServiceService, this.#unary(['issueToken']));
    this.port = await new Promise((resolve, reject) => this.server.bindAsync(`127.0.0.1:${port}`, credentials, (err, bound) => (err ? reject(err) : resolve(bound))));
    this.address = `127.0.0.1:${this.port}`;
  }

  /** Ends at once, and every connection with it. */
  kill() {
    this.server.forceShutdown();
  }

  /** A client that is closed after the test. */
  connect(t, options = {}) {
    const sala = connect(this.address, { apiKey: API_KEY, ...options });
    t.after(() => sala.close());
    return sala;
  }

  #unary(names) {
    return Object.fromEntries(
      names.map((name) => [
        name,
        async (call, callback) => {
          this.calls.push({ name, request: call.request, metadata: call.metadata, call });
          try {
            callback(null, await this.methods[name](call.request, call));
          } catch (err) {
            callback(err);
          }
        },
      ]),
    );
  }
}

import type { Acks, AckOptions } from './acks.js';
import { Connection, type CallOptions, type ConnectOptions, type StubConstructor } from './connection.js';
import { Messages, type BroadcastOptions, type BroadcastResult, type Emit, type EmitOptions, type EmitStreamOptions } from './messages.js';
import type { EmitOutcome, EmitResult } from './outcome.js';
import { Presence } from './presence.js';
import { Rooms } from './rooms.js';
import { Sockets } from './sockets.js';
import { Subscription, type SubscribeOptions } from './subscription.js';
import type { Target } from './target.js';
import { Tokens } from './tokens.js';

/**
 * Connects to a broker. Returns at once: the connection is made when the first call needs it, and
 * again whenever it breaks.
 *
 * Throws a `TypeError` if the address or an option is invalid.
 *
 * @param address `host:port`, or `http://host:port` for plaintext and `https://host:port` for TLS.
 * Without a scheme, `options.tls` decides; by default only loopback addresses are plaintext.
 */
export function connect(address: string, options: ConnectOptions): Client {
  return new Client(new Connection(address, options));
}

/**
 * A connection to a broker, made by `connect`. All methods may be called at any time, also while other
 * calls are under way. They reject with a `SalaError` if the broker refuses a call or can't be reached,
 * and with a `TypeError` if arguments are nothing that can be sent.
 */
export class Client {
  /** Issues, verifies and revokes tokens. */
  readonly tokens: Tokens;
  /** Lists and clears rooms, and reads what they remember. */
  readonly rooms: Rooms;
  /** Lists clients, moves them between rooms, and disconnects them. */
  readonly sockets: Sockets;
  /** Says which users are there. */
  readonly presence: Presence;
  readonly #connection: Connection;
  readonly #messages: Messages;
  /** The subscriptions that run. */
  readonly #subscriptions = new Set<Subscription>();

  /** @internal */
  constructor(connection: Connection) {
    this.#connection = connection;
    this.#messages = new Messages(connection);
    this.tokens = new Tokens(connection);
    this.rooms = new Rooms(connection);
    this.sockets = new Sockets(connection);
    this.presence = new Presence(connection);
  }

  /**
   * Sends an event to rooms, users or sockets:
   * `await sala.emit('news', [{ text: 'hello' }], { rooms: 'chat:42' })`. Scope: `emit`.
   *
   * Binary values among the arguments (`Buffer`, typed arrays, `ArrayBuffer`), at any depth, are sent as
   * such.
   */
  async emit(event: string, args: readonly unknown[], options: EmitOptions): Promise<EmitResult> {
    return this.#messages.emit(event, args, options);
  }

  /** Sends an event to everyone in a namespace. Scope: `broadcast`. */
  async broadcast(event: string, args: readonly unknown[] = [], options: BroadcastOptions = {}): Promise<BroadcastResult> {
    return this.#messages.broadcast(event, args, options);
  }

  /**
   * Sends 1 to 1000 events in their order, in one call. Returns what happened to each: an event that
   * fails doesn't stop the others. Scope: `emit`.
   *
   * If it rejects, it is unknown which events were sent. Each event gets a key as in `emit`, unless
   * `retry` is `false`. To call again after an error, give the events keys of your own.
   */
  async emitBatch(emits: readonly Emit[], options: CallOptions = {}): Promise<EmitOutcome[]> {
    return this.#messages.emitBatch(emits, options);
  }

  /**
   * Sends events at a high rate, in their order, and yields what happened to each, in the same order:
   *
   * ```js
   * for await (const { result, error } of sala.emitStream(prices())) if (error) console.error(error);
   * ```
   *
   * It takes events from the source as long as fewer than `window` are without an outcome that you have
   * read. Each event gets a result or an error, at the latest after `timeout`. When the source throws, it
   * throws the same once all outcomes are read. To leave the loop early ends the stream: it is unknown then
   * which events on their way were sent. Scope: `emit`.
   *
   * When the stream breaks, another one is opened. An event with an `idempotencyKey` that has no result
   * yet is then sent again, and its key keeps clients from receiving it twice. An event without a key
   * isn't sent again if it may have been sent: its error has the code `UNAVAILABLE`. Unlike `emit`, a
   * stream makes no keys, because the broker sends events without one faster.
   */
  emitStream(emits: Iterable<Emit> | AsyncIterable<Emit>, options: EmitStreamOptions = {}): AsyncGenerator<EmitOutcome, void, undefined> {
    return this.#messages.emitStream(emits, options);
  }

  /** Sends an event and asks each client for an ack. The event is sent at once, and never repeated. Scope: `emit`. */
  emitWithAck(event: string, args: readonly unknown[], options: Target & AckOptions): Acks {
    return this.#messages.emitWithAck(event, args, options);
  }

  /** Subscribes to what clients do: register handlers with what it returns, then call `run`. Scope: `events`. */
  subscribe(options: SubscribeOptions = {}): Subscription {
    return new Subscription(this.#connection, this.#messages, this.#subscriptions, options);
  }

  /**
   * Makes a generated gRPC stub, for what the SDK has no method for. It shares the connection and the
   * API key:
   *
   * ```js
   * import { cluster } from '@salabroker/sala/stubs';
   * sala.stub(cluster.ClusterServiceClient).listNodes({}, (err, response) => console.log(err ?? response.nodes));
   * ```
   */
  stub<Stub>(constructor: StubConstructor<Stub>): Stub {
    return this.#connection.stub(constructor);
  }

  /** Stops the subscriptions gracefully and closes the connection. Other calls that are under way fail. */
  async close(): Promise<void> {
    await Promise.all([...this.#subscriptions].map((subscription) => subscription.stop()));
    this.#connection.close();
  }

  /** Does what `close` does: `await using sala = connect(…)`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

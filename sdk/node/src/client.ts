import type { Acks, AckOptions } from './acks.js';
import { Connection, type ConnectOptions, type StubConstructor } from './connection.js';
import { Messages, type BroadcastOptions, type BroadcastResult, type EmitOptions, type EmitResult } from './messages.js';
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

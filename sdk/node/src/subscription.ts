import { backoff, pause } from './backoff.js';
import type { Connection } from './connection.js';
import { Deliveries, type Answer, type Delivery } from './deliveries.js';
import { FINAL, SalaError } from './errors.js';
import { ClientEvent, encodeKind, kindOf, type EventKind, type SocketEvent } from './event.js';
import type { ClientEvent as ProtoClientEvent, EventRejected, SubscribeStart, SubscribeStarted } from './gen/sala/v1/event.js';
import { Handlers, failureOf, isFailure, type DecideHandler, type EventHandler, type MessageHandler } from './handlers.js';
import { Lanes } from './lanes.js';
import { STDERR, logOf, seconds, type Logger } from './log.js';
import type { Messages } from './messages.js';
import { Stream } from './stream.js';
import { toArray, type Names } from './target.js';

/** How to subscribe. */
export interface SubscribeOptions {
  /** The group to join: each event goes to one member of every group. By default a group of its own, which receives every event. */
  group?: string;
  /** Only events in these namespaces. By default, all that the API key may subscribe to. */
  namespaces?: Names;
  /** How many handlers may run at the same time, for different sockets. 64 by default. */
  concurrency?: number;
  /** How many events the broker may send ahead, running ones included: 1 to 100,000. Twice the concurrency by default. */
  credits?: number;
  /** `true` only watches, as logs do: no event needs an answer, and clients are answered as if this subscriber weren't there. */
  observe?: boolean;
  /** How long a graceful leave may take, in milliseconds. 10,000 by default. */
  grace?: number;
  /** Where log lines go. Standard error by default. */
  logger?: Logger;
}

/** What the broker says when a stream has started. */
export interface Started {
  /** Whether some node hasn't confirmed the subscription yet, so that events of its clients may be missed until it does. */
  partial: boolean;
  /** The ids of the nodes that haven't confirmed it, as far as they are known. */
  missingNodes: string[];
}

/** What happened between two streams. */
export interface Reconnect {
  /** Why the previous stream ended. Undefined if the broker closed it without an error. */
  cause: Error | undefined;
  /** How long there was no stream, in milliseconds. */
  gap: number;
  /**
   * How many events that needed an answer had no stream for it any more. The broker has delivered each
   * to another member of the group, or to this one, or has answered the client itself.
   */
  undelivered: number;
}

/** An answer that had no effect. */
export interface Rejected {
  /** The delivery that was answered. Empty if the broker couldn't read the answer. */
  deliveryId: string;
  /** The stable reason, such as `DELIVERY_EXPIRED`. */
  reason: string;
  /** A description of the reason. */
  message: string;
}

/** Reasons for which the broker rejects an answer after which the event can still be answered. */
const REPLACEABLE: ReadonlySet<string> = new Set(['INVALID_ARGUMENT', 'REQUEST_TOO_LARGE', 'TOO_MANY_REQUESTS']);

/**
 * A subscription to what clients do. Register handlers, then `run` it:
 *
 * ```js
 * const chat = sala.subscribe({ group: 'chat' });
 * chat.on('say', async (event) => {
 *   const [text] = event.args;
 *   if (typeof text !== 'string') throw new ClientError('INVALID_ARGUMENT', 'send a text');
 *   await event.emitTo('lobby', 'said', [{ user: event.socket.user, text }]);
 *   return { ok: true }; // the client's ack
 * });
 * await chat.run();
 * ```
 *
 * Events of one socket, one user or one room are handled one after another, in the order in which
 * they happened; others at the same time, up to `concurrency`. The stream is opened again whenever it
 * breaks. Handlers decide which events the broker sends: register the same ones in all members of a
 * group.
 */
export class Subscription {
  readonly #connection: Connection;
  readonly #messages: Messages;
  /** The subscriptions of the client that run. */
  readonly #siblings: Set<Subscription>;
  readonly #options: SubscribeOptions & { credits: number; grace: number };
  readonly #log: Logger;
  readonly #handlers: Handlers;
  readonly #lanes: Lanes;
  readonly #deliveries = new Deliveries();
  readonly #stopping = new AbortController();
  #onStarted: ((started: Started) => unknown) | undefined;
  #onReconnect: ((reconnect: Reconnect) => unknown) | undefined;
  #onRejected: ((rejected: Rejected) => unknown) | undefined;
  /** The stream that events come from now, if there is one. */
  #stream: Stream | undefined;
  /** How many events needed an answer when their stream had ended, since the last report. */
  #undelivered = 0;
  #running: Promise<void> | undefined;

  /** @internal */
  constructor(connection: Connection, messages: Messages, siblings: Set<Subscription>, options: SubscribeOptions) {
    const { concurrency = 64, credits = 2 * concurrency, grace = 10_000, group = '', logger = STDERR } = options;
    if (!(concurrency >= 1)) throw new RangeError('concurrency must be at least 1');
    if (!(credits >= 1 && credits <= 100_000)) throw new RangeError('credits must be 1 to 100,000');
    this.#connection = connection;
    this.#messages = messages;
    this.#siblings = siblings;
    this.#options = { ...options, credits, grace };
    this.#log = logOf(logger, group);
    this.#handlers = new Handlers(this.#log);
    this.#lanes = new Lanes(concurrency);
  }

  /**
   * Handles the events with this name that clients send. If the client waits for an ack, it receives
   * what the handler returns: nothing for an empty ack, an `Ack` for several arguments, or else one
   * argument. A `ClientError` that is thrown reaches the client as `{error: {code, message}}`. Any
   * other error is logged, and the client receives the code `HANDLER_FAILED`.
   *
   * An event with `redelivered` that this process has handled already isn't handled again: its answer
   * is sent again. Other processes don't know of each other's, so store `event.deliveryId` with what
   * must not be done twice.
   */
  on(name: string, handler: MessageHandler): this {
    this.#handlers.messages.set(name, handler);
    return this;
  }

  /** Handles all events of clients that no `on` handles, as `on` does. */
  onAny(handler: MessageHandler): this {
    this.#handlers.anyMessage = handler;
    return this;
  }

  /**
   * Decides which clients may connect. A handler that returns nothing, or an `Accept`, lets the client
   * connect; one that throws `Refuse` doesn't. After any other error, which is logged, the client is
   * refused with the code `HANDLER_FAILED`.
   */
  decide(handler: DecideHandler): this {
    this.#handlers.decision = handler;
    return this;
  }

  /** A socket has connected. */
  onConnect(handler: EventHandler<SocketEvent>): this {
    return this.#onKind('connect', handler);
  }

  /** A socket has disconnected; `event.reason` says why. If it was away, its client hasn't returned in time. */
  onDisconnect(handler: EventHandler<SocketEvent>): this {
    return this.#onKind('disconnect', handler);
  }

  /** A socket with a session has lost its connection and may return. */
  onAway(handler: EventHandler<SocketEvent>): this {
    return this.#onKind('away', handler);
  }

  /** The client of a socket that was away has returned. */
  onResumed(handler: EventHandler<SocketEvent>): this {
    return this.#onKind('resumed', handler);
  }

  /** A socket has joined `event.room`. */
  onJoin(handler: EventHandler<SocketEvent>): this {
    return this.#onKind('join', handler);
  }

  /** A socket has left `event.room`. */
  onLeave(handler: EventHandler<SocketEvent>): this {
    return this.#onKind('leave', handler);
  }

  /** `event.room` has its first member. */
  onRoomOpened(handler: EventHandler): this {
    return this.#onKind('roomOpened', handler);
  }

  /** `event.room` has lost its last member. */
  onRoomClosed(handler: EventHandler): this {
    return this.#onKind('roomClosed', handler);
  }

  /** `event.user` has their first socket in the namespace. */
  onUserOnline(handler: EventHandler): this {
    return this.#onKind('userOnline', handler);
  }

  /** `event.user` has lost their last socket in the namespace. */
  onUserOffline(handler: EventHandler): this {
    return this.#onKind('userOffline', handler);
  }

  /** `event.user` has their first socket in `event.room`, which has presence. */
  onUserJoined(handler: EventHandler): this {
    return this.#onKind('userJoined', handler);
  }

  /** `event.user` has lost their last socket in `event.room`, which has presence. */
  onUserLeft(handler: EventHandler): this {
    return this.#onKind('userLeft', handler);
  }

  /** Is called whenever a stream has started: from then on, no event is missed. */
  onStarted(hook: (started: Started) => unknown): this {
    this.#onStarted = hook;
    return this;
  }

  /** Is called whenever a stream has started after another one had ended, before `onStarted`. */
  onReconnect(hook: (reconnect: Reconnect) => unknown): this {
    this.#onReconnect = hook;
    return this;
  }

  /**
   * Is called when the broker has rejected an answer, for example because it came too late. If that was
   * because of the answer itself, the client gets the code `HANDLER_FAILED` instead.
   */
  onRejected(hook: (rejected: Rejected) => unknown): this {
    this.#onRejected = hook;
    return this;
  }

  /**
   * Subscribes and handles events until `stop` is called or the signal is aborted, and leaves
   * gracefully then. Rejects with a `SalaError` if the broker refuses the subscription for a reason
   * that another attempt would meet again: `UNAUTHENTICATED`, `PERMISSION_DENIED` or
   * `INVALID_ARGUMENT`. A subscription runs once.
   */
  async run(options: { signal?: AbortSignal } = {}): Promise<void> {
    if (this.#running) throw new Error('a subscription can run only once');
    const { signal } = options;
    const stop = (): void => this.#stopping.abort();
    if (signal?.aborted) stop();
    signal?.addEventListener('abort', stop, { once: true });
    this.#siblings.add(this);
    this.#running = this.#subscribe().finally(() => {
      this.#siblings.delete(this);
      signal?.removeEventListener('abort', stop);
    });
    return this.#running;
  }

  /**
   * Leaves gracefully: the events that have arrived are handled and answered, then the stream is
   * closed and read to its end. After the grace time it is cut. Resolves when `run` has ended.
   */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running?.catch(() => {}); // its error is the caller's of run
  }

  /** Does what `stop` does. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #onKind<Event extends ClientEvent>(kind: EventKind, handler: EventHandler<Event>): this {
    this.#handlers.kinds.set(kind, handler);
    return this;
  }

  /** Holds one stream after another. */
  async #subscribe(): Promise<void> {
    const start = this.#start();
    const { signal } = this.#stopping;
    const stopped = signal.aborted ? Promise.resolve() : new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    let ended: { at: number; error: Error | undefined } | undefined;
    let failures = 0;
    const started = (message: SubscribeStarted): void => {
      failures = 0;
      const reconnect = ended && { cause: ended.error, gap: performance.now() - ended.at, undelivered: this.#undelivered };
      ended = undefined;
      this.#logStarted(message, reconnect);
      if (reconnect) {
        this.#undelivered = 0;
        this.#callHook('onReconnect', () => this.#onReconnect?.(reconnect));
      }
      this.#callHook('onStarted', () => this.#onStarted?.({ ...message }));
    };
    while (!signal.aborted) {
      const stream = this.#open(start, started);
      await Promise.race([stream.end, stopped]);
      if (signal.aborted) break;
      this.#stream = undefined;
      const error = await stream.end;
      if (error instanceof SalaError && FINAL.has(error.code)) throw error;
      if (stream.started) ended = { at: performance.now(), error };
      this.#undelivered += stream.unsent;
      const wait = backoff(failures++);
      this.#log.warn(stream.started ? 'the event stream has ended' : "can't subscribe", { error: describe(error), again_in: seconds(wait) });
      await pause(wait, signal).catch(() => {}); // aborted: leave
    }
    await this.#leave(this.#stream);
  }

  #open(start: SubscribeStart, started: (message: SubscribeStarted) => void): Stream {
    // Events of earlier streams that aren't handled yet use some of the credits.
    const credits = this.#options.credits - this.#lanes.pending;
    const stream: Stream = new Stream(this.#connection, { ...start, credits }, {
      started,
      event: (event) => this.#receive(stream, event),
      rejected: (rejected) => this.#handleRejected(stream, rejected),
    });
    this.#stream = stream;
    return stream;
  }

  /**
   * Leaves gracefully. Events that arrive until all others are answered are answered as well: there
   * are few, because there are no more credits.
   */
  async #leave(stream: Stream | undefined): Promise<void> {
    this.#stream = undefined;
    const graceOver = new AbortController();
    const timer = setTimeout(() => graceOver.abort(), this.#options.grace);
    const grace = new Promise<void>((resolve) => graceOver.signal.addEventListener('abort', () => resolve(), { once: true }));
    await Promise.race([this.#lanes.idle(), grace]);
    stream?.leave();
    await Promise.race([stream?.end, grace]);
    await Promise.race([this.#lanes.idle(), grace]); // the events that still came and need no answer
    clearTimeout(timer);
    if (!graceOver.signal.aborted) return;
    stream?.cancel();
    this.#log.warn('handlers still run after the grace time', { events: this.#lanes.pending });
  }

  /** What to subscribe to: the events that have a handler. */
  #start(): SubscribeStart {
    const { messages, anyMessage, decision, kinds } = this.#handlers;
    const { group = '', namespaces, observe = false, credits } = this.#options;
    const wanted = new Set(kinds.keys());
    if (messages.size > 0 || anyMessage) wanted.add('message');
    if (decision) wanted.add('connect');
    if (wanted.size === 0) throw new TypeError('register at least one handler before you run a subscription');
    return {
      group,
      namespaces: toArray(namespaces),
      events: anyMessage ? [] : [...messages.keys()],
      kinds: [...wanted].map(encodeKind),
      credits,
      decide: decision !== undefined,
      observe,
    };
  }

  #receive(stream: Stream, event: ProtoClientEvent): void {
    if (event.redelivered && this.#isKnown(stream, event.deliveryId)) {
      this.#grantCredit();
      return;
    }
    const delivery = event.needsAck || event.needsDecision ? this.#deliveries.begin(event.deliveryId, stream) : undefined;
    this.#lanes.push(laneOf(event), async () => {
      if (delivery) await this.#answer(event, delivery);
      else await this.#handle(event);
      this.#grantCredit();
    });
  }

  /**
   * Reports whether this process handles an event already, or has handled it. Then its answer goes to
   * the stream that has delivered it again.
   */
  #isKnown(stream: Stream, deliveryId: string): boolean {
    const delivery = this.#deliveries.handling(deliveryId);
    if (delivery) delivery.stream = stream;
    const answer = this.#deliveries.answer(deliveryId);
    if (answer) stream.answer(answer);
    return delivery !== undefined || answer !== undefined;
  }

  #grantCredit(): void {
    this.#stream?.grant(1);
  }

  /** Handles an event that needs an answer, and sends that. */
  async #answer(event: ProtoClientEvent, delivery: Delivery): Promise<void> {
    const { deliveryId } = event;
    if (!delivery.stream.writable) {
      // The broker has given it to another member, or will deliver it again.
      this.#deliveries.cancel(deliveryId);
      this.#undelivered++;
      return;
    }
    const answer = await this.#handle(event);
    if (!answer) {
      this.#deliveries.cancel(deliveryId);
      return;
    }
    this.#deliveries.end(deliveryId, answer);
    if (!delivery.stream.answer(answer)) this.#undelivered++;
  }

  async #handle(event: ProtoClientEvent): Promise<Answer | undefined> {
    const kind = kindOf(event);
    if (kind === undefined) return undefined; // a later release has it
    let decoded: ClientEvent;
    try {
      decoded = new ClientEvent(event, kind, this.#messages);
    } catch (err) {
      this.#log.error("an event can't be decoded", { delivery: event.deliveryId, error: err });
      return event.needsAck || event.needsDecision ? failureOf(event.deliveryId, event.needsDecision) : undefined;
    }
    return this.#handlers.handle(decoded);
  }

  /** Reports an answer that was rejected, and replaces it so that the client doesn't wait for nothing. */
  #handleRejected(stream: Stream, { deliveryId, reason, message }: EventRejected): void {
    this.#log.warn('the broker has rejected an answer', { delivery: deliveryId, reason, message });
    const answer = this.#deliveries.answer(deliveryId);
    if (answer && REPLACEABLE.has(reason) && !isFailure(answer)) {
      const failure = failureOf(deliveryId, answer.$case === 'decision');
      this.#deliveries.end(deliveryId, failure);
      stream.answer(failure);
    }
    this.#callHook('onRejected', () => this.#onRejected?.({ deliveryId, reason, message }));
  }

  /** Says that the subscription is active, and since when it wasn't. */
  #logStarted({ partial, missingNodes }: SubscribeStarted, reconnect: Reconnect | undefined): void {
    const nodes = { partial, missing_nodes: missingNodes };
    if (reconnect) this.#log.warn('subscribed again', { error: describe(reconnect.cause), gap: seconds(reconnect.gap), undelivered: reconnect.undelivered, ...nodes });
    else this.#log[partial ? 'warn' : 'info']('subscribed', nodes);
  }

  #callHook(name: string, hook: () => unknown): void {
    const failed = (error: unknown): void => this.#log.error('a hook has failed', { hook: name, error });
    try {
      Promise.resolve(hook()).catch(failed);
    } catch (err) {
      failed(err);
    }
  }
}

/** Events with the same lane are handled one after another. */
function laneOf({ socket, user, namespace, room }: ProtoClientEvent): string {
  if (socket) return `socket ${socket.id}`;
  return user === '' ? `room ${namespace} ${room}` : `user ${namespace} ${user}`;
}

function describe(error: Error | undefined): string {
  if (!error) return 'the broker has closed it';
  return error instanceof SalaError && error.reason !== '' ? `${error.message} (${error.reason})` : error.message;
}

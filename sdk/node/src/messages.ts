import { randomUUID } from 'node:crypto';
import { Acks, type AckOptions } from './acks.js';
import { encodeArgs } from './args.js';
import type { CallOptions, Connection, Method } from './connection.js';
import { SalaError } from './errors.js';
import { MessageServiceService as methods, Report, type BroadcastResponse, type EmitResponse } from './gen/sala/v1/message.js';
import { encodeExclusions, encodeTarget, type Exclusions, type Target } from './target.js';
import { toDuration } from './time.js';

/** What happened to an event that was sent with `emit`. */
export type EmitResult = EmitResponse;

/** What happened to an event that was sent with `broadcast`. */
export type BroadcastResult = BroadcastResponse;

/** How an event is sent to everyone in a namespace. */
export interface BroadcastOptions extends Exclusions, SendOptions {}

/** To whom an event is sent, and how. */
export interface EmitOptions extends Target, SendOptions {
  /**
   * A key for values where only the newest matters, 1 to 255 bytes. An older event with the same key
   * and rooms that still waits for a slow client is replaced by this one. Only for events to rooms.
   */
  conflateKey?: string;
  /** `true` keeps the event out of the history of its rooms. */
  skipHistory?: boolean;
}

interface SendOptions extends CallOptions {
  /** `true` drops the event for sockets that can't take it right now. */
  volatile?: boolean;
  /**
   * Which sockets the result counts. `'none'` doesn't wait for other nodes. It has no effect on events
   * with an idempotency key; the SDK adds one unless `retry` is `false`.
   */
  report?: 'counts' | 'none';
  /**
   * A key that names the event, 1 to 255 bytes: within the broker's `--idempotency-window` it is sent
   * once, however often you call. Without one, the SDK makes a key for this call, so that its own
   * retries don't send the event twice.
   */
  idempotencyKey?: string;
}

/** Sends events to clients. @internal */
export class Messages {
  readonly #connection: Connection;
  /** Whether the broker takes idempotency keys, as far as its answers have shown. */
  #takesKeys = true;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  async emit(event: string, args: readonly unknown[], options: EmitOptions): Promise<EmitResult> {
    const { conflateKey = '', skipHistory = false } = options;
    return this.#send(methods.emit, { ...encodeTarget(options), ...encodeEvent(event, args, options), conflateKey, skipHistory }, options);
  }

  async broadcast(event: string, args: readonly unknown[], options: BroadcastOptions): Promise<BroadcastResult> {
    return this.#send(methods.broadcast, { ...encodeExclusions(options), ...encodeEvent(event, args, options) }, options);
  }

  emitWithAck(event: string, args: readonly unknown[], options: Target & AckOptions): Acks {
    const { timeout = 10_000, minAcks = 0, signal } = options;
    signal?.throwIfAborted();
    const request = { ...encodeTarget(options), event, ...encodeArgs(args), args: undefined, timeout: toDuration(timeout), minAcks, argsAsJson: true };
    return new Acks(this.#connection, this.#connection.serverStream(methods.emitWithAck, request, timeout + 10_000), signal);
  }

  /** Sends an event with the caller's key or, if it may be repeated, with one that is made for it. */
  async #send<Request extends { idempotencyKey: string }, Response>(method: Method<Request, Response>, request: Request, options: SendOptions): Promise<Response> {
    if (request.idempotencyKey !== '') return this.#connection.call(method, request, options);
    if (options.retry === false || !this.#takesKeys) return this.#connection.callOnce(method, request, options);
    try {
      return await this.#connection.call(method, { ...request, idempotencyKey: randomUUID() }, options);
    } catch (err) {
      if (!(err instanceof SalaError && err.reason === 'IDEMPOTENCY_DISABLED')) throw err;
      this.#takesKeys = false; // nothing was sent
      return this.#connection.callOnce(method, request, options);
    }
  }
}

function encodeEvent(event: string, args: readonly unknown[], { volatile = false, report, idempotencyKey = '' }: SendOptions) {
  return {
    event,
    ...encodeArgs(args),
    args: undefined,
    volatile,
    report: report === undefined ? Report.UNSPECIFIED : report === 'none' ? Report.NONE : Report.COUNTS,
    idempotencyKey,
  };
}

import { randomUUID } from 'node:crypto';
import { Acks, type AckOptions } from './acks.js';
import { encodeArgs } from './args.js';
import type { CallOptions, Connection, Method } from './connection.js';
import { SalaError } from './errors.js';
import { MessageServiceService as methods, Report, type BroadcastResponse, type EmitRequest } from './gen/sala/v1/message.js';
import { EmitStream } from './emitstream.js';
import { outcomeOf, type EmitOutcome, type EmitResult } from './outcome.js';
import { encodeExclusions, encodeTarget, type Exclusions, type Target } from './target.js';
import { toDuration } from './time.js';

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

/** One event of a batch or of a stream: who gets it and how, as for `emit`. */
export interface Emit extends Omit<EmitOptions, keyof CallOptions> {
  /** The event's name. */
  event: string;
  /** The event's arguments. None by default. */
  args?: readonly unknown[];
}

/** How events are streamed. */
export interface EmitStreamOptions {
  /** How many events may be on their way, until you have read their outcomes. 256 by default. */
  window?: number;
  /** How long an event may wait for its result, in milliseconds. */
  timeout?: number;
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
    return this.#send(methods.emit, encodeEmit({ ...options, event, args }), options);
  }

  async emitBatch(emits: readonly Emit[], options: CallOptions): Promise<EmitOutcome[]> {
    const { retry = true } = options;
    const requests = emits.map(encodeEmit);
    const own = requests.filter(({ idempotencyKey }) => retry && this.#takesKeys && idempotencyKey === '');
    for (const request of own) request.idempotencyKey = randomUUID();
    const repeat = requests.every(({ idempotencyKey }) => idempotencyKey !== '');
    const outcomes = await this.#sendBatch(requests, { ...options, retry: retry && repeat });
    const refused = requests.filter((request, i) => own.includes(request) && outcomes[i]?.error?.reason === 'IDEMPOTENCY_DISABLED');
    if (refused.length === 0) return outcomes;
    this.#takesKeys = false;
    for (const request of refused) request.idempotencyKey = '';
    const again = await this.#sendBatch(refused, { ...options, retry: false });
    return outcomes.map((outcome, i) => again[refused.indexOf(requests[i] as EmitRequest)] ?? outcome);
  }

  async #sendBatch(emits: EmitRequest[], options: CallOptions): Promise<EmitOutcome[]> {
    const { results } = await this.#connection.call(methods.emitBatch, { emits }, options);
    return results.map(outcomeOf);
  }

  async *emitStream(emits: Iterable<Emit> | AsyncIterable<Emit>, options: EmitStreamOptions): AsyncGenerator<EmitOutcome, void, undefined> {
    const { window = 256, timeout = this.#connection.timeout } = options;
    const source = Symbol.asyncIterator in emits ? emits[Symbol.asyncIterator]() : emits[Symbol.iterator]();
    let wake = (): void => {};
    const stream = new EmitStream(this.#connection, timeout, () => wake());
    const pending: { readonly outcome: EmitOutcome | undefined }[] = [];
    let reading = false; // the source
    let failure: { cause: unknown } | undefined; // of the source
    let done = false;
    const read = async (): Promise<void> => {
      try {
        const next = await source.next();
        if (next.done) done = true;
        else pending.push(stream.add(encodeEmit(next.value)));
      } catch (cause) {
        failure = { cause };
        done = true;
      }
      reading = false;
      wake();
    };
    try {
      for (;;) {
        const woken = new Promise<void>((resolve) => (wake = resolve));
        if (!reading && !done && pending.length < window) {
          reading = true;
          void read();
        }
        const [oldest] = pending;
        if (oldest?.outcome) {
          pending.shift();
          yield oldest.outcome;
        } else if (!oldest && done) {
          break;
        } else {
          await woken;
        }
      }
    } finally {
      stream.end();
      if (!done) await source.return?.();
    }
    if (failure) throw failure.cause;
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

function encodeEmit(emit: Emit): EmitRequest {
  const { event, args = [], conflateKey = '', skipHistory = false } = emit;
  return { ...encodeTarget(emit), ...encodeEvent(event, args, emit), conflateKey, skipHistory };
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

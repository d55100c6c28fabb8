import type { ClientReadableStream } from '@grpc/grpc-js';
import { decodeArgs } from './args.js';
import type { Connection } from './connection.js';
import { SalaError } from './errors.js';
import type { Ack as ProtoAck, AckSummary as ProtoAckSummary, EmitWithAckResponse } from './gen/sala/v1/message.js';
import { fromDuration } from './time.js';

/** How long to wait for the acks of an event. */
export interface AckOptions {
  /** How long to wait, in milliseconds: above zero, at most 60,000. 10,000 by default. */
  timeout?: number;
  /** Stop waiting once this many clients have answered. By default, wait for all. */
  minAcks?: number;
  /** Ends the call: iterating and `summary()` reject with the signal's reason. */
  signal?: AbortSignal;
}

/** One client's answer to an event. */
export interface ClientAck {
  /** The id of the socket that has answered. */
  socket: string;
  /** The socket's user. Empty if anonymous. */
  user: string;
  /** What the client has passed to the ack callback, with binary data as `Buffer`s. */
  args: unknown[];
  /** The time from queuing the event to receiving the ack, in milliseconds. */
  latency: number;
}

/** What happened to an event that asked for acks. */
export type AckSummary = ProtoAckSummary;

/**
 * The acks of one event. Iterate to get each as it arrives, once:
 *
 * ```js
 * const acks = sala.emitWithAck('ready?', [], { rooms: 'game:7' });
 * for await (const { user, args } of acks) console.log(user, args);
 * const { expected, answered } = await acks.summary();
 * ```
 *
 * To leave the loop early ends the call. Read the acks as they arrive, or call `summary()`: the
 * broker ends the call of a slow reader with the reason `SLOW_CALLER`.
 */
export class Acks implements AsyncIterable<ClientAck> {
  readonly #connection: Connection;
  readonly #stream: ClientReadableStream<EmitWithAckResponse>;
  readonly #signal: AbortSignal | undefined;
  readonly #abort = (): void => this.#stream.cancel();
  readonly #summary: Promise<AckSummary>;
  #settle!: { resolve: (summary: AckSummary) => void; reject: (err: unknown) => void };
  #failure: unknown; // grpc-js emits an error once, perhaps before anybody iterates
  #read = false;

  /** @internal */
  constructor(connection: Connection, stream: ClientReadableStream<EmitWithAckResponse>, signal: AbortSignal | undefined) {
    this.#connection = connection;
    this.#stream = stream;
    this.#signal = signal;
    this.#summary = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
    this.#summary.catch(() => {}); // whoever calls summary() gets the error
    stream.on('error', (err) => (this.#failure = err));
    signal?.addEventListener('abort', this.#abort, { once: true });
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ClientAck, void, undefined> {
    if (this.#read) throw new Error('the acks of an event can be read only once');
    this.#read = true;
    try {
      for await (const { kind } of this.#stream as AsyncIterable<EmitWithAckResponse>) {
        if (kind?.$case === 'ack') yield decodeAck(kind.value);
        if (kind?.$case === 'summary') this.#settle.resolve(kind.value);
      }
      if (this.#failure !== undefined) throw this.#failure;
    } catch (err) {
      const failure = this.#signal?.aborted ? this.#signal.reason : this.#connection.toError(err as Error);
      this.#settle.reject(failure);
      throw failure;
    } finally {
      this.#signal?.removeEventListener('abort', this.#abort);
      this.#stream.cancel();
      this.#settle.reject(new SalaError('the call was ended before its summary', 'CANCELLED')); // unless it has come
    }
  }

  /** Waits for the end. If nobody iterates, it reads the acks and leaves them out. */
  async summary(): Promise<AckSummary> {
    if (!this.#read) for await (const _ of this);
    return this.#summary;
  }
}

function decodeAck({ socket, user, argsJson, attachments, latency }: ProtoAck): ClientAck {
  return { socket, user, args: decodeArgs(argsJson, attachments), latency: fromDuration(latency) };
}

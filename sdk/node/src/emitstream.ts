import type { ClientDuplexStream } from '@grpc/grpc-js';
import { backoff } from './backoff.js';
import type { Connection } from './connection.js';
import { FINAL, SalaError } from './errors.js';
import { MessageServiceService, type EmitRequest, type EmitResult as ProtoEmitResult, type EmitStreamRequest, type EmitStreamResponse } from './gen/sala/v1/message.js';
import { outcomeOf, type EmitOutcome } from './outcome.js';

/** How long the broker gets to end a stream, in milliseconds. */
const END_TIME = 1000;

/** An event on its way. */
interface Pending {
  request: EmitStreamRequest;
  /** When its time is over, as `performance.now()` counts. */
  deadline: number;
  outcome: EmitOutcome | undefined;
}

/**
 * Sends events over a stream, and over another one when it breaks. Each gets an outcome, in their order.
 * @internal
 */
export class EmitStream {
  readonly #connection: Connection;
  readonly #timeout: number;
  /** Called when the oldest event has an outcome. */
  readonly #settled: () => void;
  /** Without an outcome, the oldest first. */
  #pending: Pending[] = [];
  /** How many of them the current stream has been given. */
  #written = 0;
  #sequence = 0;
  #call: ClientDuplexStream<EmitStreamRequest, EmitStreamResponse> | undefined;
  /** Why the last stream ended. Undefined since the last result. */
  #cause: SalaError | undefined;
  #failures = 0;
  #again: NodeJS.Timeout | undefined;
  #late: NodeJS.Timeout | undefined;
  #ended = false;

  constructor(connection: Connection, timeout: number, settled: () => void) {
    this.#connection = connection;
    this.#timeout = timeout;
    this.#settled = settled;
  }

  /** Adds an event. The result is completed with its outcome. */
  add(emit: EmitRequest): { readonly outcome: EmitOutcome | undefined } {
    const pending: Pending = { request: { sequence: ++this.#sequence, emit }, deadline: performance.now() + this.#timeout, outcome: undefined };
    this.#pending.push(pending);
    if (this.#pending.length === 1) this.#setTimer();
    this.#write();
    return pending;
  }

  /** Ends the stream. Events without an outcome get none. */
  end(): void {
    this.#ended = true;
    clearTimeout(this.#again);
    clearTimeout(this.#late);
    const call = this.#call;
    if (!call) return;
    if (this.#pending.length > 0) {
      call.cancel();
      return;
    }
    call.end();
    const timer = setTimeout(() => call.cancel(), END_TIME); // nobody may be there to answer
    call.once('end', () => clearTimeout(timer));
  }

  /** Gives the stream what it hasn't been given. */
  #write(): void {
    if (this.#again) return; // the pause before another stream
    if (!this.#call) this.#open();
    for (const { request } of this.#pending.slice(this.#written)) this.#call?.write(request);
    this.#written = this.#pending.length;
  }

  #open(): void {
    const call = this.#connection.duplexStream(MessageServiceService.emitStream);
    this.#call = call;
    let failure: Error | undefined;
    call.on('error', (err) => (failure = this.#connection.toError(err)));
    call.on('data', ({ sequence, result }: EmitStreamResponse) => this.#receive(sequence, result));
    call.on('end', () => this.#broke(failure instanceof SalaError ? failure : new SalaError('the broker has closed the stream', 'UNAVAILABLE')));
  }

  #receive(sequence: number, result: ProtoEmitResult | undefined): void {
    // One that is older than the oldest has had its time.
    if (this.#pending[0]?.request.sequence !== sequence || !result) return;
    this.#cause = undefined;
    this.#failures = 0;
    this.#settle(outcomeOf(result));
  }

  /** Gives the oldest event its outcome. */
  #settle(outcome: EmitOutcome): void {
    const pending = this.#pending.shift() as Pending;
    pending.outcome = outcome;
    this.#written = Math.max(this.#written - 1, 0);
    this.#setTimer();
    this.#settled();
  }

  #setTimer(): void {
    clearTimeout(this.#late);
    const [oldest] = this.#pending;
    if (oldest) this.#late = setTimeout(() => this.#expire(), Math.max(oldest.deadline - performance.now(), 0));
  }

  #expire(): void {
    const now = performance.now();
    while (this.#pending[0] && this.#pending[0].deadline <= now) this.#settle({ error: this.#cause ?? this.#connection.late() });
    this.#setTimer();
  }

  /** Decides about the events that a stream has left without a result: those that can be sent again stay. */
  #broke(cause: SalaError): void {
    this.#call = undefined;
    if (this.#ended) return;
    this.#cause = cause;
    const kept: Pending[] = [];
    for (const [i, pending] of this.#pending.entries()) {
      if (FINAL.has(cause.code)) pending.outcome = { error: cause };
      else if (i < this.#written && pending.request.emit?.idempotencyKey === '') pending.outcome = { error: mayHaveBeenSent(cause) };
      else kept.push(pending);
    }
    this.#pending = kept;
    this.#written = 0;
    this.#setTimer();
    this.#settled();
    this.#again = setTimeout(() => {
      this.#again = undefined;
      if (this.#pending.length > 0) this.#write();
    }, backoff(this.#failures++));
  }
}

function mayHaveBeenSent(cause: SalaError): SalaError {
  return new SalaError(`${cause.message}; the event may have been sent, and has no key to send it again`, 'UNAVAILABLE');
}

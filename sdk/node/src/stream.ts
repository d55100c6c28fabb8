import type { ClientDuplexStream } from '@grpc/grpc-js';
import type { Connection } from './connection.js';
import type { Answer } from './deliveries.js';
import { EventServiceService, type ClientEvent, type EventRejected, type SubscribeRequest, type SubscribeResponse, type SubscribeStart, type SubscribeStarted } from './gen/sala/v1/event.js';

/** What a stream tells its owner. @internal */
export interface StreamListener {
  started(started: SubscribeStarted): void;
  event(event: ClientEvent): void;
  rejected(rejected: EventRejected): void;
}

/**
 * One stream of events, from its start to its end. Answers to its events can go only over it.
 * @internal
 */
export class Stream {
  /** Resolves at the end: with the error that ended the stream, or undefined if both sides closed it. */
  readonly end: Promise<Error | undefined>;
  readonly #call: ClientDuplexStream<SubscribeRequest, SubscribeResponse>;
  #started = false;
  #writable = true;
  #unsent = 0;
  #credits = 0;
  #flushing = false;

  constructor(connection: Connection, start: SubscribeStart, listener: StreamListener) {
    this.#call = connection.duplexStream(EventServiceService.subscribe);
    this.end = new Promise((resolve) => {
      let failure: Error | undefined;
      this.#call.on('error', (err) => (failure = connection.toError(err)));
      // After the error, and after all events that have arrived.
      this.#call.on('end', () => {
        this.#writable = false;
        resolve(failure);
      });
    });
    this.#call.on('data', (response: SubscribeResponse) => this.#receive(response, listener));
    this.#write({ $case: 'start', value: start });
  }

  /** Whether the broker has confirmed the subscription. */
  get started(): boolean {
    return this.#started;
  }

  /** Whether answers can still be sent. */
  get writable(): boolean {
    return this.#writable;
  }

  /** How many answers have been taken and not handed to the network. */
  get unsent(): number {
    return this.#unsent;
  }

  /** Sends an answer, and reports whether the stream took it. */
  answer(answer: Answer): boolean {
    if (!this.#writable) return false;
    this.#unsent++;
    this.#write(answer, () => this.#unsent--);
    return true;
  }

  /** Lets the broker send more events. Grants of the same moment travel together. */
  grant(credits: number): void {
    this.#credits += credits;
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      const granted = this.#credits;
      this.#credits = 0;
      if (granted > 0) this.#write({ $case: 'credit', value: { credits: granted } });
    });
  }

  /** Closes the side of the backend: the broker sends what it has handed over, then it ends the stream. */
  leave(): void {
    if (!this.#started) this.cancel();
    this.#writable = false;
    this.#call.end();
  }

  /** Ends the stream at once. */
  cancel(): void {
    this.#writable = false;
    this.#call.cancel();
  }

  #receive({ response }: SubscribeResponse, listener: StreamListener): void {
    switch (response?.$case) {
      case 'started':
        this.#started = true;
        listener.started(response.value);
        break;
      case 'event':
        listener.event(response.value);
        break;
      case 'rejected':
        listener.rejected(response.value);
        break;
    }
  }

  #write(request: NonNullable<SubscribeRequest['request']>, sent: () => void = () => {}): void {
    if (!this.#writable) return;
    this.#call.write({ request }, (err: Error | null | undefined) => {
      if (!err) sent();
    });
  }
}

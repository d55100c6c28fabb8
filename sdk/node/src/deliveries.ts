import type { SubscribeRequest } from './gen/sala/v1/event.js';
import type { Stream } from './stream.js';

/** An answer to an event: what the broker takes as reply or as decision. @internal */
export type Answer = Extract<SubscribeRequest['request'], { $case: 'reply' | 'decision' }>;

/** An event that is being handled, or waits for it, and needs an answer. @internal */
export interface Delivery {
  /** The stream that has delivered it last. Its answer goes there. */
  stream: Stream;
}

/** How many answers are remembered, and how many bytes of arguments in all. */
const MOST_ANSWERS = 10_000;
const MOST_BYTES = 64 * 1024 * 1024;

/**
 * Remembers the events that need an answer and are being handled, and the last ones that were, so that
 * an event that the broker delivers again isn't handled again.
 * @internal
 */
export class Deliveries {
  /** By delivery id. */
  readonly #handling = new Map<string, Delivery>();
  /** By delivery id, from the oldest to the newest. */
  readonly #answers = new Map<string, Answer>();
  #bytes = 0;

  /** The event, if it is being handled or waits for it. */
  handling(deliveryId: string): Delivery | undefined {
    return this.#handling.get(deliveryId);
  }

  /** The answer of the event, if it is handled. */
  answer(deliveryId: string): Answer | undefined {
    return this.#answers.get(deliveryId);
  }

  /** Remembers an event that is to be handled. */
  begin(deliveryId: string, stream: Stream): Delivery {
    const delivery = { stream };
    this.#handling.set(deliveryId, delivery);
    return delivery;
  }

  /** Forgets an event that wasn't handled. */
  cancel(deliveryId: string): void {
    this.#handling.delete(deliveryId);
  }

  /** Remembers the answer of an event, or another one, and forgets the oldest beyond the limits. */
  end(deliveryId: string, answer: Answer): void {
    this.#handling.delete(deliveryId);
    this.#forget(deliveryId);
    this.#answers.set(deliveryId, answer);
    this.#bytes += size(answer);
    for (const oldest of this.#answers.keys()) {
      if (this.#answers.size <= MOST_ANSWERS && this.#bytes <= MOST_BYTES) return;
      this.#forget(oldest);
    }
  }

  #forget(deliveryId: string): void {
    const answer = this.#answers.get(deliveryId);
    if (!answer) return;
    this.#answers.delete(deliveryId);
    this.#bytes -= size(answer);
  }
}

function size(answer: Answer): number {
  if (answer.$case === 'decision') return 0;
  const { argsJson, attachments } = answer.value;
  return attachments.reduce((sum, { length }) => sum + length, argsJson.length);
}

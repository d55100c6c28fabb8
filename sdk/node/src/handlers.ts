import { Ack, type Accept } from './ack.js';
import type { Answer } from './deliveries.js';
import { encodeArgs } from './args.js';
import { ClientError, Refuse } from './errors.js';
import type { ClientEvent, EventKind, SocketEvent } from './event.js';
import type { EventError, EventReply } from './gen/sala/v1/event.js';
import { toOptionalJson } from './json.js';
import type { Logger } from './log.js';

/** Handles a client's event. What it returns is the ack: see `Subscription.on`. */
export type MessageHandler = (event: SocketEvent) => unknown;

/** Decides whether a client may connect: see `Subscription.decide`. */
export type DecideHandler = (event: SocketEvent) => Accept | undefined | void | Promise<Accept | undefined | void>;

/** Handles an event that has no answer. */
export type EventHandler<Event extends ClientEvent = ClientEvent> = (event: Event) => unknown;

const HANDLER_FAILED: EventError = { code: 'HANDLER_FAILED', message: "the backend's handler has failed" };

/**
 * The handlers of a subscription, and what their results are to the broker.
 * @internal
 */
export class Handlers {
  readonly messages = new Map<string, MessageHandler>();
  readonly kinds = new Map<EventKind, EventHandler<never>>();
  anyMessage: MessageHandler | undefined;
  decision: DecideHandler | undefined;
  readonly #log: Logger;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Handles an event and returns its answer, if it needs one. Never rejects. */
  async handle(event: ClientEvent): Promise<Answer | undefined> {
    if (event.needsDecision) return this.#decide(event as SocketEvent);
    if (event.kind === 'message') return this.#handleMessage(event as SocketEvent);
    try {
      await this.kinds.get(event.kind)?.(event as never);
    } catch (err) {
      this.#logFailure(event, err);
    }
    return undefined;
  }

  async #handleMessage(event: SocketEvent): Promise<Answer | undefined> {
    const { deliveryId, name, needsAck } = event;
    try {
      const result = await (this.messages.get(name) ?? this.anyMessage)?.(event);
      if (!needsAck) return undefined;
      const args = result instanceof Ack ? result.args : result === undefined ? [] : [result];
      return reply(deliveryId, encodeArgs(args));
    } catch (err) {
      if (err instanceof ClientError) return needsAck ? reply(deliveryId, { error: { code: err.code, message: err.message } }) : undefined;
      this.#logFailure(event, err);
      return needsAck ? failureOf(deliveryId, false) : undefined;
    }
  }

  async #decide(event: SocketEvent): Promise<Answer> {
    const { deliveryId } = event;
    try {
      const accept = (await this.decision?.(event)) ?? {};
      if (typeof accept !== 'object') throw new TypeError(`decide must return nothing or an object with rooms and data, not ${typeof accept}`);
      return { $case: 'decision', value: { deliveryId, decision: { $case: 'accept', value: { rooms: [...(accept.rooms ?? [])], data: toOptionalJson(accept.data) } } } };
    } catch (err) {
      if (err instanceof Refuse) return refuse(deliveryId, { code: err.code, message: err.message });
      this.#logFailure(event, err);
      return failureOf(deliveryId, true);
    }
  }

  #logFailure({ kind, name, deliveryId }: ClientEvent, error: unknown): void {
    this.#log.error('a handler has failed', { kind, event: name, delivery: deliveryId, error });
  }
}

/** The answer that says that handling an event has failed. @internal */
export function failureOf(deliveryId: string, isDecision: boolean): Answer {
  return isDecision ? refuse(deliveryId, HANDLER_FAILED) : reply(deliveryId, { error: HANDLER_FAILED });
}

/** Whether this is what failureOf returns. @internal */
export function isFailure({ value }: Answer): boolean {
  return 'decision' in value ? value.decision?.value === HANDLER_FAILED : value.error === HANDLER_FAILED;
}

function reply(deliveryId: string, fields: Partial<EventReply>): Answer {
  return { $case: 'reply', value: { deliveryId, args: undefined, argsJson: '', attachments: [], error: undefined, ...fields } };
}

function refuse(deliveryId: string, error: EventError): Answer {
  return { $case: 'decision', value: { deliveryId, decision: { $case: 'refuse', value: error } } };
}

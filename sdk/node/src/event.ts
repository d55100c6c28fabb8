import { decodeArgs } from './args.js';
import { EventKind as ProtoEventKind, type ClientEvent as ProtoClientEvent, type EventSocket as ProtoEventSocket } from './gen/sala/v1/event.js';
import type { EmitOptions, Messages } from './messages.js';
import type { EmitResult } from './outcome.js';
import type { Names } from './target.js';

const KINDS = {
  [ProtoEventKind.CONNECT]: 'connect',
  [ProtoEventKind.DISCONNECT]: 'disconnect',
  [ProtoEventKind.JOIN]: 'join',
  [ProtoEventKind.LEAVE]: 'leave',
  [ProtoEventKind.MESSAGE]: 'message',
  [ProtoEventKind.ROOM_OPENED]: 'roomOpened',
  [ProtoEventKind.ROOM_CLOSED]: 'roomClosed',
  [ProtoEventKind.AWAY]: 'away',
  [ProtoEventKind.RESUMED]: 'resumed',
  [ProtoEventKind.USER_ONLINE]: 'userOnline',
  [ProtoEventKind.USER_OFFLINE]: 'userOffline',
  [ProtoEventKind.USER_JOINED]: 'userJoined',
  [ProtoEventKind.USER_LEFT]: 'userLeft',
} as const;

/** What has happened. */
export type EventKind = (typeof KINDS)[keyof typeof KINDS];

/** The kind of an event, or undefined if this release doesn't know it. @internal */
export function kindOf(event: ProtoClientEvent): EventKind | undefined {
  return KINDS[event.kind as keyof typeof KINDS];
}

/** The kind as the broker names it. @internal */
export function encodeKind(kind: EventKind): ProtoEventKind {
  const [encoded] = Object.entries(KINDS).find(([, name]) => name === kind) as [ProtoEventKind, EventKind];
  return encoded;
}

/** The socket that an event is about. */
export interface EventSocket extends Omit<ProtoEventSocket, 'authJson'> {
  /** What the client sent as `auth` when it connected, without the token. Empty if it sent nothing else. */
  auth: Record<string, unknown>;
}

/** How an event is sent from a handler. The namespace is that of the handled event. */
export type EventEmitOptions = Omit<EmitOptions, 'namespace' | 'rooms' | 'users' | 'sockets'>;

/** Something that has happened to a client, a user or a room. */
export class ClientEvent {
  /** The id of this delivery. It stays the same when the event is redelivered, so it can name what you store. */
  readonly deliveryId: string;
  /** What has happened. */
  readonly kind: EventKind;
  /** The namespace. */
  readonly namespace: string;
  /** The socket that the event is about. Only for events about sockets. */
  readonly socket: EventSocket | undefined;
  /** The name of the event that the client has sent. Only for `message`. */
  readonly name: string;
  /** The arguments that the client has sent, with binary data as `Buffer`s. Only for `message`. Check them: clients send what they like. */
  readonly args: readonly unknown[];
  /** The arguments as the text of a JSON array, as the client sent it. Only for `message`. */
  readonly argsJson: string;
  /** The binary data of the arguments. Only for `message`. */
  readonly attachments: readonly Buffer[];
  /** Whether the client waits for an ack. */
  readonly needsAck: boolean;
  /** Whether the client waits for a decision before it is connected. */
  readonly needsDecision: boolean;
  /** Whether another subscriber, which is gone, may already have handled the event. */
  readonly redelivered: boolean;
  /** When it happened. */
  readonly time: Date | undefined;
  /** The room. Only for events about rooms. */
  readonly room: string;
  /** The user. Only for events about users; `socket.user` has that of a socket. */
  readonly user: string;
  /** Why the socket disconnected, or why its connection ended. Only for `disconnect` and `away`. */
  readonly reason: string;
  /** The socket that the client wanted to return to and couldn't. Only for `connect`. */
  readonly previousSocketId: string;
  /** Why the client couldn't return, such as `EXPIRED`. Only for `connect`. */
  readonly notRecovered: string;
  /** The event's span, as the text of a W3C traceparent header. Empty if the broker has no tracing. */
  readonly traceContext: string;
  readonly #messages: Messages;

  /** @internal */
  constructor(event: ProtoClientEvent, kind: EventKind, messages: Messages) {
    this.deliveryId = event.deliveryId;
    this.kind = kind;
    this.namespace = event.namespace || event.socket?.namespace || '/';
    this.socket = event.socket && decodeSocket(event.socket);
    this.name = event.event;
    this.args = decodeArgs(event.argsJson, event.attachments);
    this.argsJson = event.argsJson;
    this.attachments = event.attachments;
    this.needsAck = event.needsAck;
    this.needsDecision = event.needsDecision;
    this.redelivered = event.redelivered;
    this.time = event.time;
    this.room = event.room;
    this.user = event.user;
    this.reason = event.reason;
    this.previousSocketId = event.previousSocketId;
    this.notRecovered = event.notRecovered;
    this.traceContext = event.traceContext;
    this.#messages = messages;
  }

  /** Sends an event to the socket that this event is about. Throws if it is about none. Scope: `emit`. */
  async emit(name: string, args: readonly unknown[] = [], options: EventEmitOptions = {}): Promise<EmitResult> {
    if (!this.socket) throw new TypeError(`an event of the kind ${this.kind} has no socket to emit to`);
    return this.#messages.emit(name, args, { ...options, namespace: this.namespace, sockets: this.socket.id });
  }

  /** Sends an event to rooms in the namespace of this event. Scope: `emit`. */
  async emitTo(rooms: Names, name: string, args: readonly unknown[] = [], options: EventEmitOptions = {}): Promise<EmitResult> {
    return this.#messages.emit(name, args, { ...options, namespace: this.namespace, rooms });
  }
}

/** An event about a socket. */
export type SocketEvent = ClientEvent & { readonly socket: EventSocket };

function decodeSocket({ authJson, ...socket }: ProtoEventSocket): EventSocket {
  return { ...socket, auth: authJson === '' ? {} : JSON.parse(authJson) };
}

import { decodeArgs } from './args.js';
import type { CallOptions, Connection } from './connection.js';
import { PresenceServiceService } from './gen/sala/v1/presence.js';
import { Direction, RoomOrder, RoomServiceService as methods, type ClearRoomResponse, type GetRoomResponse, type Position as ProtoPosition, type Room as ProtoRoom } from './gen/sala/v1/room.js';
import { toJson } from './json.js';
import { List } from './list.js';
import type { PresentUser } from './presence.js';

/** A room and its size. */
export type Room = ProtoRoom;

/** A room, its size and the number of its users. */
export type RoomDetails = GetRoomResponse;

/** What clearing a room has done. */
export type ClearResult = ClearRoomResponse;

/** A place in the history of a room. */
export type Position = ProtoPosition;

/** Which room a call is about. */
export interface RoomOptions extends CallOptions {
  /** The room's namespace, `/` by default. */
  namespace?: string;
}

/** Which rooms to list. */
export interface ListRoomsOptions extends CallOptions {
  /** Only rooms in this namespace. All by default. */
  namespace?: string;
  /** Only rooms whose name begins with this. */
  prefix?: string;
  /** Only rooms whose name contains this, whatever the case of its letters. At most 255 bytes. */
  query?: string;
  /** `'name'` by default; `'sockets'` begins with the largest room and ends after 10,000. */
  order?: 'name' | 'sockets';
  /** How many rooms to fetch at once, at most 1000. 100 by default. */
  pageSize?: number;
}

/** How to clear a room. */
export interface ClearRoomOptions extends RoomOptions {
  /** An event that every member receives before it leaves. Its arguments are JSON, without binary data. */
  notice?: { event: string; args?: readonly unknown[] };
  /** `true` also disconnects the members, after the notice. */
  disconnect?: boolean;
}

/** Which messages to read. By default, those from the oldest that is kept. */
export interface ReadMessagesOptions extends RoomOptions {
  /** The newest messages, so many at most: 1 to 1000, oldest first. Excludes the other options. */
  last?: number;
  /** Only messages after this position or, backward, before it. */
  since?: Position;
  /** `'forward'` by default, from older to newer messages. */
  direction?: 'forward' | 'backward';
  /** How many messages to return, at most 1000. 100 by default. */
  limit?: number;
}

/** A part of a room's history. */
export interface RoomMessages {
  /** The messages, in the order of reading. None when nothing is left to read. */
  messages: RoomMessage[];
  /** The position to read on from. */
  position: Position;
  /** Whether nothing is missing between `since` and these messages. Always true without `since`. */
  complete: boolean;
}

/** One message in the history of a room. */
export interface RoomMessage {
  /** The message's offset in the epoch of the history. */
  offset: number;
  /** The event's name. */
  event: string;
  /** The event's arguments, with binary data as `Buffer`s. */
  args: unknown[];
  /** When the broker accepted the message. */
  time: Date;
  /** The idempotency key with which it was emitted. The SDK makes one unless `retry` is off. */
  idempotencyKey: string;
}

/** Which users of a room to list. */
export interface RoomUsersOptions extends RoomOptions {
  /** Only users whose name begins with this. At most 255 bytes. */
  query?: string;
  /** How many users to fetch at once, at most 1000. 100 by default. */
  pageSize?: number;
}

/** Lists and clears rooms, and reads what they remember. */
export class Rooms {
  readonly #connection: Connection;

  /** @internal */
  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Lists the rooms of one namespace or of all. Scope: `rooms:read`. */
  list(options: ListRoomsOptions = {}): List<Room> {
    const { namespace = '', prefix = '', query = '', pageSize = 0, order } = options;
    return new List(async (pageToken) => {
      const request = { namespace, prefix, query, pageSize, pageToken, order: order === 'sockets' ? RoomOrder.SOCKETS : RoomOrder.NAME };
      const { rooms, nextPageToken, partial, missingNodes, truncated } = await this.#connection.call(methods.listRooms, request, options);
      return { items: rooms, nextPageToken, partial, missingNodes, truncated };
    });
  }

  /** Counts one room's members. Fails with the reason `ROOM_NOT_FOUND` if it has none. Scope: `rooms:read`. */
  async get(room: string, options: RoomOptions = {}): Promise<RoomDetails> {
    return this.#connection.call(methods.getRoom, { room, namespace: options.namespace ?? '' }, options);
  }

  /**
   * Removes every member from a room. A client that rejoins because of the notice stays, so the call
   * isn't repeated. Scope: `rooms:clear`.
   */
  async clear(room: string, options: ClearRoomOptions = {}): Promise<ClearResult> {
    const { namespace = '', notice, disconnect = false } = options;
    const encoded = notice && { event: notice.event, args: toJson(notice.args ?? []) as unknown[] };
    return this.#connection.callOnce(methods.clearRoom, { room, namespace, notice: encoded, disconnect }, options);
  }

  /** Reads the history of a room. Fails with the reason `HISTORY_DISABLED` if it has none. Scope: `messages:read`. */
  async messages(room: string, options: ReadMessagesOptions = {}): Promise<RoomMessages> {
    const { namespace = '', last = 0, since, direction, limit = 0 } = options;
    const request = { room, namespace, last, since, direction: encodeDirection(direction), limit };
    const { messages, epoch, offset, complete } = await this.#connection.call(methods.listMessages, request, options);
    return {
      messages: messages.map(({ argsJson, attachments, time, ...message }) => ({ ...message, args: decodeArgs(argsJson, attachments), time: time as Date })),
      position: { epoch, offset },
      complete,
    };
  }

  /** Forgets the history of a room. Its members stay. The call isn't repeated. Scope: `messages:write`. */
  async clearMessages(room: string, options: RoomOptions = {}): Promise<void> {
    await this.#connection.callOnce(methods.clearMessages, { room, namespace: options.namespace ?? '' }, options);
  }

  /** Lists the users in a room, ordered by name. Scope: `presence:read`. */
  users(room: string, options: RoomUsersOptions = {}): List<PresentUser> {
    return listUsers(this.#connection, room, options);
  }
}

/** The users in a room or, if the room is empty, in a whole namespace. @internal */
export function listUsers(connection: Connection, room: string, options: RoomUsersOptions): List<PresentUser> {
  const { namespace = '', query = '', pageSize = 0 } = options;
  return new List(async (pageToken) => {
    const request = { room, namespace, query, pageSize, pageToken };
    const { users, nextPageToken, partial, missingNodes } = await connection.call(PresenceServiceService.listUsers, request, options);
    return { items: users, nextPageToken, partial, missingNodes, truncated: false };
  });
}

function encodeDirection(direction: ReadMessagesOptions['direction']): Direction {
  if (direction === undefined) return Direction.UNSPECIFIED;
  return direction === 'backward' ? Direction.BACKWARD : Direction.FORWARD;
}

import type { CallOptions, Connection } from './connection.js';
import { PresenceServiceService as methods, type CountResponse, type OnlineResponse, type PresentUser as ProtoPresentUser } from './gen/sala/v1/presence.js';
import type { List } from './list.js';
import { listUsers, type RoomOptions, type RoomUsersOptions } from './rooms.js';
import { toArray, type Names } from './target.js';

/** A user who is there. */
export type PresentUser = ProtoPresentUser;

/** How many are in some rooms. */
export type Counts = CountResponse;

/** The users who are connected. */
export type Online = OnlineResponse;

/** Says which users are there: in a room, or connected at all. Scope: `presence:read`. */
export class Presence {
  readonly #connection: Connection;

  /** @internal */
  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Lists the users who are connected to a namespace, ordered by name. `rooms.users` lists those in a room. */
  users(options: RoomUsersOptions = {}): List<PresentUser> {
    return listUsers(this.#connection, '', options);
  }

  /** Counts the users and sockets of up to 1000 rooms, or of the whole namespace if there is no room. */
  async count(rooms: Names = [], options: RoomOptions = {}): Promise<Counts> {
    return this.#connection.call(methods.count, { rooms: toArray(rooms), namespace: options.namespace ?? '' }, options);
  }

  /** Says which of up to 1000 users are connected. */
  async online(users: Names, options: CallOptions & { /** `/` by default. */ namespace?: string } = {}): Promise<Online> {
    return this.#connection.call(methods.online, { users: toArray(users), namespace: options.namespace ?? '' }, options);
  }
}

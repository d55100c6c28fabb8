import type { CallOptions, Connection } from './connection.js';
import { SocketServiceService as methods, SocketState, type DisconnectResponse, type JoinResponse, type LeaveResponse, type Socket as ProtoSocket, type UpdateResponse } from './gen/sala/v1/socket.js';
import { toJson } from './json.js';
import { List } from './list.js';
import { encodeTarget, toArray, type Names, type Target } from './target.js';

/** One client in one namespace. */
export interface Socket extends Omit<ProtoSocket, 'state'> {
  /** `'away'` if the client has lost its connection and may return. */
  state: 'connected' | 'away';
}

/** A socket, and whether a node is missing that may know more of it. */
export interface SocketDetails extends Socket {
  /** Whether a node didn't answer. Always false on a single node. */
  partial: boolean;
  /** The ids of the nodes that didn't answer. */
  missingNodes: string[];
}

/** Which sockets to list. A socket must match every filter that is set. */
export interface ListSocketsOptions extends CallOptions {
  /** Only sockets in this namespace. All by default. */
  namespace?: string;
  /** Only members of this room. */
  room?: string;
  /** Only sockets of this user. */
  user?: string;
  /** Only sockets whose user, id or address begins with this. At most 255 bytes. */
  query?: string;
  /** How many sockets to fetch at once, at most 1000. 100 by default. */
  pageSize?: number;
}

/** How many sockets joined rooms. */
export type JoinResult = JoinResponse;

/** How many sockets left rooms. */
export type LeaveResult = LeaveResponse;

/** How many sockets got new data. */
export type UpdateResult = UpdateResponse;

/** How many sockets were disconnected. */
export type DisconnectResult = DisconnectResponse;

/** Lists clients, moves them between rooms, and disconnects them. */
export class Sockets {
  readonly #connection: Connection;

  /** @internal */
  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Lists sockets, ordered by id, including those whose clients are away. Scope: `sockets:read`. */
  list(options: ListSocketsOptions = {}): List<Socket> {
    const { namespace = '', room = '', user = '', query = '', pageSize = 0 } = options;
    return new List(async (pageToken) => {
      const request = { namespace, room, user, query, pageSize, pageToken };
      const { sockets, nextPageToken, partial, missingNodes } = await this.#connection.call(methods.listSockets, request, options);
      return { items: sockets.map(decodeSocket), nextPageToken, partial, missingNodes, truncated: false };
    });
  }

  /** Returns one socket. Fails with the reason `SOCKET_NOT_FOUND` if it is neither connected nor away. Scope: `sockets:read`. */
  async get(id: string, options: CallOptions = {}): Promise<SocketDetails> {
    const { socket, partial, missingNodes } = await this.#connection.call(methods.getSocket, { id }, options);
    return { ...decodeSocket(socket as ProtoSocket), partial, missingNodes };
  }

  /** Adds sockets to rooms, whatever their tokens allow. A socket joins all of the rooms or none. Scope: `sockets:write`. */
  async join(target: Target, rooms: Names, options: CallOptions = {}): Promise<JoinResult> {
    return this.#connection.call(methods.join, { selector: encodeTarget(target), rooms: toArray(rooms) }, options);
  }

  /** Removes sockets from rooms. Scope: `sockets:write`. */
  async leave(target: Target, rooms: Names, options: CallOptions = {}): Promise<LeaveResult> {
    return this.#connection.call(methods.leave, { selector: encodeTarget(target), rooms: toArray(rooms) }, options);
  }

  /** Replaces the data that backends see with the sockets: any JSON, at most 4 KiB. `null` removes it. Scope: `sockets:write`. */
  async update(target: Target, data: unknown, options: CallOptions = {}): Promise<UpdateResult> {
    return this.#connection.call(methods.update, { selector: encodeTarget(target), data: toJson(data) }, options);
  }

  /**
   * Disconnects sockets. The clients receive `sala:disconnect` with the reason, at most 255 bytes. A
   * client that has connected again meanwhile would be disconnected again, so the call isn't
   * repeated. Scope: `sockets:write`.
   */
  async disconnect(target: Target, options: CallOptions & { /** The reason. */ reason?: string } = {}): Promise<DisconnectResult> {
    return this.#connection.callOnce(methods.disconnect, { selector: encodeTarget(target), reason: options.reason ?? '' }, options);
  }
}

function decodeSocket({ state, ...socket }: ProtoSocket): Socket {
  return { ...socket, state: state === SocketState.AWAY ? 'away' : 'connected' };
}

// The calls about rooms, users, sockets and nodes, each with its gRPC and command line form.
import { type Call, segment } from './call';
import { cli, compactObject, flag, flagFor, namespaceFlag, otherNamespace } from './command';
import type {
  JoinReport, Matched, MessageList, NodeList, Position, Removed, RoomInfo, RoomList, SocketInfo, SocketList, Stats, UserList,
} from './types';

// ---- rooms

// Browsers take these rooms in a path for steps, however they are escaped. They go into the query.
const isStep = (room: string): boolean => room === '.' || room === '..';

export interface ListRooms {
  namespace?: string;
  query?: string;
  order?: string;
  pageSize?: number;
  pageToken?: string;
}

export function listRooms(request: ListRooms): Call<RoomList> {
  const fields = compactObject({ ...request });
  return { method: 'GET', path: 'rooms', query: fields, rpc: 'RoomService/ListRooms', message: fields, cli: cli('rooms', [], namespaceFlag(request.namespace)) };
}

export function getRoom(namespace: string, room: string): Call<RoomInfo> {
  const query = { namespace: otherNamespace(namespace) };
  const at = isStep(room) ? { path: 'rooms:get', query: { room, ...query } } : { path: `rooms/${segment(room)}`, query };
  return {
    method: 'GET', ...at, rpc: 'RoomService/GetRoom',
    message: compactObject({ room, ...query }), cli: cli('rooms get', [room], namespaceFlag(namespace)),
  };
}

export interface ClearRoom {
  notice?: { event: string; args?: unknown[] };
  disconnect?: boolean;
}

export function clearRoom(namespace: string, room: string, options: ClearRoom): Call<Removed> {
  const body = compactObject({ namespace: otherNamespace(namespace), ...options });
  const { notice, disconnect } = options;
  return {
    method: 'POST', path: `rooms/${segment(room)}:clear`, body, rpc: 'RoomService/ClearRoom', message: { room, ...body },
    cli: cli('rooms clear', [room], [
      ...namespaceFlag(namespace), ...flag('notice', notice?.event), ...flag('args', notice?.args?.length ? JSON.stringify(notice.args) : ''),
      ...(disconnect ? ['--disconnect'] : []),
    ]),
  };
}

/** The newest messages, or those before a position, newest first. */
export function listMessages(namespace: string, room: string, limit: number, before?: Position): Call<MessageList> {
  const place = { namespace: otherNamespace(namespace) };
  const query = before
    ? { ...place, 'since.epoch': before.epoch, 'since.offset': before.offset, direction: 'DIRECTION_BACKWARD', limit }
    : { ...place, direction: 'DIRECTION_BACKWARD', limit };
  const message = compactObject({ room, ...place, since: before, direction: 'DIRECTION_BACKWARD', limit });
  return {
    method: 'GET', ...messagesOf(room, query), rpc: 'RoomService/ListMessages', message,
    cli: cli('messages list', [room], [...flag('last', String(limit)), ...namespaceFlag(namespace)]),
  };
}

const messagesOf = <Query>(room: string, query: Query) =>
  (isStep(room) ? { path: 'messages', query: { room, ...query } } : { path: `rooms/${segment(room)}/messages`, query });

export function clearMessages(namespace: string, room: string): Call<object> {
  const query = { namespace: otherNamespace(namespace) };
  return {
    method: 'DELETE', ...messagesOf(room, query), rpc: 'RoomService/ClearMessages',
    message: compactObject({ room, ...query }), cli: cli('messages clear', [room], namespaceFlag(namespace)),
  };
}

// ---- users

export interface ListUsers {
  namespace?: string;
  room?: string;
  query?: string;
  pageSize?: number;
  pageToken?: string;
}

export function listUsers(request: ListUsers): Call<UserList> {
  const { room = '', ...rest } = request;
  const at = room && !isStep(room) ? { path: `rooms/${segment(room)}/users`, query: rest } : { path: 'users', query: { ...rest, room } };
  return {
    method: 'GET', path: at.path, query: compactObject({ ...at.query }), rpc: 'PresenceService/ListUsers',
    message: compactObject({ ...request }), cli: cli('users', room ? [room] : [], namespaceFlag(request.namespace)),
  };
}

// ---- sockets

export interface ListSockets {
  namespace?: string;
  room?: string;
  user?: string;
  query?: string;
  pageSize?: number;
  pageToken?: string;
}

export function listSockets(request: ListSockets): Call<SocketList> {
  const fields = compactObject({ ...request });
  return {
    method: 'GET', path: 'sockets', query: fields, rpc: 'SocketService/ListSockets', message: fields,
    cli: cli('sockets', [], [...namespaceFlag(request.namespace), ...flag('room', request.room), ...flag('user', request.user)]),
  };
}

export function getSocket(id: string): Call<SocketInfo> {
  return { method: 'GET', path: `sockets/${segment(id)}`, rpc: 'SocketService/GetSocket', message: { id }, cli: cli('sockets get', [id]) };
}

/** Which sockets a call acts on. */
export interface Selector {
  namespace: string;
  rooms?: string[];
  users?: string[];
  sockets?: string[];
}

const selectorOf = (selector: Selector) => compactObject({ ...selector, namespace: otherNamespace(selector.namespace) });

function selectorFlags({ namespace, rooms = [], users = [], sockets = [] }: Selector): string[] {
  return [...flagFor('room', rooms), ...flagFor('user', users), ...flagFor('socket', sockets), ...namespaceFlag(namespace)];
}

export function joinRooms(selector: Selector, rooms: string[]): Call<JoinReport> {
  const body = { selector: selectorOf(selector), rooms };
  return { method: 'POST', path: 'sockets:join', body, rpc: 'SocketService/Join', message: body, cli: cli('sockets join', rooms, selectorFlags(selector)) };
}

export function leaveRooms(selector: Selector, rooms: string[]): Call<Matched> {
  const body = { selector: selectorOf(selector), rooms };
  return { method: 'POST', path: 'sockets:leave', body, rpc: 'SocketService/Leave', message: body, cli: cli('sockets leave', rooms, selectorFlags(selector)) };
}

export function disconnect(selector: Selector, reason: string): Call<Matched> {
  const body = compactObject({ selector: selectorOf(selector), reason });
  return {
    method: 'POST', path: 'sockets:disconnect', body, rpc: 'SocketService/Disconnect', message: body,
    cli: cli('sockets disconnect', [], [...selectorFlags(selector), ...flag('reason', reason)]),
  };
}

// ---- nodes

export const listNodes = (): Call<NodeList> => ({ method: 'GET', path: 'nodes', rpc: 'ClusterService/ListNodes', message: {}, cli: cli('nodes') });

export function drain(id: string): Call<object> {
  return { method: 'POST', path: `nodes/${segment(id)}:drain`, body: {}, rpc: 'ClusterService/Drain', message: { id }, cli: cli('nodes drain', [id]) };
}

export const getStats = (): Call<Stats> => ({ method: 'GET', path: 'stats', rpc: 'ObserveService/GetStats', message: {} });

// The shapes of the REST API's answers that the pages read. docs/api.md has all of them.
import type { Partial } from './call';

export interface Room {
  name: string;
  namespace: string;
  sockets: number;
}

export interface RoomList extends Partial {
  rooms: Room[];
  nextPageToken: string;
  /** Whether more rooms match than the broker lists. */
  truncated?: boolean;
}

export interface RoomInfo extends Room, Partial {
  users: number;
}

export interface RoomMessage {
  offset: string;
  event: string;
  argsJson: string;
  attachments: string[];
  time: string;
}

export interface Position {
  epoch: string;
  offset: string;
}

export interface MessageList extends Position {
  messages: RoomMessage[];
  complete: boolean;
}

export type SocketState = 'SOCKET_STATE_CONNECTED' | 'SOCKET_STATE_AWAY' | 'SOCKET_STATE_UNSPECIFIED';

export interface SessionInfo {
  events: number;
  bytes: number | string;
  complete: boolean;
  expireTime: string | null;
  awayTime: string | null;
  awayReason: string;
}

export interface Socket {
  id: string;
  user: string;
  namespace: string;
  rooms: string[];
  address: string;
  transport: string;
  connectTime: string | null;
  data: unknown;
  node: string;
  state: SocketState;
  session?: SessionInfo | null;
}

export interface SocketList extends Partial {
  sockets: Socket[];
  nextPageToken: string;
}

export interface SocketInfo extends Partial {
  socket: Socket;
}

export interface PresentUser {
  user: string;
  sockets: number;
  data: unknown;
}

export interface UserList extends Partial {
  users: PresentUser[];
  nextPageToken: string;
}

export interface Node {
  id: string;
  version: string;
  sockets: number;
  rooms: number;
  state: 'NODE_STATE_ACTIVE' | 'NODE_STATE_DRAINING' | 'NODE_STATE_UNSPECIFIED';
  uptime: string;
}

export interface NodeList extends Partial {
  nodes: Node[];
}

export interface StatsSeries {
  name: string;
  label: string;
  values: number[];
}

export interface NodeStats {
  node: string;
  endTime: string;
  series: StatsSeries[];
}

export interface Stats extends Partial {
  step: string;
  nodes: NodeStats[];
}

export interface Matched extends Partial {
  matched: number;
}

export interface JoinReport extends Matched {
  refused: number;
}

export interface Removed extends Partial {
  removed: number;
}


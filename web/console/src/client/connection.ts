// The client with which a visitor tries things, and the log of what it sends and receives. It stays
// connected from page to page, until the visitor signs out.
import { createStore, useStore } from '../store';
import { type Ending, Socket } from './socket';

export interface LogEntry {
  id: number;
  time: Date;
  kind: 'in' | 'out' | 'bad' | 'note';
  /** The name of an event; empty for a note. */
  name: string;
  args: readonly unknown[];
  /** What came back, for an event that asked for an ack. */
  ack?: unknown;
}

export interface Connection {
  state: 'off' | 'connecting' | 'on';
  user: string;
  namespace: string;
  /** The socket's id while it is connected. */
  id: string;
  /** The rooms that the client has joined. */
  rooms: readonly string[];
  /** Why the client was refused or disconnected last. */
  ended?: { refused: string } | { reason: Ending; said: string };
}

const OFF: Connection = { state: 'off', user: '', namespace: '/', id: '', rooms: [] };
const MOST_ENTRIES = 300;

const connection = createStore<Connection>(OFF);
const log = createStore<readonly LogEntry[]>([]);
let socket: Socket | undefined;
let nextID = 0;
let said = ''; // the reason that the broker sends just before it disconnects a client

export const useConnection = () => useStore(connection);
export const useLog = () => useStore(log);
export const clearLog = () => log.set([]);

function add(entry: Omit<LogEntry, 'id' | 'time'>): number {
  const id = nextID++;
  log.set([...log.get(), { ...entry, id, time: new Date() }].slice(-MOST_ENTRIES));
  return id;
}

const change = (changes: Partial<Connection>) => connection.set({ ...connection.get(), ...changes });

export interface ConnectTo {
  origin: string;
  path: string;
  namespace: string;
  user: string;
  token: string;
}

export function connect({ origin, path, namespace, user, token }: ConnectTo): void {
  socket?.close();
  said = '';
  connection.set({ ...OFF, state: 'connecting', user, namespace });
  const opened = new Socket(origin, path, namespace, token, {
    connect: (id) => {
      change({ state: 'on', id });
      add({ kind: 'note', name: 'connect', args: [id] });
    },
    refused: (message, data) => {
      socket = undefined;
      connection.set({ ...OFF, user, namespace, ended: { refused: message } });
      add({ kind: 'bad', name: 'connect_error', args: data === undefined ? [message] : [message, data] });
    },
    event: (name, args) => {
      add({ kind: 'in', name, args });
      if (name === 'sala:disconnect') said = reasonIn(args[0]);
    },
    disconnect: (reason) => {
      if (socket === opened) socket = undefined;
      connection.set({ ...OFF, user, namespace, ended: { reason, said } });
      add({ kind: 'note', name: 'disconnect', args: [] });
    },
  });
  socket = opened;
}

function reasonIn(argument: unknown): string {
  const { reason, code } = (argument ?? {}) as { reason?: string; code?: string };
  return reason || code || '';
}

export const disconnect = () => socket?.close();

/** Sends an event and logs its ack. Resolves to the ack, or to undefined if there was none. */
export async function request(name: string, payload: unknown): Promise<unknown> {
  if (!socket) return undefined;
  const id = add({ kind: 'out', name, args: [payload] });
  try {
    const ack = await socket.request(name, payload);
    settle(id, ack, hasError(ack));
    return ack;
  } catch (error) {
    settle(id, { error: String(error instanceof Error ? error.message : error) }, true);
    return undefined;
  }
}

const hasError = (ack: unknown) => typeof ack === 'object' && ack !== null && 'error' in ack;

function settle(id: number, ack: unknown, failed: boolean): void {
  log.set(log.get().map((entry) => (entry.id === id ? { ...entry, ack, kind: failed ? 'bad' : entry.kind } : entry)));
}

export async function join(room: string): Promise<void> {
  const ack = await request('join', { room });
  if (ack !== undefined && !hasError(ack)) change({ rooms: [...new Set([...connection.get().rooms, room])].sort() });
}

export async function leave(room: string): Promise<void> {
  const ack = await request('leave', { room });
  if (ack !== undefined && !hasError(ack)) change({ rooms: connection.get().rooms.filter((each) => each !== room) });
}

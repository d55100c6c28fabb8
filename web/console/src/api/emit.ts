// Calls that send events to clients.
import type { Call, Partial } from './call';

/** What a sender has filled in. Lists that don't matter are empty. */
export interface Message {
  everyone: boolean;
  namespace: string;
  rooms: string[];
  users: string[];
  sockets: string[];
  exceptRooms: string[];
  exceptUsers: string[];
  exceptSockets: string[];
  event: string;
  /** The arguments as the text of a JSON array. */
  args: string;
  volatile: boolean;
  idempotencyKey: string;
  conflateKey: string;
  skipHistory: boolean;
}

/** What happened to an event. */
export interface Report extends Partial {
  matched: number;
  queued: number;
  kept: number;
  dropped: number;
  duplicate: boolean;
  positions?: { room: string; epoch: string; offset: string }[];
  unrecordedRooms?: string[];
}

/** Returns the call that sends a message: Broadcast to everyone, Emit otherwise. */
export function sendMessage(message: Message): Call<Report> {
  const body = bodyOf(message);
  const { everyone } = message;
  return {
    method: 'POST',
    path: everyone ? 'broadcast' : 'emit',
    body,
    rpc: everyone ? 'MessageService/Broadcast' : 'MessageService/Emit',
    message: body,
    cli: cliOf(message),
  };
}

// Without what is empty, and without what Broadcast doesn't have.
function bodyOf({ everyone, namespace, rooms, users, sockets, args, conflateKey, skipHistory, ...rest }: Message): object {
  const target = everyone ? {} : { rooms, users, sockets, conflateKey, skipHistory };
  const all = { namespace: namespace === '/' ? '' : namespace, ...target, ...rest, ...argsOf(args) };
  return Object.fromEntries(Object.entries(all).filter(([name, value]) => name === 'args' || name === 'argsJson' || (Array.isArray(value) ? value.length > 0 : value)));
}

// JSON in JSON is hard to read, so arguments travel as text only if parsing would change them.
function argsOf(text: string): { args: unknown } | { argsJson: string } {
  const args: unknown = JSON.parse(text);
  const same = (JSON.stringify(args) ?? '') === text.replace(/("(?:[^"\\]|\\.)*")|\s+/g, '$1');
  return same ? { args } : { argsJson: text };
}

function cliOf(message: Message): string[] {
  const flag = (name: string, values: readonly string[]) => values.flatMap((value) => [`--${name}`, value]);
  const only = message.everyone ? [] : [
    ...flag('room', message.rooms), ...flag('user', message.users), ...flag('socket', message.sockets),
    ...(message.conflateKey ? ['--conflate-key', message.conflateKey] : []), ...(message.skipHistory ? ['--skip-history'] : []),
  ];
  return [
    message.everyone ? 'broadcast' : 'emit',
    ...(message.namespace && message.namespace !== '/' ? ['--namespace', message.namespace] : []),
    ...only,
    ...flag('except-room', message.exceptRooms), ...flag('except-user', message.exceptUsers), ...flag('except-socket', message.exceptSockets),
    ...(message.idempotencyKey ? ['--idempotency-key', message.idempotencyKey] : []), ...(message.volatile ? ['--volatile'] : []),
    '--args', message.args.trim(), '--', message.event,
  ];
}

// Calls that send events to clients.
import type { Call, Partial } from './call';
import { cli, compactObject, flag, flagFor, namespaceFlag, otherNamespace } from './command';

/** What is sent, and to whom. Without targets it reaches nobody, unless it is for everyone. */
export interface Message {
  everyone?: boolean;
  namespace: string;
  rooms?: string[];
  users?: string[];
  sockets?: string[];
  exceptRooms?: string[];
  exceptUsers?: string[];
  exceptSockets?: string[];
  event: string;
  /** The arguments as the text of a JSON array. */
  args: string;
  volatile?: boolean;
  idempotencyKey?: string;
  conflateKey?: string;
  skipHistory?: boolean;
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
  return { ...compactObject({ namespace: otherNamespace(namespace), ...target, ...rest }), ...argsOf(args) };
}

// JSON in JSON is hard to read, so arguments travel as text only if parsing would change them.
function argsOf(text: string): { args: unknown } | { argsJson: string } {
  const args: unknown = JSON.parse(text);
  const same = (JSON.stringify(args) ?? '') === text.replace(/("(?:[^"\\]|\\.)*")|\s+/g, '$1');
  return same ? { args } : { argsJson: text };
}

function cliOf(m: Message): string[] {
  const target = m.everyone ? [] : [
    ...flagFor('room', m.rooms), ...flagFor('user', m.users), ...flagFor('socket', m.sockets),
    ...flag('conflate-key', m.conflateKey), ...(m.skipHistory ? ['--skip-history'] : []),
  ];
  return cli(m.everyone ? 'broadcast' : 'emit', [m.event], [
    ...flag('args', m.args.trim()), ...target, ...namespaceFlag(m.namespace),
    ...flagFor('except-room', m.exceptRooms), ...flagFor('except-user', m.exceptUsers), ...flagFor('except-socket', m.exceptSockets),
    ...flag('idempotency-key', m.idempotencyKey), ...(m.volatile ? ['--volatile'] : []),
  ]);
}

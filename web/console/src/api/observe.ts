// Calls that look at what happens and why: live events, explanations, groups of backends, limits.
import type { Call, Partial } from './call';

/** The socket that an event is about. */
export interface EventSocket {
  id: string;
  user: string;
  namespace: string;
  authJson: string;
  data: unknown;
  address: string;
  transport: string;
  connectTime: string | null;
}

/** What happened in the end, as proto/sala/v1/observe.proto describes it. */
export interface Outcome extends Partial {
  result: string;
  code: string;
  message: string;
  matched: number;
  queued: number;
  kept: number;
  dropped: number;
  otherNodes: boolean;
  groups: string[];
  took: string | null;
}

export interface EmitTarget {
  everyone: boolean;
  rooms: string[];
  users: string[];
  sockets: string[];
  more: number;
}

export interface TailEvent {
  kind: string;
  time: string;
  node: string;
  namespace: string;
  socket: EventSocket | null;
  user: string;
  address: string;
  room: string;
  event: string;
  argsJson: string;
  attachments: string[];
  reason: string;
  previousSocketId: string;
  notRecovered: string;
  wantsAck: boolean;
  outcome: Outcome | null;
  target: EmitTarget | null;
  key: string;
  limit: string;
  count: number;
  deliveryId?: string; // brokers of earlier versions have none
}

/** One message of the stream: one of these is set. */
export interface TailMessage {
  status?: Partial | null;
  event?: TailEvent | null;
  missed?: { events: string } | null;
}

export interface TailFilter {
  namespaces: string[];
  kinds: string[];
  users: string[];
  rooms: string[];
  events: string[];
  problems: boolean;
}

export function tail(filter: TailFilter): Call<TailMessage> {
  const message = Object.fromEntries(Object.entries(filter).filter(([, value]) => (Array.isArray(value) ? value.length > 0 : value)));
  const flag = (name: string, values: readonly string[]) => values.flatMap((value) => [`--${name}`, value]);
  return {
    method: 'GET',
    path: 'events',
    query: message,
    rpc: 'ObserveService/Tail',
    message,
    cli: [
      'tail', ...flag('namespace', filter.namespaces), ...flag('kind', filter.kinds.map((kind) => kind.replace('EVENT_KIND_', '').toLowerCase())),
      ...flag('user', filter.users), ...flag('room', filter.rooms), ...flag('event', filter.events), ...(filter.problems ? ['--problems'] : []),
    ],
  };
}

export interface Check {
  kind: string;
  result: string;
  answer: string;
  advice: string;
}

export interface ExplainedSocket {
  id: string;
  node: string;
  address: string;
  transport: string;
  connectTime: string | null;
  away: boolean;
  inRoom: boolean;
  rooms: number;
  mayJoin: boolean;
  mayPublish: boolean;
  tokenExpireTime: string | null;
  queuedBytes: string;
  blocked: boolean;
  session: boolean;
  unconfirmed: number;
  incomplete: boolean;
}

export interface Explanation extends Partial {
  checks: Check[];
  sockets: ExplainedSocket[];
  problems: TailEvent[];
  messages: TailEvent[];
  drops?: TailEvent[]; // brokers of earlier versions have none
}

export function explain(user: string, room: string, namespace: string): Call<Explanation> {
  return {
    method: 'GET',
    path: 'explain',
    query: { user, room, namespace },
    rpc: 'ObserveService/Explain',
    message: { user, ...(room && { room }), ...(namespace && { namespace }) },
    cli: ['explain', '--user', user, ...(room ? ['--room', room] : []), ...(namespace && namespace !== '/' ? ['--namespace', namespace] : [])],
  };
}

export interface Backend {
  id: string;
  node: string;
  key: string;
  kinds: string[];
  namespaces: string[];
  events: string[];
  decides: boolean;
  credits: number;
  waiting: number;
  unacknowledged: number;
}

export interface Group {
  name: string;
  observes: boolean;
  waiting: number;
  unacknowledged: number;
  members: Backend[];
}

export const listGroups = (): Call<Partial & { groups: Group[] }> => ({ method: 'GET', path: 'groups', rpc: 'ObserveService/ListGroups', message: {}, cli: ['groups'] });

export interface LimitHit {
  limit: string;
  namespace: string;
  user: string;
  address: string;
  node: string;
  count: number;
  firstTime: string;
  lastTime: string;
}

export const listLimits = (namespace: string): Call<Partial & { limits: LimitHit[] }> => ({
  method: 'GET',
  path: 'limits',
  query: { namespace },
  rpc: 'ObserveService/ListLimits',
  message: namespace ? { namespace } : {},
  cli: ['limits', ...(namespace ? ['--namespace', namespace] : [])],
});

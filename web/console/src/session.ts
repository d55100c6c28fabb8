// The sign-in. The API key is in this module's memory and nowhere else: not in storage, not
// in cookies, not in the address. Closing or reloading the page forgets it.
import { API } from './api/base';
import { ApiError, asApiError, errorOf } from './api/error';
import { texts } from './i18n';
import { createStore, useStore } from './store';

/** A scope of the key, and where it applies: everywhere if there are no limits. */
export interface Grant {
  scope: Scope;
  limits: { namespace: string; rooms: string }[];
}

/** What the broker says about the key. */
export interface KeyInfo {
  name: string;
  scopes: Grant[];
}

export type Scope =
  | 'tokens:issue' | 'rooms:read' | 'rooms:clear' | 'messages:read' | 'messages:write' | 'presence:read' | 'emit'
  | 'broadcast' | 'sockets:read' | 'sockets:write' | 'events' | 'cluster:read' | 'cluster:write';

export type Session =
  | { state: 'out' }
  | { state: 'in'; key: KeyInfo | undefined } // undefined: the broker can't say what the key may do
  | { state: 'refused'; key: KeyInfo | undefined }; // signed in until a call said that the key is not valid

let secret = '';
const session = createStore<Session>({ state: 'out' });

export const useSession = () => useStore(session);
export const authorization = (): string => `Bearer ${secret}`;

/** Signs in with a key that the broker accepts. Fails with ApiError otherwise. */
export async function signIn(key: string): Promise<void> {
  const info = await askKey(key);
  secret = key;
  session.set({ state: 'in', key: info });
}

export function signOut(): void {
  secret = '';
  session.set({ state: 'out' });
}

/** A call with this header got 401. What the visitor was doing stays, beneath the sign-in. */
export function keyRefused(sent: string): void {
  const { state } = session.get();
  if (state !== 'in' || sent !== authorization()) return; // another key is used by now
  secret = '';
  session.set({ state: 'refused', key: currentKey() });
}

/** Asks again what the key may do. A reload of the broker's configuration can change it. */
export async function refreshKey(): Promise<void> {
  if (session.get().state !== 'in') return;
  const asked = secret;
  try {
    const info = await askKey(asked);
    const unchanged = JSON.stringify(info) === JSON.stringify(currentKey());
    if (asked === secret && session.get().state === 'in' && !unchanged) session.set({ state: 'in', key: info });
  } catch (error) {
    if (error instanceof ApiError && error.kind === 'key') keyRefused(`Bearer ${asked}`);
  }
}

let asking = false;

/** A call was denied: perhaps the key has other scopes than the page thinks. */
export function scopesMayHaveChanged(): void {
  if (asking) return;
  asking = true;
  void refreshKey().finally(() => { asking = false; });
}

function currentKey(): KeyInfo | undefined {
  const current = session.get();
  return current.state === 'out' ? undefined : current.key;
}

// A broker checks the key first. One that lacks the call therefore says 401 or "no such path".
async function askKey(key: string): Promise<KeyInfo | undefined> {
  const headers = new Headers();
  try {
    headers.set('authorization', `Bearer ${key}`);
  } catch {
    throw new ApiError({ kind: 'key', status: 401, reason: 'API_KEY_INVALID', message: '' }); // such text can't be a key
  }
  const response = await fetch(new URL('./keys:self', API), { headers, cache: 'no-store', credentials: 'omit', signal: AbortSignal.timeout(15_000) })
    .catch((error: unknown) => { throw asApiError(error); });
  const body: unknown = await response.json().catch(() => undefined);
  if (response.ok) return body as KeyInfo;
  const error = errorOf(response.status, body);
  if (error.kind === 'unsupported') return undefined;
  throw error;
}

/** Where a call would act. Leave out what doesn't matter. */
export interface Place {
  namespace?: string;
  room?: string;
}

/** Returns why the key may not do something, or an empty text if it may. */
export function denial(key: KeyInfo | undefined, scope: Scope, place: Place = {}): string {
  if (!key) return '';
  const grant = key.scopes.find((each) => each.scope === scope);
  if (!grant) return texts().denied.scope(scope);
  if (grant.limits.length === 0 || place.namespace === undefined) return '';
  const there = grant.limits.filter(({ namespace }) => namespace === place.namespace);
  if (there.length === 0) return texts().denied.namespace(scope, place.namespace);
  if (place.room === undefined || there.some(({ rooms }) => matches(rooms, place.room ?? ''))) return '';
  return texts().denied.room(scope, place.room);
}

/** Returns a function that says why the key may not do something, or '' if it may. Of several scopes, one is enough. */
export function useDenial(): (scope: Scope | readonly Scope[], place?: Place) => string {
  const current = useSession();
  const key = current.state === 'out' ? undefined : current.key;
  return (scope, place) => {
    const reasons = [scope].flat().map((each) => denial(key, each as Scope, place));
    return reasons.every(Boolean) ? reasons[0] ?? '' : '';
  };
}

// The grammar of room patterns, as docs/clients.md defines it.
function matches(pattern: string, room: string): boolean {
  if (pattern === '') return true;
  const wanted = pattern.split(':');
  const parts = room.split(':');
  for (const [i, segment] of wanted.entries()) {
    if (segment === '**' && i === wanted.length - 1) return true; // also no further parts
    const part = parts[i];
    if (part === undefined) return false;
    if (segment === '*') continue;
    if (segment.endsWith('*') ? !part.startsWith(segment.slice(0, -1)) : part !== segment) return false;
  }
  return parts.length === wanted.length;
}

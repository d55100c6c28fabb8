// Addresses are in the fragment, #/rooms/%2F/lobby?order=name: the server needs no rules for them,
// and they work under any prefix that a proxy adds.
import { createStore, useStore } from './store';

export interface Location {
  /** The segments of the path, decoded. */
  segments: string[];
  query: URLSearchParams;
}

export type Query = Record<string, string | undefined>;

function parse(hash: string): Location {
  const text = hash.startsWith('#/') ? hash.slice(2) : ''; // everything else is no address of a page
  const mark = text.indexOf('?');
  const path = mark < 0 ? text : text.slice(0, mark);
  return {
    segments: path === '' ? [] : path.split('/').map(decode),
    query: new URLSearchParams(mark < 0 ? '' : text.slice(mark + 1)),
  };
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

const location = createStore(parse(window.location.hash));
window.addEventListener('hashchange', () => location.set(parse(window.location.hash)));

export const useLocation = () => useStore(location);

/** Returns the address of a page, for href: link('rooms', '/', 'lobby'). */
export function link(...parts: [...string[], Query] | string[]): string {
  const last = parts.at(-1);
  const query = typeof last === 'object' ? last : undefined;
  const segments = (query ? parts.slice(0, -1) : parts) as string[];
  return `#/${segments.map(encodeURIComponent).join('/')}${queryText(query)}`;
}

function queryText(query: Query | undefined): string {
  const set = Object.entries(query ?? {}).filter((entry): entry is [string, string] => Boolean(entry[1]));
  return set.length ? `?${new URLSearchParams(set)}` : '';
}

export function navigate(address: string): void {
  window.location.hash = address;
}

/** Changes parameters of the current address. Typing in a search field doesn't fill the history. */
export function setQuery(changes: Query): void {
  const { segments, query } = location.get();
  const next: Query = { ...Object.fromEntries(query), ...changes };
  history.replaceState(null, '', link(...segments, next));
  location.set(parse(window.location.hash));
}

/** Returns the parameters if segments match the pattern, such as rooms/:namespace/:room. */
export function match(pattern: string, segments: string[]): Record<string, string> | undefined {
  const wanted = pattern === '' ? [] : pattern.split('/');
  if (wanted.length !== segments.length) return undefined;
  const params: Record<string, string> = {};
  for (const [i, part] of wanted.entries()) {
    const segment = segments[i] ?? '';
    if (part.startsWith(':')) params[part.slice(1)] = segment;
    else if (part !== segment) return undefined;
  }
  return params;
}

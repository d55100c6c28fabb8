// Calls of the REST API. A call is a description: sent by send(), and shown as commands by <Same>.
import { noteServer } from '../config';
import { authorization, keyRefused, scopesMayHaveChanged } from '../session';
import { API } from './base';
import { ApiError, asApiError, errorOf, isAbort } from './error';

export type Parameter = string | number | boolean | undefined | readonly string[];

/** A call with its answer's type. */
export interface Call<Answer> {
  method: 'GET' | 'POST' | 'DELETE';
  /** The path below /v1/, with names escaped by segment(). */
  path: string;
  query?: Record<string, Parameter>;
  body?: object;
  /** The gRPC method, such as RoomService/ClearRoom, and its request. */
  rpc: string;
  message: object;
  /** The arguments of the sala command. */
  cli?: readonly string[];
  /** The type of the answer; never set. */
  answer?: Answer;
}

/** What the answers of calls to several nodes have in common. */
export interface Partial {
  partial?: boolean;
  missingNodes?: string[];
}

const TIMEOUT = 15_000; // a broker that takes longer than its own 10 s is gone

export const segment = (name: string): string => encodeURIComponent(name);

/** Returns the address of a call, without the parameters that are empty. */
export function urlOf({ path, query }: Pick<Call<unknown>, 'path' | 'query'>): URL {
  const url = new URL(`./${path}`, API); // without ./, tokens: would be a scheme
  for (const [name, value] of Object.entries(query ?? {})) {
    for (const each of [value].flat()) if (each !== undefined && each !== '') url.searchParams.append(name, String(each));
  }
  return url;
}

/** Makes a call. Fails with ApiError, or with AbortError once signal is aborted. */
export async function send<Answer>(call: Call<Answer>, signal?: AbortSignal): Promise<Answer> {
  const limit = AbortSignal.timeout(TIMEOUT);
  const response = await request(call, signal ? AbortSignal.any([signal, limit]) : limit);
  return (await readJSON(response)) as Answer;
}

/** Makes a call whose answer is a stream of JSON lines, and yields each message as it arrives. */
export async function* stream<Message>(call: Call<Message>, signal: AbortSignal): AsyncGenerator<Message> {
  const sent = authorization();
  const response = await request(call, signal);
  if (!response.body) return;
  let rest = '';
  try {
    for await (const text of response.body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>)) {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) if (line.trim()) yield unwrap<Message>(line, sent);
    }
  } catch (error) {
    if (signal.aborted || isAbort(error)) throw new DOMException('', 'AbortError');
    throw asApiError(error);
  }
}

// The gateway wraps each message of a stream: {"result": …}, or {"error": …} at its end.
function unwrap<Message>(line: string, sent: string): Message {
  const value = JSON.parse(line) as { result?: Message; error?: unknown };
  if (value.error !== undefined) throw noticed(errorOf(200, value), sent);
  return value.result ?? (value as Message);
}

async function request(call: Call<unknown>, signal: AbortSignal): Promise<Response> {
  const headers: Record<string, string> = { authorization: authorization() };
  if (call.body) headers['content-type'] = 'application/json';
  let response: Response;
  try {
    response = await fetch(urlOf(call), {
      method: call.method,
      headers,
      body: call.body && JSON.stringify(call.body),
      signal,
      cache: 'no-store',
      credentials: 'omit',
    });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw asApiError(error);
  }
  noteServer(response.headers.get('server'));
  if (!response.ok) throw await failure(response, headers.authorization ?? '');
  return response;
}

async function failure(response: Response, sent: string): Promise<ApiError> {
  return noticed(errorOf(response.status, await response.json().catch(() => undefined)), sent);
}

// The session learns what an error says about the key that was sent.
function noticed(error: ApiError, sent: string): ApiError {
  if (error.kind === 'key') keyRefused(sent);
  if (error.kind === 'denied' || error.reason === 'API_KEY_CHANGED') scopesMayHaveChanged();
  return error;
}

async function readJSON(response: Response): Promise<unknown> {
  try {
    return await response.json();
  } catch (error) {
    if (isAbort(error)) throw error;
    throw asApiError(error);
  }
}

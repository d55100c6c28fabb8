// What went wrong with a call, in terms of what a person can do about it.

/** The kinds of failure that the page treats differently. */
export type ErrorKind =
  | 'key' // the key is missing, wrong or revoked
  | 'denied' // the key may not do this
  | 'absent' // the room, socket or node isn't there
  | 'unsupported' // this broker doesn't have the call
  | 'invalid' // the request is wrong
  | 'busy' // too many calls, or the broker is short of something: retry later
  | 'unreachable' // nothing answered
  | 'failed'; // everything else

/** FieldError says what is wrong with one field of a request. */
export interface FieldError {
  field: string;
  description: string;
}

export class ApiError extends Error {
  override name = 'ApiError';
  readonly kind: ErrorKind;
  /** The HTTP status; 0 if there was no answer. */
  readonly status: number;
  /** The stable reason of docs/api.md, such as SCOPE_DENIED. Empty if there was no answer. */
  readonly reason: string;
  readonly fields: FieldError[];

  constructor(init: { kind: ErrorKind; status: number; reason?: string; message: string; fields?: FieldError[] }) {
    super(init.message);
    this.kind = init.kind;
    this.status = init.status;
    this.reason = init.reason ?? '';
    this.fields = init.fields ?? [];
  }
}

interface Detail {
  '@type'?: string;
  reason?: string;
  fieldViolations?: FieldError[];
}

interface Status {
  code?: number;
  message?: string;
  details?: Detail[];
}

const UNIMPLEMENTED = 12;

/** Makes an error of an answer's status and body, or of an error in a stream. */
export function errorOf(status: number, body: unknown): ApiError {
  const { code, message, details = [] } = statusOf(body);
  const reason = details.find(({ reason: text }) => text)?.reason ?? '';
  return new ApiError({
    kind: kindOf(status, code, reason),
    status,
    reason,
    message: message ?? `HTTP ${status}`,
    fields: details.flatMap(({ fieldViolations }) => fieldViolations ?? []),
  });
}

function statusOf(body: unknown): Status {
  if (typeof body !== 'object' || body === null) return {};
  return 'error' in body ? statusOf(body.error) : (body as Status);
}

// A stream fails after its status 200, with a gRPC code alone.
const BY_CODE: Record<number, ErrorKind> = { 3: 'invalid', 5: 'absent', 7: 'denied', 8: 'busy', 14: 'busy', 16: 'key' };
const BY_STATUS: Record<number, ErrorKind> = { 400: 'invalid', 401: 'key', 403: 'denied', 404: 'absent', 405: 'unsupported', 413: 'invalid', 429: 'busy', 501: 'unsupported', 503: 'busy' };

function kindOf(status: number, code: number | undefined, reason: string): ErrorKind {
  if (code === UNIMPLEMENTED || reason === 'PATH_NOT_FOUND') return 'unsupported';
  if (reason === 'CLIENT_CERT_REQUIRED') return 'denied';
  if (status === 200) return BY_CODE[code ?? 0] ?? 'failed';
  return BY_STATUS[status] ?? 'failed';
}

/** Whether an error only says that the page no longer wants the answer. */
export const isAbort = (error: unknown): boolean => error instanceof DOMException && error.name === 'AbortError';

/** Makes an ApiError of whatever a call threw. */
export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  return new ApiError({ kind: 'unreachable', status: 0, message: error instanceof Error ? error.message : String(error) });
}

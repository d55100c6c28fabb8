import { Metadata, status } from '@grpc/grpc-js';
import type { Address } from './address.js';
import { BadRequest, ErrorInfo, RetryInfo, Status } from './gen/status_details.js';
import { explain } from './unreachable.js';

/** The name of a gRPC status code, such as `'NOT_FOUND'`. */
export type Code = Exclude<keyof typeof status, 'OK'>;

/** The codes of errors that another attempt would meet again. @internal */
export const FINAL: ReadonlySet<Code> = new Set<Code>(['UNAUTHENTICATED', 'PERMISSION_DENIED', 'INVALID_ARGUMENT']);

/** One invalid field of a request. */
export interface FieldViolation {
  /** The path of the field, such as `rooms[0]`. */
  field: string;
  /** What is wrong with it. */
  description: string;
}

/**
 * A call or a subscription has failed.
 *
 * `code` says what kind of failure it is, `reason` is stable and says more exactly which one:
 *
 * ```js
 * try {
 *   await sala.rooms.get('chat:42');
 * } catch (err) {
 *   if (!(err instanceof SalaError && err.reason === 'ROOM_NOT_FOUND')) throw err;
 * }
 * ```
 */
export class SalaError extends Error {
  override readonly name = 'SalaError';
  /** The gRPC status code. */
  readonly code: Code;
  /** The stable reason, such as `ROOM_NOT_FOUND`. Empty if the broker named none, for example because nobody answered. */
  declare readonly reason: string;
  /** The invalid fields of the request, if that is why it failed. */
  declare readonly fieldViolations: readonly FieldViolation[];
  /** What the broker says about the reason, by name. */
  declare readonly metadata: Readonly<Record<string, string>>;
  /** How long to wait before the next attempt, in milliseconds, if the broker says so. */
  declare readonly retryDelay: number | undefined;

  /** @internal */
  constructor(message: string, code: Code, details: ErrorDetails = NO_DETAILS) {
    super(message);
    this.code = code;
    // Node prints the properties of an error that nobody catches: leave out what has nothing to say.
    for (const [name, value] of Object.entries(details)) {
      Object.defineProperty(this, name, { value, enumerable: typeof value === 'number' || Object.keys(value ?? {}).length > 0 });
    }
  }
}

interface ErrorDetails {
  reason: string;
  fieldViolations: FieldViolation[];
  metadata: Record<string, string>;
  retryDelay: number | undefined;
}

const NO_DETAILS: ErrorDetails = { reason: '', fieldViolations: [], metadata: {}, retryDelay: undefined };

/**
 * Throw this in a handler of `on` to answer the client's ack with `{error: {code, message}}`.
 */
export class ClientError extends Error {
  override readonly name = 'ClientError';

  /**
   * @param code a stable code for programs, 1 to 255 bytes, such as `'NOT_ALLOWED'`
   * @param message a description, at most 1024 bytes
   */
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/**
 * Throw this in a handler of `decide` to refuse a client. It receives `connect_error` with the
 * message, and with the code in `data.code`.
 */
export class Refuse extends Error {
  override readonly name = 'Refuse';

  /**
   * @param code a stable code for programs, 1 to 255 bytes, such as `'BANNED'`
   * @param message a description, at most 1024 bytes
   */
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** What grpc-js reports when a call has failed. */
interface GrpcFailure {
  code: status;
  details: string;
  metadata?: Metadata | undefined;
}

function isGrpcFailure(err: Error): err is Error & GrpcFailure {
  return 'code' in err && typeof err.code === 'number' && 'details' in err;
}

/** Turns what grpc-js reports about a call to an address into a SalaError. Other errors stay as they are. @internal */
export function toSalaError(err: Error, { target, tls }: Address): Error {
  if (!isGrpcFailure(err)) return err;
  const code = status[err.code] as Code;
  const details = readDetails(err.metadata);
  return new SalaError(details.reason === '' ? explain(target, tls, code, err.details) : err.details, code, details);
}

function readDetails(metadata: Metadata | undefined): ErrorDetails {
  const read: ErrorDetails = { ...NO_DETAILS };
  const [encoded] = metadata?.get('grpc-status-details-bin') ?? [];
  if (!(encoded instanceof Uint8Array)) return read;
  let details: Status['details'];
  try {
    details = Status.decode(encoded).details;
    for (const { typeUrl, value } of details) readDetail(read, typeUrl.slice(typeUrl.lastIndexOf('/') + 1), value);
  } catch {
    // Not what a broker sends: code and message say enough.
  }
  return read;
}

function readDetail(read: ErrorDetails, type: string, value: Uint8Array): void {
  switch (type) {
    case 'google.rpc.ErrorInfo': {
      const info = ErrorInfo.decode(value);
      read.reason = info.reason;
      read.metadata = Object.fromEntries(Object.entries(info.metadata));
      break;
    }
    case 'google.rpc.BadRequest':
      read.fieldViolations = BadRequest.decode(value).fieldViolations;
      break;
    case 'google.rpc.RetryInfo': {
      const { seconds = 0, nanos = 0 } = RetryInfo.decode(value).retryDelay ?? {};
      read.retryDelay = seconds * 1000 + nanos / 1e6;
      break;
    }
  }
}

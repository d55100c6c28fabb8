import { status } from '@grpc/grpc-js';
import { SalaError, type Code } from './errors.js';
import type { EmitResponse, EmitResult as ProtoEmitResult } from './gen/sala/v1/message.js';

/** What happened to an event that was sent with `emit`. */
export type EmitResult = EmitResponse;

/** What happened to one event of a batch or of a stream: a result, or why it was sent to nobody. */
export type EmitOutcome = { result: EmitResult; error?: undefined } | { result?: undefined; error: SalaError };

/** @internal */
export function outcomeOf({ error, ...result }: ProtoEmitResult): EmitOutcome {
  if (!error) return { result };
  const { code, reason, message } = error;
  return { error: new SalaError(message, status[code] as Code, { reason, fieldViolations: [], metadata: {}, retryDelay: undefined }) };
}

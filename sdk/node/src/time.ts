import type { Duration } from './gen/google/protobuf/duration.js';

/** Milliseconds as a duration of the protos. @internal */
export function toDuration(ms: number): Duration {
  const seconds = Math.trunc(ms / 1000);
  return { seconds, nanos: Math.round((ms - seconds * 1000) * 1e6) };
}

/** A duration of the protos in milliseconds. @internal */
export function fromDuration(duration: Duration | undefined): number {
  return duration ? duration.seconds * 1000 + duration.nanos / 1e6 : 0;
}

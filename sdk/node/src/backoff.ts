import { setTimeout as sleep } from 'node:timers/promises';

const SHORTEST = 100;
const LONGEST = 5000;

/**
 * How long to wait after so many failures in a row, in milliseconds: exponential, with full jitter,
 * so that many backends don't return at the same time.
 * https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 * @internal
 */
export function backoff(failures: number): number {
  return Math.random() * Math.min(LONGEST, SHORTEST * 2 ** failures);
}

/**
 * Waits so many milliseconds. Rejects with the reason of the signal as soon as it is aborted.
 * @internal
 */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch (err) {
    signal?.throwIfAborted();
    throw err;
  }
}

// Answers that stay fresh while somebody looks.
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import type { Call } from '../api/call';
import { send } from '../api/call';
import { type ApiError, asApiError, isAbort } from '../api/error';
import { useSession } from '../session';
import { backoff, wait } from './backoff';
import { useVisible } from './visible';

export interface Poll<Answer> {
  /** The newest answer. It stays when a later call fails. */
  data: Answer | undefined;
  /** Why the newest call failed, if it did. */
  error: ApiError | undefined;
  /** When the answer arrived, in ms since 1970. */
  time: number;
  /** Whether the answer is that of an earlier call, while the first of this one is under way. */
  stale: boolean;
  /** Asks now instead of later. */
  refresh: () => void;
}

interface Held<Answer> {
  key: string;
  data: Answer | undefined;
  error: ApiError | undefined;
  time: number;
}

// Errors that the same call will get again. The page asks again only when it must change its mind.
const SETTLED = new Set(['denied', 'unsupported', 'invalid']);
const SETTLED_EVERY = 10_000;
// Errors after which the old answer is no longer shown.
const GONE = new Set(['absent', 'denied']);

/**
 * Makes a call again and again, every so many ms, while the page is visible and somebody is signed
 * in. Another call replaces it at once; undefined asks nothing. After failures it waits longer.
 */
export function usePoll<Answer>(call: Call<Answer> | undefined, every: number): Poll<Answer> {
  const visible = useVisible();
  const signedIn = useSession().state === 'in';
  const key = call ? `${call.method} ${call.path} ${JSON.stringify(call.query ?? {})} ${JSON.stringify(call.body ?? {})}` : '';
  const [held, setHeld] = useState<Held<Answer>>({ key: '', data: undefined, error: undefined, time: 0 });
  const wake = useRef(() => {});
  const current = useRef(call);
  current.current = call;

  useEffect(() => {
    if (!key || !visible || !signedIn) return undefined;
    const page = new AbortController();
    const run = async () => {
      for (let failures = 0; !page.signal.aborted;) {
        const pause = new AbortController();
        wake.current = () => pause.abort(); // also during the call: what it returns may be old
        let delay = every;
        try {
          const data = await send(current.current as Call<Answer>, page.signal);
          failures = 0;
          setHeld({ key, data, error: undefined, time: Date.now() });
        } catch (thrown) {
          if (isAbort(thrown)) return;
          const error = asApiError(thrown);
          delay = SETTLED.has(error.kind) ? SETTLED_EVERY : Math.max(every, backoff(++failures));
          setHeld((last) => ({ key, data: last.key === key && !GONE.has(error.kind) ? last.data : undefined, error, time: last.time }));
        }
        await wait(delay, AbortSignal.any([page.signal, pause.signal]));
      }
    };
    void run();
    return () => page.abort();
  }, [key, every, visible, signedIn]);

  const refresh = useCallback(() => wake.current(), []);
  const fresh = held.key === key;
  return { data: key ? held.data : undefined, error: fresh ? held.error : undefined, time: held.time, stale: !fresh, refresh };
}

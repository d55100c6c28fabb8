// A stream of messages that reconnects.
import { useEffect, useRef, useState } from 'preact/hooks';
import { type Call, stream } from '../api/call';
import { type ApiError, asApiError, isAbort } from '../api/error';
import { useSession } from '../session';
import { backoff, wait } from './backoff';
import { useVisible } from './visible';

export type StreamState =
  | { state: 'idle' }
  | { state: 'connecting' }
  | { state: 'open' }
  | { state: 'waiting'; error: ApiError | undefined } // it broke, and is opened again
  | { state: 'stopped'; error: ApiError }; // opening it again would fail the same way

const FINAL = new Set(['key', 'denied', 'unsupported', 'invalid', 'absent']);

export interface StreamOptions {
  /** Whether to go on while the tab is hidden. */
  hidden?: boolean;
}

/** Keeps a stream open while somebody is signed in, and hands each message to receive. */
export function useStream<Message>(call: Call<Message> | undefined, receive: (message: Message) => void, { hidden = false }: StreamOptions = {}): StreamState {
  const visible = useVisible();
  const session = useSession();
  const wanted = call !== undefined && session.state === 'in' && (visible || hidden);
  const key = call ? `${call.path} ${JSON.stringify(call.query ?? {})} ${JSON.stringify(call.body ?? {})}` : '';
  const [state, setState] = useState<StreamState>({ state: 'idle' });
  const latest = useRef({ call, receive });
  latest.current = { call, receive };

  useEffect(() => {
    if (!wanted) {
      setState({ state: 'idle' });
      return undefined;
    }
    const page = new AbortController();
    void follow(latest, setState, page.signal);
    return () => page.abort();
  }, [wanted, key]);
  return state;
}

interface Latest<Message> {
  current: { call: Call<Message> | undefined; receive: (message: Message) => void };
}

async function follow<Message>(latest: Latest<Message>, setState: (state: StreamState) => void, signal: AbortSignal): Promise<void> {
  for (let failures = 0; !signal.aborted;) {
    setState({ state: 'connecting' });
    let failed: ApiError | undefined;
    try {
      let first = true;
      for await (const message of stream(latest.current.call as Call<Message>, signal)) {
        // A stream begins with its status, once other nodes report to it.
        if (first) setState({ state: 'open' });
        first = false;
        failures = 0;
        latest.current.receive(message);
      }
    } catch (thrown) {
      if (isAbort(thrown) || signal.aborted) return;
      failed = asApiError(thrown);
      if (FINAL.has(failed.kind)) {
        setState({ state: 'stopped', error: failed });
        return;
      }
    }
    setState({ state: 'waiting', error: failed });
    await wait(backoff(++failures), signal);
  }
}

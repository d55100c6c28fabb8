// What a page shows besides data: that it loads, that there is nothing, that something is missing or failed.
import type { ComponentChildren } from 'preact';
import type { Partial as PartialAnswer } from '../api/call';
import type { ApiError } from '../api/error';
import { clock } from '../format';
import { type Texts, useTexts } from '../i18n';
import { Button } from './button';
import { Icon } from './icon';
import { Name, Rich } from './text';

/** What to do about an error, in the visitor's language. */
export function advice(t: Texts, error: ApiError): string {
  switch (error.kind) {
    case 'key': return t.errors.key;
    case 'denied': return t.errors.denied;
    case 'unsupported': return t.errors.unsupported;
    case 'unreachable': return t.errors.unreachable;
    case 'busy': return t.errors.busy;
    case 'invalid': return t.errors.invalid;
    case 'absent': return t.errors.absent;
    case 'failed': return t.errors.failed;
  }
}

// Nothing has gone wrong: the key or the release doesn't reach this far.
const CALM = new Set(['denied', 'unsupported', 'absent']);

/** An error: what to do, and what the broker said. */
export function Problem({ error, onRetry }: { error: ApiError; onRetry?: () => void }) {
  const t = useTexts();
  return (
    <div class={CALM.has(error.kind) ? 'note plain' : 'note bad'} role="alert">
      <Icon name="alert" />
      <div>
        <p class="strong">{advice(t, error)}</p>
        {error.kind !== 'unreachable' && <p>{error.message}{error.reason && <> <code>{error.reason}</code></>}</p>}
        {error.fields.length > 0 && <ul>{error.fields.map(({ field, description }) => <li><code>{field}</code> {description}</li>)}</ul>}
      </div>
      {onRetry && <Button kind="quiet" onClick={onRetry}>{t.common.retry}</Button>}
    </div>
  );
}

/** Says that what is shown is old, because the newest call failed. */
export function OldData({ error, time, onRetry }: { error: ApiError | undefined; time: number; onRetry: () => void }) {
  const t = useTexts();
  if (!error) return null;
  return (
    <div class="note warn" role="alert">
      <Icon name="alert" />
      <div>
        <p class="strong">{t.common.notUpdatedSince(clock(new Date(time)))}</p>
        <p>{advice(t, error)}</p>
      </div>
      <Button kind="quiet" onClick={onRetry}>{t.common.retry}</Button>
    </div>
  );
}

/** Says which nodes an answer lacks. */
export function PartialNote({ answer }: { answer: PartialAnswer | undefined }) {
  const t = useTexts();
  if (!answer?.partial) return null;
  const nodes = answer.missingNodes ?? [];
  return (
    <div class="note warn" role="status">
      <Icon name="alert" />
      <div>
        <p class="strong">{t.common.partial(nodes.length)}</p>
        <p>{nodes.map((id) => <><code><Name value={id} /></code> </>)}</p>
      </div>
    </div>
  );
}

/** Something that isn't there yet, and how to get it. */
export function Empty({ title, text, children }: { title: string; text?: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <p class="strong">{title}</p>
      {text && <p><Rich text={text} /></p>}
      {children}
    </div>
  );
}

/** Grey lines where data will be. */
export function Loading({ lines = 3 }: { lines?: number }) {
  const t = useTexts();
  return (
    <div class="loading" role="status">
      <span class="unseen">{t.common.loading}</span>
      {Array.from({ length: lines }, () => <span class="bar" aria-hidden="true" />)}
    </div>
  );
}

export type Tone = 'good' | 'warn' | 'bad' | 'info' | 'plain';

export function Badge({ tone = 'plain', children }: { tone?: Tone; children: ComponentChildren }) {
  return <span class={`badge ${tone}`}>{children}</span>;
}

/** Shows the states of a poll, and its data once there is any. */
export function Loaded<Answer>({ poll, children, lines }: {
  poll: { data: Answer | undefined; error: ApiError | undefined; time: number; refresh: () => void };
  children: (data: Answer) => ComponentChildren;
  lines?: number;
}) {
  if (poll.data === undefined) return poll.error ? <Problem error={poll.error} onRetry={poll.refresh} /> : <Loading lines={lines} />;
  return (
    <>
      <OldData error={poll.error} time={poll.time} onRetry={poll.refresh} />
      <PartialNote answer={poll.data as PartialAnswer} />
      {children(poll.data)}
    </>
  );
}

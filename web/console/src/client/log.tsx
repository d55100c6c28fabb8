// The log of what the visitor's client sends and receives.
import { useEffect, useRef } from 'preact/hooks';
import { clock } from '../format';
import { useTexts } from '../i18n';
import { Button } from '../ui/button';
import { Card } from '../ui/page';
import { Empty } from '../ui/state';
import { Name } from '../ui/text';
import { type LogEntry, clearLog, useLog } from './connection';

const ARROWS = { in: '←', out: '→', bad: '×', note: '·' } as const;

export function LogCard({ empty }: { empty: string }) {
  const t = useTexts();
  const entries = useLog();
  const list = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);

  // It follows the newest entry, unless the visitor has scrolled up.
  useEffect(() => {
    const element = list.current;
    if (element && atEnd.current) element.scrollTop = element.scrollHeight;
  }, [entries]);

  return (
    <Card title={t.tryIt.log} actions={entries.length > 0 && <Button kind="quiet" onClick={clearLog}>{t.tryIt.clearLog}</Button>} flush>
      {entries.length === 0 && <Empty title={t.tryIt.logEmpty} text={empty} />}
      <div
        ref={list}
        class="log"
        role="log"
        aria-label={t.tryIt.log}
        tabIndex={entries.length > 0 ? 0 : undefined}
        onScroll={({ currentTarget: { scrollHeight, scrollTop, clientHeight } }) => {
          atEnd.current = scrollHeight - scrollTop - clientHeight < 40;
        }}
      >
        <ol>{entries.map((entry) => <Entry key={entry.id} entry={entry} />)}</ol>
      </div>
    </Card>
  );
}

function Entry({ entry }: { entry: LogEntry }) {
  const t = useTexts();
  return (
    <li class={entry.kind}>
      <time dateTime={entry.time.toISOString()}>{clock(entry.time)}</time>
      <span class="arrow" aria-hidden="true">{ARROWS[entry.kind]}</span>
      <div>
        <span class="unseen">{t.tryIt.kinds[entry.kind]} </span>
        <b><Name value={entry.name} long /></b>
        {entry.args.length > 0 && <code class="payload">{entry.args.map(show).join(', ')}</code>}
        {entry.ack !== undefined && <code class="payload quiet">ack {show(entry.ack)}</code>}
      </div>
    </li>
  );
}

// JSON, with binary data cut down to its size.
function show(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) => (item instanceof Uint8Array ? `<${item.length} bytes>` : item)) ?? 'undefined';
}

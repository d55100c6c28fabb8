// What happens to one user, in one room or on one socket, as it happens.
import { useMemo, useRef, useState } from 'preact/hooks';
import { type TailEvent, type TailMessage, tail } from '../api/observe';
import { useStream } from '../hooks/stream';
import { useTexts } from '../i18n';
import { link } from '../router';
import { useDenial } from '../session';
import { ButtonLink } from './button';
import { Happening } from './happening';
import { Card } from './page';
import { Badge, Empty, Problem } from './state';

const MOST = 20;

interface Line {
  id: number;
  event: TailEvent;
}

export interface LiveEventsProps {
  namespace: string;
  user?: string;
  room?: string;
  /** Leaves out the user's events that are about another socket. */
  socket?: string;
}

export function LiveEvents({ namespace, user = '', room = '', socket = '' }: LiveEventsProps) {
  const t = useTexts();
  const reason = useDenial()('events', { namespace });
  const [lines, setLines] = useState<readonly Line[]>([]);
  const next = useRef(0);
  const call = useMemo(() => tail({ namespaces: [namespace], users: user ? [user] : [], rooms: room ? [room] : [], kinds: [], events: [], problems: false }), [namespace, user, room]);

  function receive({ event }: TailMessage) {
    if (!event || (socket && event.socket && event.socket.id !== socket)) return;
    const line = { id: next.current++, event };
    setLines((shown) => [line, ...shown].slice(0, MOST));
  }
  const stream = useStream(reason ? undefined : call, receive);
  const actions = (
    <>
      {!reason && <span role="status"><Badge tone={stream.state === 'open' ? 'good' : 'plain'}>{t.tail.states[stream.state]}</Badge></span>}
      {!reason && <ButtonLink kind="quiet" href={link('tail', { namespace, user, room })}>{t.tail.title}</ButtonLink>}
    </>
  );
  return (
    <Card title={t.tail.live} actions={actions} flush>
      {reason && <Empty title={reason} />}
      {stream.state === 'stopped' && <Problem error={stream.error} />}
      {!reason && lines.length === 0 && stream.state !== 'stopped' && <Empty title={t.tail.empty} text={t.tail.liveText} />}
      {lines.length > 0 && <ol class="happenings" aria-label={t.tail.live}>{lines.map(({ id, event }) => <li key={id}><Happening event={event} /></li>)}</ol>}
    </Card>
  );
}

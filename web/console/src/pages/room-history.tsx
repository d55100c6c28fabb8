// The history of a room, the newest first. The newest page follows what happens; older ones stand still.
import { useState } from 'preact/hooks';
import type { Call } from '../api/call';
import type { MessageList, Position, RoomMessage } from '../api/types';
import { number } from '../format';
import { usePoll } from '../hooks/poll';
import { useTexts } from '../i18n';
import { Button } from '../ui/button';
import { Empty, Loaded } from '../ui/state';
import { Name, Time } from '../ui/text';

const EVERY = 1000;
const LIMIT = 20;

export function History({ read }: { read: (limit: number, before?: Position) => Call<MessageList> }) {
  const t = useTexts();
  const [before, setBefore] = useState<Position[]>([]);
  const position = before.at(-1);
  const poll = usePoll(read(LIMIT, position), position ? 30_000 : EVERY);
  if (poll.error?.reason === 'HISTORY_DISABLED') return <Empty title={t.room.noHistory} text={t.room.noHistoryText} />;
  return (
    <>
      <Loaded poll={poll}>
        {({ messages, complete }) => (
          <>
            {!complete && <p class="note warn" role="status">{t.room.gap}</p>}
            {messages.length === 0
              ? <Empty title={position ? t.room.noOlder : t.room.noMessages} text={position ? undefined : t.room.noMessagesText} />
              : <ol class="messages" aria-label={t.room.history}>{messages.map((message) => <Message key={`${message.offset}`} message={message} />)}</ol>}
          </>
        )}
      </Loaded>
      <nav class="pager" aria-label={t.room.historyPages}>
        <Button disabled={before.length === 0} onClick={() => setBefore([])}>{t.room.newest}</Button>
        <Button
          disabled={poll.stale || (poll.data?.messages.length ?? 0) < LIMIT}
          onClick={() => poll.data && setBefore([...before, { epoch: poll.data.epoch, offset: poll.data.offset }])}
        >
          {t.room.older}
        </Button>
      </nav>
    </>
  );
}

function Message({ message }: { message: RoomMessage }) {
  const t = useTexts();
  return (
    <li>
      <p class="message-head">
        <span class="quiet">#{message.offset}</span>
        <b><Name value={message.event} long /></b>
        <Time iso={message.time} />
      </p>
      <code class="payload">{message.argsJson}</code>
      {message.attachments.length > 0 && <p class="quiet">{t.room.attachments(message.attachments.length, number(message.attachments.length))}</p>}
    </li>
  );
}

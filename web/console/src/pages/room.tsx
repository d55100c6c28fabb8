// One room: its members, its users, what it remembers, and what can be done with it.
import { useState } from 'preact/hooks';
import { clearMessages, clearRoom, getRoom, listMessages, listSockets, listUsers } from '../api/calls';
import { sendMessage } from '../api/emit';
import { type Texts, useTexts } from '../i18n';
import { number } from '../format';
import { usePoll } from '../hooks/poll';
import { link } from '../router';
import { useDenial } from '../session';
import type { PageParams } from '../pages';
import { ActionDialog } from '../ui/action';
import { Button, ButtonLink } from '../ui/button';
import { Checkbox, TextArea, TextField } from '../ui/form';
import { LiveEvents } from '../ui/live';
import { Card, Facts, Page } from '../ui/page';
import { Same } from '../ui/same';
import { Empty, Loaded } from '../ui/state';
import { Pager, usePaging } from '../ui/table';
import { Name } from '../ui/text';
import { History } from './room-history';
import { SocketTable } from './sockets';
import { UserTable } from './users';

const EVERY = 800; // a change shows within a second
const PAGE_SIZE = 25;

interface Place {
  namespace: string;
  room: string;
}

export function RoomPage({ params }: PageParams) {
  const t = useTexts();
  const place = { namespace: params.namespace ?? '/', room: params.room ?? '' };
  const [shown, setShown] = useState(0); // counts what was done to the history, which is then read again
  const call = getRoom(place.namespace, place.room);
  const poll = usePoll(call, EVERY);
  const gone = poll.error?.reason === 'ROOM_NOT_FOUND';
  return (
    <Page
      title={`${place.room} · ${t.rooms.room}`}
      heading={<Name value={place.room} long />}
      back={{ href: link('rooms'), label: t.rooms.title }}
      actions={<RoomActions place={place} onDone={poll.refresh} onHistory={() => setShown((n) => n + 1)} />}
    >
      {gone
        ? <Card><Empty title={t.room.empty} text={t.room.emptyText} /></Card>
        : (
          <Loaded poll={poll} lines={2}>
            {({ sockets, users }) => (
              <Card>
                <Facts items={[[t.common.namespace, <Name value={place.namespace} />], [t.sockets.title, number(sockets)], [t.users.title, number(users)]]} />
              </Card>
            )}
          </Loaded>
        )}
      {!gone && <Members place={place} />}
      {!gone && <Present place={place} />}
      {!gone && <LiveEvents namespace={place.namespace} room={place.room} />}
      <MessagesCard key={shown} place={place} />
      <Same call={call} />
    </Page>
  );
}

function Members({ place }: { place: Place }) {
  const t = useTexts();
  const reason = useDenial()('sockets:read', { namespace: place.namespace });
  const paging = usePaging(`${place.namespace}\n${place.room}`);
  const poll = usePoll(reason ? undefined : listSockets({ ...place, pageSize: PAGE_SIZE, pageToken: paging.token }), EVERY);
  return (
    <Card title={t.room.members} flush>
      {reason ? <Empty title={reason} /> : (
        <Loaded poll={poll}>
          {({ sockets, nextPageToken }) => (sockets.length === 0 && !nextPageToken ? <Empty title={t.room.noMembers} /> : <SocketTable sockets={sockets} busy={poll.stale} within={place.namespace} />)}
        </Loaded>
      )}
      <Pager paging={paging} nextToken={poll.stale ? '' : poll.data?.nextPageToken} label={t.room.memberPages} />
    </Card>
  );
}

function Present({ place }: { place: Place }) {
  const t = useTexts();
  const reason = useDenial()('presence:read', place);
  const paging = usePaging(`${place.namespace}\n${place.room}`);
  const poll = usePoll(reason ? undefined : listUsers({ ...place, pageSize: PAGE_SIZE, pageToken: paging.token }), EVERY);
  return (
    <Card title={t.room.present} flush>
      {reason ? <Empty title={reason} /> : (
        <Loaded poll={poll}>
          {({ users }) => (users.length === 0 ? <Empty title={t.room.nobody} text={t.room.nobodyText} /> : <UserTable users={users} namespace={place.namespace} busy={poll.stale} />)}
        </Loaded>
      )}
      <Pager paging={paging} nextToken={poll.stale ? '' : poll.data?.nextPageToken} label={t.room.userPages} />
    </Card>
  );
}

function MessagesCard({ place }: { place: Place }) {
  const t = useTexts();
  const reason = useDenial()('messages:read', place);
  return (
    <Card title={t.room.history} flush>
      {reason ? <Empty title={reason} /> : <History read={(limit, before) => listMessages(place.namespace, place.room, limit, before)} />}
    </Card>
  );
}

type Action = 'emit' | 'clear' | 'clearMessages';

function RoomActions({ place, onDone, onHistory }: { place: Place; onDone: () => void; onHistory: () => void }) {
  const t = useTexts();
  const denial = useDenial();
  const [open, setOpen] = useState<Action>();
  const close = () => setOpen(undefined);
  return (
    <>
      {!denial('sockets:read', { namespace: place.namespace }) && <ButtonLink href={link('explain', { namespace: place.namespace, room: place.room })} icon="explain">{t.room.explain}</ButtonLink>}
      <Button kind="primary" icon="send" denied={denial('emit', place)} onClick={() => setOpen('emit')}>{t.room.emit}</Button>
      <Button denied={denial('messages:write', place)} onClick={() => setOpen('clearMessages')}>{t.room.clearMessages}</Button>
      <Button kind="danger" denied={denial('rooms:clear', place)} onClick={() => setOpen('clear')}>{t.room.clear}</Button>
      {open === 'emit' && <EmitDialog place={place} onClose={close} />}
      {open === 'clear' && <ClearDialog place={place} onClose={close} onDone={onDone} />}
      {open === 'clearMessages' && (
        <ActionDialog
          title={t.room.clearMessagesTitle(place.room)}
          text={t.room.clearMessagesText}
          confirm={t.room.clearMessages}
          danger
          call={clearMessages(place.namespace, place.room)}
          result={() => t.room.messagesCleared}
          onDone={onHistory}
          onClose={close}
        />
      )}
    </>
  );
}

/** Returns what is wrong with the text of a list of arguments, or ''. */
export function argumentsProblem(t: Texts, text: string): string {
  try {
    return Array.isArray(JSON.parse(text)) ? '' : t.room.argsNotList;
  } catch {
    return t.room.argsNotJSON;
  }
}

function EmitDialog({ place, onClose }: { place: Place; onClose: () => void }) {
  const t = useTexts();
  const [event, setEvent] = useState('news');
  const [args, setArgs] = useState('["hello"]');
  const problem = argumentsProblem(t, args);
  const call = !event ? { invalid: t.room.eventMissing } : problem ? { invalid: problem } : sendMessage({ namespace: place.namespace, rooms: [place.room], event, args });
  return (
    <ActionDialog
      title={t.room.emitTitle(place.room)}
      text={t.room.emitText}
      confirm={t.room.emit}
      call={call}
      result={(report) => t.room.emitted(report.matched, [report.matched, report.queued, report.kept, report.dropped].map(number) as [string, string, string, string])}
      onClose={onClose}
    >
      <TextField label={t.room.event} value={event} onInput={setEvent} required mono autofocus />
      <TextArea label={t.room.args} hint={t.room.argsHint} error={problem} value={args} onInput={setArgs} />
    </ActionDialog>
  );
}

function ClearDialog({ place, onClose, onDone }: { place: Place; onClose: () => void; onDone: () => void }) {
  const t = useTexts();
  const [notice, setNotice] = useState('');
  const [disconnects, setDisconnects] = useState(false);
  return (
    <ActionDialog
      title={t.room.clearTitle(place.room)}
      text={t.room.clearText}
      confirm={t.room.clear}
      danger
      call={clearRoom(place.namespace, place.room, { notice: notice ? { event: notice } : undefined, disconnect: disconnects })}
      result={({ removed }) => t.room.cleared(removed, number(removed))}
      onDone={onDone}
      onClose={onClose}
    >
      <TextField label={t.room.notice} hint={t.room.noticeHint} value={notice} onInput={setNotice} mono />
      <Checkbox label={t.room.disconnect} checked={disconnects} onChange={setDisconnects} />
    </ActionDialog>
  );
}

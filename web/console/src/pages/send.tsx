// Send: an event to rooms, users and sockets, or to everyone, and what happened to it.
import { useState } from 'preact/hooks';
import { type Call, send } from '../api/call';
import { type Message, type Report, sendMessage } from '../api/emit';
import { type ApiError, asApiError } from '../api/error';
import { number } from '../format';
import { type Texts, useTexts } from '../i18n';
import { jsonFault } from '../json';
import { link, useLocation } from '../router';
import { useDenial } from '../session';
import { names } from '../text';
import { ActionDialog } from '../ui/action';
import { Button } from '../ui/button';
import { Checkbox, Segmented, TextField } from '../ui/form';
import { Icon } from '../ui/icon';
import { JSONField, NamesField } from '../ui/names';
import { Card, Page } from '../ui/page';
import { Same } from '../ui/same';
import { PartialNote, Problem } from '../ui/state';
import { Name } from '../ui/text';

/** What the fields hold. Lists are texts with a name a line. */
interface Draft {
  to: 'some' | 'everyone';
  namespace: string;
  rooms: string;
  users: string;
  sockets: string;
  exceptRooms: string;
  exceptUsers: string;
  exceptSockets: string;
  event: string;
  args: string;
  volatile: boolean;
  skipHistory: boolean;
  idempotencyKey: string;
  conflateKey: string;
}

const EMPTY: Draft = {
  to: 'some', namespace: '/', rooms: '', users: '', sockets: '', exceptRooms: '', exceptUsers: '', exceptSockets: '', event: '', args: '[]',
  volatile: false, skipHistory: false, idempotencyKey: '', conflateKey: '',
};

/** A message as the form has it: lists that are empty are there. */
type Filled = Message & Required<Pick<Message, 'rooms' | 'users' | 'sockets'>>;

/** A report, with what it reports on. */
interface Sent {
  report: Report;
  message: Filled;
  /** Counts the messages sent, so that the same report twice is still news. */
  nth: number;
}

export function Send() {
  const t = useTexts();
  const { query } = useLocation();
  const denial = useDenial();
  const [draft, setDraft] = useState<Draft>(() => ({
    ...EMPTY,
    to: query.get('to') === 'everyone' || denial('emit') ? 'everyone' : 'some',
    namespace: query.get('namespace') || '/',
    rooms: query.get('room') ?? '',
    users: query.get('user') ?? '',
    sockets: query.get('socket') ?? '',
  }));
  const [sent, setSent] = useState<Sent>();
  const [error, setError] = useState<ApiError>();
  const [busy, setBusy] = useState(false);
  const [confirming, setConfirming] = useState(false);
  const message = messageOf(draft);
  const missing = whatIsMissing(t, draft, message);
  const call = missing ? undefined : sendMessage(message);
  const denied = denial(message.everyone ? 'broadcast' : 'emit', { namespace: message.namespace || '/', room: message.everyone ? undefined : message.rooms[0] });
  const report = (answer: Report) => setSent((last) => ({ report: answer, message, nth: (last?.nth ?? 0) + 1 }));

  async function submit() {
    if (!call || busy || denied) return;
    if (message.everyone) return setConfirming(true);
    setBusy(true);
    setError(undefined);
    try {
      report(await send(call));
    } catch (thrown) {
      setError(asApiError(thrown));
      setSent(undefined);
    } finally {
      setBusy(false);
    }
  }

  return (
    <Page title={t.send.title} intro={t.send.intro}>
      <form
        class="columns"
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <Fields draft={draft} change={(part) => setDraft({ ...draft, ...part })} />
        <div class="column">
          <Card title={t.send.result}>
            <div class="send-row">
              <Button submit kind="primary" icon="send" denied={denied} disabled={!call || busy}>{busy ? t.common.working : message.everyone ? t.send.toEveryone : t.send.submit}</Button>
              {missing && <p class="hint">{missing}</p>}
            </div>
            <div role="status">{sent && <Outcome key={sent.nth} sent={sent} />}</div>
            {error && <Problem error={error} />}
            {!sent && !error && <p class="quiet">{t.send.noResult}</p>}
          </Card>
          {call && <Same call={call} open />}
        </div>
      </form>
      {confirming && call && <ToEveryone call={call} namespace={message.namespace || '/'} onClose={() => setConfirming(false)} onDone={report} />}
    </Page>
  );
}

function messageOf(draft: Draft): Filled {
  const lists = { rooms: names(draft.rooms), users: names(draft.users), sockets: names(draft.sockets), exceptRooms: names(draft.exceptRooms), exceptUsers: names(draft.exceptUsers), exceptSockets: names(draft.exceptSockets) };
  const { to, ...rest } = draft;
  return { ...rest, ...lists, everyone: to === 'everyone', namespace: draft.namespace.trim(), event: draft.event.trim(), args: draft.args.trim() === '' ? '[]' : draft.args };
}

// What keeps the message from being sent, one thing at a time, in the order of the fields.
function whatIsMissing(t: Texts, draft: Draft, message: Filled): string {
  if (!message.everyone && message.rooms.length + message.users.length + message.sockets.length === 0) return t.send.missing.target;
  if (message.event === '') return t.send.missing.event;
  return jsonFault(message.args) ? t.send.missing.args : argsError(t, draft.args);
}

// Arguments that are JSON, but not a list of arguments.
function argsError(t: Texts, args: string): string {
  if (args.trim() === '' || args.trim().startsWith('[')) return '';
  return t.send.notAList;
}

function Fields({ draft, change }: { draft: Draft; change: (part: Partial<Draft>) => void }) {
  const t = useTexts();
  const s = t.send;
  const some = draft.to === 'some';
  const asList = () => change({ args: `[${draft.args.trim()}]` });
  const canWrap = draft.args.trim() !== '' && !draft.args.trim().startsWith('[') && !jsonFault(draft.args);
  return (
    <div class="column">
      <Card title={s.target}>
        <Segmented label={s.target} value={draft.to} options={[{ value: 'some', label: s.some }, { value: 'everyone', label: s.everyone }]} onChange={(to) => change({ to })} />
        <TextField label={s.namespace} value={draft.namespace} mono onInput={(namespace) => change({ namespace })} />
        {some && <NamesField label={s.rooms} hint={s.onePerLine} value={draft.rooms} onInput={(rooms) => change({ rooms })} />}
        {some && <NamesField label={s.users} value={draft.users} onInput={(users) => change({ users })} />}
        {some && <NamesField label={s.sockets} value={draft.sockets} onInput={(sockets) => change({ sockets })} />}
        <details open={Boolean(draft.exceptRooms || draft.exceptUsers || draft.exceptSockets)}>
          <summary>{s.except}</summary>
          <NamesField label={s.exceptRooms} hint={s.onePerLine} value={draft.exceptRooms} onInput={(exceptRooms) => change({ exceptRooms })} />
          <NamesField label={s.exceptUsers} value={draft.exceptUsers} onInput={(exceptUsers) => change({ exceptUsers })} />
          <NamesField label={s.exceptSockets} value={draft.exceptSockets} onInput={(exceptSockets) => change({ exceptSockets })} />
        </details>
      </Card>
      <Card title={s.event}>
        <TextField label={s.name} value={draft.event} mono onInput={(event) => change({ event })} />
        <JSONField label={s.args} hint={s.argsHint} error={argsError(t, draft.args)} value={draft.args} onInput={(args) => change({ args })} />
        {canWrap && <Button kind="quiet" onClick={asList}>{s.asList}</Button>}
        <details open={Boolean(draft.volatile || draft.skipHistory || draft.idempotencyKey || draft.conflateKey)}>
          <summary>{s.options}</summary>
          <TextField label={s.idempotencyKey} hint={s.idempotencyHint} value={draft.idempotencyKey} mono onInput={(idempotencyKey) => change({ idempotencyKey })} />
          {some && <TextField label={s.conflateKey} hint={s.conflateHint} value={draft.conflateKey} mono onInput={(conflateKey) => change({ conflateKey })} />}
          {some && <Checkbox label={s.skipHistory} hint={s.skipHistoryHint} checked={draft.skipHistory} onChange={(skipHistory) => change({ skipHistory })} />}
          <Checkbox label={s.volatile} hint={s.volatileHint} checked={draft.volatile} onChange={(volatile) => change({ volatile })} />
        </details>
      </Card>
    </div>
  );
}

function ToEveryone({ call, namespace, onClose, onDone }: { call: Call<Report>; namespace: string; onClose: () => void; onDone: (report: Report) => void }) {
  const t = useTexts();
  return (
    <ActionDialog
      title={t.send.confirmTitle}
      text={t.send.confirmText(namespace)}
      confirm={t.send.toEveryone}
      call={call}
      result={(report) => t.send.reached(report.matched)}
      onClose={onClose}
      onDone={onDone}
    />
  );
}

function Outcome({ sent: { report, message } }: { sent: Sent }) {
  const t = useTexts();
  const s = t.send;
  const { matched } = report;
  const numbers = [[s.matched, matched], [s.queued, report.queued], [s.kept, report.kept], [s.dropped, report.dropped]] as const;
  return (
    <div class="report">
      <div class={matched > 0 ? 'note good' : 'note warn'}>
        <Icon name={matched > 0 ? 'check' : 'alert'} />
        <div><p class="strong">{s.reached(matched)}</p>{matched === 0 && <NobodyMatched message={message} />}</div>
      </div>
      {report.duplicate && <p>{s.duplicate}</p>}
      <dl class="numbers">{numbers.map(([name, value]) => <div><dt>{name}</dt><dd>{number(value)}</dd></div>)}</dl>
      {report.positions?.map(({ room, epoch, offset }) => <p class="quiet">{s.recorded} <Name value={room} />: <code>{epoch}:{offset}</code></p>)}
      {report.unrecordedRooms?.length ? <p class="field-error">{s.unrecorded} {report.unrecordedRooms.map((room) => <><Name value={room} /> </>)}</p> : null}
      <PartialNote answer={report} />
    </div>
  );
}

function NobodyMatched({ message }: { message: Filled }) {
  const t = useTexts();
  const denial = useDenial();
  const [user] = message.users;
  if (!user || denial('sockets:read')) return <p>{t.send.nobody}</p>;
  return <p>{t.send.nobody} <a href={link('explain', { user, room: message.rooms[0], namespace: message.namespace })}>{t.send.askWhy}</a></p>;
}

// Explain: why a message did or didn't arrive, as a list of checks.
import { useState } from 'preact/hooks';
import { type Check, type ExplainedSocket, type Explanation, explain } from '../api/observe';
import { bytes, number } from '../format';
import { usePoll } from '../hooks/poll';
import { type Texts, useTexts } from '../i18n';
import { link, navigate, useLocation } from '../router';
import { Button } from '../ui/button';
import { TextField } from '../ui/form';
import { Happening } from '../ui/happening';
import { Icon, type IconName } from '../ui/icon';
import { Card, Page } from '../ui/page';
import { Same } from '../ui/same';
import { Badge, Empty, Loaded, type Tone } from '../ui/state';
import { type Column, Table } from '../ui/table';
import { Name, Time } from '../ui/text';

const EVERY = 5000;

export function Explain() {
  const t = useTexts();
  const { query } = useLocation();
  const asked = { user: query.get('user') ?? '', room: query.get('room') ?? '', namespace: query.get('namespace') || '/' };
  const call = asked.user ? explain(asked.user, asked.room, asked.namespace) : undefined;
  const poll = usePoll(call, EVERY);
  return (
    <Page title={t.explain.title} intro={t.explain.intro}>
      <Question key={JSON.stringify(asked)} asked={asked} onSame={poll.refresh} />
      {call
        ? <Loaded poll={poll} lines={6}>{(explanation) => <Answer explanation={explanation} room={asked.room} />}</Loaded>
        : <Card><Empty title={t.explain.empty} text={t.explain.emptyText} /></Card>}
      {call && <Same call={call} />}
    </Page>
  );
}

interface Asked {
  user: string;
  room: string;
  namespace: string;
}

function Question({ asked, onSame }: { asked: Asked; onSame: () => void }) {
  const t = useTexts();
  const [draft, setDraft] = useState(asked);
  const next = { user: draft.user.trim(), room: draft.room.trim(), namespace: draft.namespace.trim() };
  return (
    <Card>
      <form
        class="filters"
        onSubmit={(event) => {
          event.preventDefault();
          if (JSON.stringify(next) === JSON.stringify(asked)) onSame();
          else navigate(link('explain', next));
        }}
      >
        <TextField label={t.explain.user} value={draft.user} required autofocus={!asked.user} onInput={(user) => setDraft({ ...draft, user })} />
        <TextField label={t.explain.room} value={draft.room} onInput={(room) => setDraft({ ...draft, room })} />
        <TextField label={t.explain.namespace} value={draft.namespace} mono onInput={(namespace) => setDraft({ ...draft, namespace })} />
        <Button submit kind="primary" icon="explain" disabled={!next.user}>{t.explain.submit}</Button>
      </form>
    </Card>
  );
}

const plain = (result: string) => result.replace('CHECK_RESULT_', '');

function Answer({ explanation, room }: { explanation: Explanation; room: string }) {
  const t = useTexts();
  const e = t.explain;
  const problems = explanation.checks.filter(({ result }) => plain(result) === 'PROBLEM').length;
  return (
    <>
      <div role="status" class={problems ? 'note bad' : 'note good'}>
        <Icon name={problems ? 'alert' : 'check'} />
        <p class="strong">{e.verdict(problems)}</p>
      </div>
      <Card title={e.checks}>
        <ol class="checks">{explanation.checks.map((check) => <CheckLine key={check.kind} check={check} />)}</ol>
      </Card>
      {explanation.sockets.length > 0 && (
        <Card flush title={e.sockets}>
          <Table label={e.sockets} columns={socketColumns(t, room !== '')} rows={explanation.sockets} rowKey={({ id }) => id} />
        </Card>
      )}
      <Happenings title={e.messages} empty={e.noMessages} events={explanation.messages} />
      <Happenings title={e.drops} empty={e.noDrops} events={explanation.drops ?? []} />
      <Happenings title={e.problems} empty={e.noProblems} events={explanation.problems} />
    </>
  );
}

const LOOK: Record<string, { icon: IconName; tone: Tone }> = {
  OK: { icon: 'check', tone: 'good' },
  PROBLEM: { icon: 'alert', tone: 'bad' },
  NOTE: { icon: 'next', tone: 'info' },
};

// The broker answers in English, whatever the page's language is.
function CheckLine({ check }: { check: Check }) {
  const t = useTexts();
  const kinds = t.explain.kinds as Record<string, string | undefined>;
  const results = t.explain.results as Record<string, string | undefined>;
  const result = plain(check.result);
  const { icon, tone } = LOOK[result] ?? { icon: 'next', tone: 'plain' };
  return (
    <li class={`check-line ${tone}`}>
      <span class={`check-icon ${tone}`}><Icon name={icon} /></span>
      <div>
        <p class="quiet">{kinds[check.kind.replace('CHECK_KIND_', '')] ?? check.kind} <span class="unseen">{results[result] ?? results.UNSPECIFIED}</span></p>
        <p class="strong" lang="en"><Name long value={check.answer} /></p>
        {check.advice && <p lang="en"><Name long value={check.advice} /></p>}
      </div>
    </li>
  );
}

function socketColumns(t: Texts, withRoom: boolean): readonly Column<ExplainedSocket>[] {
  const c = t.explain.columns;
  const yes = (value: boolean) => <Badge tone={value ? 'good' : 'plain'}>{value ? t.tokens.facts.yes : t.tokens.facts.no}</Badge>;
  const columns: (Column<ExplainedSocket> & { room?: boolean })[] = [
    { id: 'id', label: c.id, cell: ({ id }) => <a href={link('sockets', id)}><code><Name value={id} /></code></a> },
    { id: 'state', label: c.state, cell: (socket) => <Badge tone={socket.away ? 'warn' : socket.blocked ? 'bad' : 'good'}>{socket.away ? c.away : socket.blocked ? c.blocked : c.connected}</Badge> },
    { id: 'inRoom', label: c.inRoom, room: true, cell: ({ inRoom }) => yes(inRoom) },
    { id: 'mayJoin', label: c.mayJoin, room: true, cell: ({ mayJoin }) => yes(mayJoin) },
    { id: 'mayPublish', label: c.mayPublish, room: true, cell: ({ mayPublish }) => yes(mayPublish) },
    { id: 'queued', label: c.queued, numeric: true, cell: ({ queuedBytes }) => bytes(Number(queuedBytes)) },
    { id: 'unconfirmed', label: c.unconfirmed, numeric: true, cell: ({ session, unconfirmed, incomplete }) => (session ? <>{number(unconfirmed)}{incomplete && <> <Badge tone="bad">{c.incomplete}</Badge></>}</> : <span class="quiet">–</span>) },
    { id: 'expires', label: c.expires, cell: ({ tokenExpireTime }) => <Time iso={tokenExpireTime} /> },
    { id: 'address', label: c.address, cell: ({ address, transport }) => <><Name value={address} /> <span class="quiet">{transport}</span></> },
    { id: 'node', label: c.node, cell: ({ node }) => <code><Name value={node} /></code> },
  ];
  return columns.filter(({ room }) => withRoom || !room);
}

function Happenings({ title, empty, events }: { title: string; empty: string; events: Explanation['messages'] }) {
  return (
    <Card title={title} flush={events.length > 0}>
      {events.length === 0
        ? <p class="quiet">{empty}</p>
        : <ol class="happenings">{events.map((event) => <li key={`${event.time}${event.kind}${event.node}${event.event}${event.reason}`}><Happening event={event} /></li>)}</ol>}
    </Card>
  );
}

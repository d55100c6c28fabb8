// Live tail: what happens at all nodes, as it happens, with the outcome.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { Partial } from '../api/call';
import { type TailEvent, type TailMessage, tail } from '../api/observe';
import { number } from '../format';
import { type StreamState, useStream } from '../hooks/stream';
import { useTexts } from '../i18n';
import { setQuery, useLocation } from '../router';
import { Button } from '../ui/button';
import { Select, TextField } from '../ui/form';
import { Happening } from '../ui/happening';
import { Card, Page } from '../ui/page';
import { Same } from '../ui/same';
import { Badge, Empty, PartialNote, Problem } from '../ui/state';

const MOST = 500; // lines
const DRAW_EVERY = 150; // ms: a busy broker has more lines than anybody can see

// The kinds by what they are about. A group that isn't here would be missing from the choice.
const KINDS = {
  connections: ['CONNECT', 'DISCONNECT', 'AWAY', 'RESUMED'],
  rooms: ['JOIN', 'LEAVE', 'ROOM_OPENED', 'ROOM_CLOSED'],
  users: ['USER_ONLINE', 'USER_OFFLINE', 'USER_JOINED', 'USER_LEFT'],
  messages: ['MESSAGE', 'ANSWER'],
  emits: ['EMIT'],
  refusals: ['REFUSED', 'LIMIT', 'DROP'],
} as const;
type KindGroup = keyof typeof KINDS;
const GROUPS = Object.keys(KINDS) as KindGroup[];

const OUTCOMES = ['', 'problems', 'REFUSED', 'RELAYED', 'HANDED_OVER', 'ANSWERED', 'SENT', 'DROPPED', 'DONE'] as const;
type OutcomeChoice = (typeof OUTCOMES)[number];

const FIELDS = ['namespace', 'room', 'user', 'event'] as const;

interface Line {
  id: number;
  event?: TailEvent;
  /** How many events aren't here: the page or the broker could not keep up. -1: nobody knows how many. */
  missed?: number;
}

export function Tail() {
  const t = useTexts();
  const { query } = useLocation();
  const groups = (query.get('kinds') ?? '').split(',').filter((group): group is KindGroup => group in KINDS);
  const outcome = (OUTCOMES.find((each) => each === query.get('outcome')) ?? '') as OutcomeChoice;
  const [status, setStatus] = useState<Partial>();
  const lines = useLines();
  const call = useMemo(() => {
    const values = (name: string) => query.getAll(name).filter(Boolean);
    return tail({
      namespaces: values('namespace'), rooms: values('room'), users: values('user'), events: values('event'),
      kinds: groups.flatMap((group) => KINDS[group].map((kind) => `EVENT_KIND_${kind}`)),
      problems: ['problems', 'REFUSED', 'DROPPED'].includes(outcome),
    });
  }, [query.toString()]);
  const key = JSON.stringify(call.query) + outcome;
  useEffect(() => lines.clear(), [key]);

  function receive(message: TailMessage) {
    if (message.status) setStatus(message.status);
    if (message.missed) lines.add({ missed: Number(message.missed.events) });
    if (message.event && fits(message.event, outcome)) lines.add({ event: message.event });
  }
  const stream = useStream(call, receive, { hidden: true });
  const wasOpen = useRef(false);
  useEffect(() => {
    if (stream.state === 'connecting') return;
    const isOpen = stream.state === 'open';
    if (wasOpen.current && !isOpen) lines.add({ missed: -1 }); // once, however often the page tries
    wasOpen.current = isOpen;
  }, [stream.state]);

  return (
    <Page title={t.tail.title} intro={t.tail.intro} actions={<Controls lines={lines} stream={stream} />}>
      <Filters groups={groups} outcome={outcome} query={query} />
      {stream.state === 'stopped' && <Problem error={stream.error} />}
      <PartialNote answer={status} />
      <Lines lines={lines} />
      <Same call={call} />
    </Page>
  );
}

function fits(event: TailEvent, outcome: OutcomeChoice): boolean {
  if (outcome === '' || outcome === 'problems') return true;
  return event.outcome?.result === `OUTCOME_RESULT_${outcome}`;
}

interface LineStore {
  shown: readonly Line[];
  /** The lines that have come since the pause began. */
  waiting: number;
  paused: boolean;
  /** How many events the page hasn't shown, of those that anybody could count. */
  missed: number;
  add: (line: Omit<Line, 'id'>) => void;
  pause: () => void;
  resume: () => void;
  clear: () => void;
}

/** The newest lines, the newest first. They are drawn a few times a second, however many come. */
function useLines(): LineStore {
  const store = useRef({ shown: [] as Line[], held: [] as Line[], heldCount: 0, paused: false, missed: 0, next: 0 }).current;
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const [, draw] = useState(0);
  useEffect(() => () => clearTimeout(timer.current), []);

  function changed(delay = 0) {
    if (timer.current !== undefined && delay > 0) return;
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      timer.current = undefined;
      if (!store.paused) flush();
      draw((count) => count + 1);
    }, delay);
  }
  function flush() {
    store.shown = [...store.held.reverse(), ...store.shown].slice(0, MOST);
    store.held = [];
    store.heldCount = 0;
  }
  return {
    shown: store.shown,
    waiting: store.paused ? store.heldCount : 0,
    paused: store.paused,
    missed: store.missed,
    add(line) {
      store.held.push({ ...line, id: store.next++ });
      store.heldCount++;
      if (store.held.length > MOST) store.held.shift();
      if (line.missed !== undefined && line.missed > 0) store.missed += line.missed;
      changed(DRAW_EVERY);
    },
    pause() {
      flush();
      store.paused = true;
      changed();
    },
    resume() {
      store.paused = false;
      changed();
    },
    clear() {
      Object.assign(store, { shown: [], held: [], heldCount: 0, missed: 0 });
      changed();
    },
  };
}

function Controls({ lines, stream }: { lines: LineStore; stream: StreamState }) {
  const t = useTexts();
  const label = lines.paused ? t.tail.states.paused : t.tail.states[stream.state];
  const tone = lines.paused ? 'warn' : stream.state === 'open' ? 'good' : stream.state === 'stopped' ? 'bad' : 'plain';
  return (
    <>
      <span role="status"><Badge tone={tone}>{label}</Badge></span>
      {lines.missed > 0 && <Badge tone="warn">{t.tail.missed(lines.missed)}</Badge>}
      {lines.paused
        ? <Button kind="primary" onClick={lines.resume}>{lines.waiting ? t.tail.resumeWith(number(lines.waiting)) : t.tail.resume}</Button>
        : <Button onClick={lines.pause}>{t.tail.pause}</Button>}
      <Button onClick={lines.clear}>{t.tail.clear}</Button>
    </>
  );
}

function Filters({ groups, outcome, query }: { groups: readonly KindGroup[]; outcome: OutcomeChoice; query: URLSearchParams }) {
  const t = useTexts();
  const toggle = (group: KindGroup) => setQuery({ kinds: GROUPS.filter((each) => groups.includes(each) !== (each === group)).join(',') });
  return (
    <Card title={t.tail.filters}>
      <div class="toggles" role="group" aria-label={t.tail.kinds}>
        {GROUPS.map((group) => (
          <button key={group} type="button" class="toggle" aria-pressed={groups.includes(group)} onClick={() => toggle(group)}>{t.tail.groups[group]}</button>
        ))}
      </div>
      <div class="filters">
        {FIELDS.map((name) => <FilterField key={name} label={t.tail.fields[name]} value={query.get(name) ?? ''} onChange={(value) => setQuery({ [name]: value })} />)}
        <Select label={t.tail.outcome} value={outcome} options={OUTCOMES.map((value) => ({ value, label: t.tail.outcomes[value || 'all'] }))} onChange={(value) => setQuery({ outcome: value })} />
      </div>
    </Card>
  );
}

const TYPING = 400; // ms after the last key until the stream is opened with it

function FilterField({ label, value, onChange }: { label: string; value: string; onChange: (value: string) => void }) {
  const [typed, setTyped] = useState(value);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => setTyped(value), [value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  return (
    <TextField
      label={label}
      value={typed}
      onInput={(text) => {
        setTyped(text);
        clearTimeout(timer.current);
        timer.current = setTimeout(() => onChange(text.trim()), TYPING);
      }}
    />
  );
}

function Lines({ lines }: { lines: LineStore }) {
  const t = useTexts();
  if (lines.shown.length === 0) return <Card><Empty title={t.tail.empty} text={t.tail.emptyText} /></Card>;
  return (
    <Card flush>
      <ol class="happenings" aria-label={t.tail.title}>
        {lines.shown.map((line) => (
          <li key={line.id}>
            {line.event
              ? <Happening event={line.event} onOpen={lines.pause} />
              : <p class="happening-gap">{(line.missed ?? 0) < 0 ? t.tail.gap : t.tail.missedHere(line.missed ?? 0)}</p>}
          </li>
        ))}
      </ol>
    </Card>
  );
}

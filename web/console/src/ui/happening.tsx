// One thing that happened, on a line that opens: when, what, who, where, and the outcome.
import type { ComponentChildren } from 'preact';
import type { EmitTarget, Outcome, TailEvent } from '../api/observe';
import { latency, seconds } from '../format';
import { type Texts, useTexts } from '../i18n';
import { link } from '../router';
import { useDenial } from '../session';
import { ButtonLink, CopyButton } from './button';
import { Facts } from './page';
import { Badge, type Tone } from './state';
import { Name } from './text';

const PREVIEW = 160; // characters of the arguments on the line

const two = (value: number) => String(value).padStart(2, '0');

/** 09:05:07.123: lines are compared, so every one has the same form in all languages. */
function exactly(iso: string): string {
  const date = new Date(iso);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}

/** The name of a kind without its prefix, as the command line and docs/events.md write it. */
export const plainKind = (kind: string): string => kind.replace('EVENT_KIND_', '').toLowerCase().replaceAll('_', '-');

const KIND_TONES: Record<string, Tone> = {
  CONNECT: 'good', RESUMED: 'good', DISCONNECT: 'plain', AWAY: 'warn', REFUSED: 'bad', LIMIT: 'warn', DROP: 'warn', MESSAGE: 'info', ANSWER: 'info', EMIT: 'info',
};

const kindTone = (kind: string): Tone => KIND_TONES[kind.replace('EVENT_KIND_', '')] ?? 'plain';

const resultOf = (outcome: Outcome) => outcome.result.replace('OUTCOME_RESULT_', '');

function outcomeTone(outcome: Outcome): Tone {
  if (resultOf(outcome) === 'REFUSED') return 'bad';
  if (outcome.dropped > 0 || outcome.partial) return 'warn';
  return ['SENT', 'RELAYED'].includes(resultOf(outcome)) && outcome.matched === 0 && !outcome.otherNodes ? 'warn' : 'good';
}

/** The outcome in a few words. */
export function outcomeText(t: Texts, outcome: Outcome): string {
  const o = t.happening.outcomes;
  switch (resultOf(outcome)) {
    case 'DONE': return o.done;
    case 'RELAYED': return o.relayed(outcome.matched, outcome.otherNodes);
    case 'HANDED_OVER': return o.handedOver(outcome.groups.filter(Boolean).join(', '));
    case 'ANSWERED': return o.answered(outcome.took ? latency(seconds(outcome.took)) : '');
    case 'REFUSED': return o.refused;
    case 'SENT': return o.sent(outcome.matched);
    case 'DROPPED': return o.lost(outcome.dropped);
    default: return o.unknown;
  }
}

function OutcomeBadge({ outcome }: { outcome: Outcome }) {
  const t = useTexts();
  return (
    <Badge tone={outcomeTone(outcome)}>
      {outcomeText(t, outcome)}{outcome.code && <> <code>{outcome.code}</code></>}
      {outcome.dropped > 0 && resultOf(outcome) !== 'DROPPED' && ` · ${t.happening.outcomes.dropped(outcome.dropped)}`}
    </Badge>
  );
}

const userOf = (event: TailEvent) => event.socket?.user ?? event.user;

function Who({ event }: { event: TailEvent }) {
  const t = useTexts();
  if (event.key) return <><span class="quiet">{t.happening.key}</span> <Name value={event.key} /></>;
  const user = userOf(event);
  if (user) return <Name value={user} />;
  if (event.address) return <Name value={event.address} />;
  return event.socket ? <span class="quiet">{t.happening.anonymous}</span> : null;
}

function Target({ target }: { target: EmitTarget }) {
  const t = useTexts();
  if (target.everyone) return <>{t.happening.everyone}</>;
  const all = [...target.rooms, ...target.users, ...target.sockets];
  const more = target.more + Math.max(0, all.length - 3);
  return <>{all.slice(0, 3).map((name, i) => <>{i > 0 && ', '}<Name value={name} /></>)}{more > 0 && ` ${t.happening.more(more)}`}</>;
}

function Where({ event }: { event: TailEvent }) {
  if (event.target) return <><Arrow /> <Target target={event.target} /></>;
  if (event.room) return <><Arrow /> <Name value={event.room} /></>;
  return null;
}

const Arrow = () => <span class="quiet" aria-hidden="true">→</span>;

function What({ event }: { event: TailEvent }) {
  const t = useTexts();
  if (event.event) {
    return <><code class="event-name"><Name value={event.event} /></code> <span class="quiet preview">{event.argsJson.slice(0, PREVIEW)}{event.argsJson.length > PREVIEW && '…'}</span></>;
  }
  if (event.limit) return <code>{event.limit}</code>;
  if (event.reason) return <span class="quiet preview">{event.reason}</span>;
  if (event.notRecovered) return <span class="quiet preview">{t.happening.notRecovered(event.notRecovered)}</span>;
  return null;
}

/** Shows an event on a line, and all of it once the line is opened. */
export function Happening({ event, onOpen }: { event: TailEvent; onOpen?: () => void }) {
  const t = useTexts();
  return (
    <details class="happening" onToggle={(toggle) => { if (toggle.currentTarget.open) onOpen?.(); }}>
      <summary>
        <time class="quiet" dateTime={event.time}>{exactly(event.time)}</time>
        <Badge tone={kindTone(event.kind)}>{plainKind(event.kind)}</Badge>
        <span class="who"><Who event={event} /> <Where event={event} /></span>
        <span class="what"><What event={event} /></span>
        <span class="outcome">
          {event.count > 1 && <Badge>×{event.count}</Badge>}
          {event.outcome && <OutcomeBadge outcome={event.outcome} />}
        </span>
      </summary>
      <Details event={event} t={t} />
    </details>
  );
}

function Details({ event, t }: { event: TailEvent; t: Texts }) {
  const denial = useDenial();
  const user = userOf(event);
  const canExplain = user !== '' && event.room !== '' && !denial('sockets:read');
  return (
    <div class="happening-details">
      <Facts items={factsOf(event, t)} />
      {event.outcome?.message && <p>{event.outcome.message}</p>}
      {event.argsJson && (
        <div class="args">
          <pre tabIndex={0} aria-label={t.happening.args}><code>{pretty(event.argsJson)}</code></pre>
          <CopyButton text={event.argsJson} label={t.happening.args} />
        </div>
      )}
      {canExplain && <ButtonLink icon="explain" href={link('explain', { user, room: event.room, namespace: event.namespace })}>{t.happening.explain}</ButtonLink>}
    </div>
  );
}

function factsOf(event: TailEvent, t: Texts): (readonly [string, ComponentChildren])[] {
  const f = t.happening.facts;
  const { socket, outcome, target } = event;
  const facts: (readonly [string, ComponentChildren] | false)[] = [
    Boolean(event.namespace) && [f.namespace, <Name value={event.namespace} />],
    socket !== null && [f.socket, <a href={link('sockets', socket.id)}><Name value={socket.id} /></a>],
    Boolean(userOf(event)) && [f.user, <Name value={userOf(event)} />],
    Boolean(event.room) && [f.room, <a href={link('rooms', event.namespace, event.room)}><Name value={event.room} /></a>],
    target !== null && [f.target, <Target target={target} />],
    Boolean(socket?.address || event.address) && [f.address, <Name value={socket?.address || event.address} />],
    socket !== null && [f.transport, socket.transport],
    outcome !== null && outcome.matched > 0 && [f.report, t.happening.report(outcome)],
    Boolean(event.attachments.length) && [f.attachments, String(event.attachments.length)],
    Boolean(event.node) && [f.node, <Name value={event.node} />],
    Boolean(event.deliveryId) && [f.delivery, <Name value={event.deliveryId ?? ''} />],
    Boolean(event.previousSocketId) && [f.previousSocket, <Name value={event.previousSocketId} />],
  ];
  return facts.filter((fact) => fact !== false);
}

function pretty(text: string): string {
  const args: unknown = JSON.parse(text);
  const compact = JSON.stringify(args);
  return compact.length <= 72 || compact !== text ? text : JSON.stringify(args, null, 2); // never other numbers than were sent
}

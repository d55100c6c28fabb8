// Backends: the groups that subscribe to events, their members, and what waits for them.
import { type Backend, type Group, listGroups } from '../api/observe';
import { number } from '../format';
import { usePoll } from '../hooks/poll';
import { type Texts, useTexts } from '../i18n';
import { Card, Page } from '../ui/page';
import { plainKind } from '../ui/happening';
import { Same } from '../ui/same';
import { Badge, Empty, Loaded, type Tone } from '../ui/state';
import { type Column, Table } from '../ui/table';
import { Name } from '../ui/text';

const EVERY = 3000;

export function Backends() {
  const t = useTexts();
  const call = listGroups();
  const poll = usePoll(call, EVERY);
  return (
    <Page title={t.backends.title} intro={t.backends.intro}>
      <Loaded poll={poll}>
        {({ groups }) => (groups.length === 0
          ? <Card><Empty title={t.backends.empty} text={t.backends.emptyText} /></Card>
          : groups.map((group) => <GroupCard key={`${group.name}\n${group.name ? '' : group.members[0]?.id ?? ''}`} group={group} />))}
      </Loaded>
      <Same call={call} />
    </Page>
  );
}

// A group is in trouble when events wait and none of its members may take one.
function state(t: Texts, group: Group): { tone: Tone; text: string } {
  const stuck = group.waiting > 0 && group.members.every(({ credits }) => credits === 0);
  if (stuck) return { tone: 'bad', text: t.backends.stuck };
  if (group.waiting > 0) return { tone: 'warn', text: t.backends.behind };
  return { tone: 'good', text: t.backends.keepsUp };
}

function GroupCard({ group }: { group: Group }) {
  const t = useTexts();
  const { tone, text } = state(t, group);
  return (
    <Card
      flush
      title={group.name || t.backends.alone}
      note={<>{group.observes ? t.backends.observes : t.backends.members(group.members.length)} · {t.backends.waits(group.waiting)} · {t.backends.unacknowledged(group.unacknowledged)}</>}
      actions={<Badge tone={tone}>{text}</Badge>}
    >
      <Table label={group.name || t.backends.alone} columns={columnsOf(t)} rows={group.members} rowKey={({ id }) => id} />
    </Card>
  );
}

function columnsOf(t: Texts): readonly Column<Backend>[] {
  const c = t.backends.columns;
  const all = (values: readonly string[]) => (values.length ? values.map((value, i) => <>{i > 0 && ', '}<Name value={value} /></>) : <span class="quiet">{t.backends.all}</span>);
  return [
    { id: 'id', label: c.id, cell: ({ id }) => <code><Name value={id} /></code> },
    { id: 'key', label: c.key, cell: ({ key }) => <Name value={key} /> },
    { id: 'kinds', label: c.kinds, cell: ({ kinds, decides }) => <>{all(kinds.map(plainKind))}{decides && <> <Badge tone="info">{t.backends.decides}</Badge></>}</> },
    { id: 'namespaces', label: c.namespaces, cell: ({ namespaces }) => all(namespaces) },
    { id: 'events', label: c.events, cell: ({ events }) => all(events) },
    { id: 'credits', label: c.credits, numeric: true, cell: ({ credits }) => number(credits) },
    { id: 'waiting', label: c.waiting, numeric: true, cell: ({ waiting }) => number(waiting) },
    { id: 'unacknowledged', label: c.unacknowledged, numeric: true, cell: ({ unacknowledged }) => number(unacknowledged) },
  ];
}

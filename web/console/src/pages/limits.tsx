// Limits: who hits which one, and which setting it is.
import { type LimitHit, listLimits } from '../api/observe';
import { number } from '../format';
import { usePoll } from '../hooks/poll';
import { type Texts, useTexts } from '../i18n';
import { link, useLocation } from '../router';
import { useDenial } from '../session';
import { NamespaceField } from '../ui/filters';
import { Card, Page } from '../ui/page';
import { Same } from '../ui/same';
import { Empty, Loaded } from '../ui/state';
import { type Column, Table } from '../ui/table';
import { Name, Time } from '../ui/text';

const EVERY = 3000;

export function Limits() {
  const t = useTexts();
  const { query } = useLocation();
  const denial = useDenial();
  const namespace = query.get('namespace') ?? '';
  const call = listLimits(namespace);
  const poll = usePoll(call, EVERY);
  return (
    <Page title={t.limits.title} intro={t.limits.intro}>
      <div class="toolbar"><NamespaceField value={namespace} placeholder={t.common.allNamespaces} /></div>
      <Loaded poll={poll}>
        {({ limits }) => (
          <Card flush={limits.length > 0}>
            {limits.length === 0
              ? <Empty title={t.limits.empty} text={t.limits.emptyText} />
              : <Table label={t.limits.title} columns={columnsOf(t, !denial('events'))} rows={limits} rowKey={(hit) => JSON.stringify([hit.limit, hit.namespace, hit.user, hit.address, hit.node])} />}
          </Card>
        )}
      </Loaded>
      <Same call={call} />
    </Page>
  );
}

function columnsOf(t: Texts, mayTail: boolean): readonly Column<LimitHit>[] {
  const c = t.limits.columns;
  const names = t.limits.names as Record<string, { name: string; advice: string } | undefined>;
  return [
    { id: 'limit', label: c.limit, cell: ({ limit }) => <div class="stacked"><span>{names[limit]?.name ?? limit} <code class="quiet">{limit}</code></span>{names[limit] && <span class="hint">{names[limit].advice}</span>}</div> },
    { id: 'user', label: c.user, cell: (hit) => (hit.user && mayTail ? <a href={link('tail', { user: hit.user })}><Name value={hit.user} /></a> : <Name value={hit.user} empty="–" />) },
    { id: 'address', label: c.address, cell: ({ address }) => <Name value={address} empty="–" /> },
    { id: 'namespace', label: c.namespace, cell: ({ namespace }) => <Name value={namespace} empty="–" /> },
    { id: 'count', label: c.count, numeric: true, cell: ({ count }) => number(count) },
    { id: 'last', label: c.last, cell: ({ lastTime }) => <Time iso={lastTime} /> },
    { id: 'first', label: c.first, cell: ({ firstTime }) => <Time iso={firstTime} /> },
    { id: 'node', label: c.node, cell: ({ node }) => <code><Name value={node} /></code> },
  ];
}

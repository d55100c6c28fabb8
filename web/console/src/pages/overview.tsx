// The overview: how the nodes are, and the last hour.
import { useMemo, useState } from 'preact/hooks';
import { drain, getStats, listNodes } from '../api/calls';
import type { Node, Stats } from '../api/types';
import { bytes, compact, duration, latency, number, seconds } from '../format';
import { usePoll } from '../hooks/poll';
import { type Texts, useTexts } from '../i18n';
import { useDenial } from '../session';
import { ActionDialog } from '../ui/action';
import { Button } from '../ui/button';
import { Chart } from '../ui/chart';
import { Segmented } from '../ui/form';
import { Card, Page } from '../ui/page';
import { Badge, Empty, Loaded } from '../ui/state';
import { type Column, Table } from '../ui/table';
import { Name } from '../ui/text';
import { dropsOf, type SeriesSet, seriesOf, sum, together, type View } from './overview-series';

const NODES_EVERY = 2000;
const STATS_EVERY = 10_000; // the step of the series

export function Overview() {
  const t = useTexts();
  const nodes = usePoll(listNodes(), NODES_EVERY);
  const stats = usePoll(getStats(), STATS_EVERY);
  const [draining, setDraining] = useState<Node>();
  return (
    <Page title={t.overview.title} intro={t.overview.intro}>
      <Loaded poll={nodes}>
        {({ nodes: list }) => (
          <>
            <Totals nodes={list} stats={stats.data} />
            <Card title={t.overview.nodes} note={number(list.length)} flush>
              <Nodes nodes={list} onDrain={setDraining} />
            </Card>
          </>
        )}
      </Loaded>
      <Loaded poll={stats} lines={4}>{(answer) => <LastHour stats={answer} />}</Loaded>
      {draining && (
        <ActionDialog
          title={t.overview.drainTitle(draining.id)}
          text={t.overview.drainText(number(draining.sockets))}
          confirm={t.overview.drain}
          danger
          call={drain(draining.id)}
          result={() => t.overview.drained}
          onDone={nodes.refresh}
          onClose={() => setDraining(undefined)}
        />
      )}
    </Page>
  );
}

function Totals({ nodes, stats }: { nodes: readonly Node[]; stats: Stats | undefined }) {
  const t = useTexts();
  const sockets = nodes.reduce((total, node) => total + node.sockets, 0);
  const rate = (name: string) => {
    const last = stats && sum(stats, name)?.values.at(-1);
    return last === null || last === undefined ? '–' : t.overview.perSecond(compact(last));
  };
  const first = nodes[0];
  return (
    <ul class="tiles">
      <Tile label={t.overview.sockets} value={number(sockets)} />
      {nodes.length === 1 && first ? <Tile label={t.overview.rooms} value={number(first.rooms)} /> : <Tile label={t.overview.nodes} value={number(nodes.length)} />}
      <Tile label={t.overview.messagesIn} value={rate('messages_in')} />
      <Tile label={t.overview.messagesOut} value={rate('messages_out')} />
    </ul>
  );
}

function Tile({ label, value }: { label: string; value: string }) {
  return <li class="tile"><span class="tile-label">{label}</span><span class="tile-value">{value}</span></li>;
}

function Nodes({ nodes, onDrain }: { nodes: readonly Node[]; onDrain: (node: Node) => void }) {
  const t = useTexts();
  const denial = useDenial();
  const columns: Column<Node>[] = [
    { id: 'id', label: t.overview.node, cell: (node) => <code class="id"><Name value={node.id} /></code> },
    { id: 'state', label: t.overview.state, cell: (node) => <NodeState node={node} /> },
    { id: 'version', label: t.overview.version, cell: (node) => <Name value={node.version} /> },
    { id: 'sockets', label: t.overview.sockets, numeric: true, cell: (node) => number(node.sockets) },
    { id: 'rooms', label: t.overview.rooms, numeric: true, cell: (node) => number(node.rooms) },
    { id: 'uptime', label: t.overview.uptime, numeric: true, cell: (node) => duration(seconds(node.uptime)) },
    {
      id: 'actions',
      label: t.common.actions,
      end: true,
      cell: (node) => (node.state === 'NODE_STATE_DRAINING' ? null : (
        <Button kind="quiet" label={t.overview.drainNode(node.id)} denied={denial('cluster:write')} onClick={() => onDrain(node)}>{t.overview.drain}</Button>
      )),
    },
  ];
  return <Table label={t.overview.nodes} columns={columns} rows={nodes} rowKey={(node) => node.id} />;
}

function NodeState({ node }: { node: Node }) {
  const t = useTexts();
  if (node.state === 'NODE_STATE_ACTIVE') return <Badge tone="good">{t.overview.active}</Badge>;
  if (node.state === 'NODE_STATE_DRAINING') return <Badge tone="warn">{t.overview.draining}</Badge>;
  return <Badge>{t.common.unknown}</Badge>;
}

function LastHour({ stats }: { stats: Stats }) {
  const t = useTexts();
  const [view, setView] = useState<View>('together');
  const several = stats.nodes.length > 1;
  const charts = useMemo(() => chartsOf(t, stats, several ? view : 'together'), [t, stats, view, several]);
  const actions = several && (
    <Segmented
      label={t.overview.view}
      value={view}
      onChange={setView}
      options={[{ value: 'together', label: t.overview.together }, { value: 'nodes', label: t.overview.perNode }]}
    />
  );
  return (
    <Card title={t.overview.lastHour} actions={actions || undefined}>
      {stats.nodes.every(({ series }) => (series[0]?.values.length ?? 0) < 2)
        ? <Empty title={t.overview.noStats} text={t.overview.noStatsText} />
        : <div class="charts">{charts.map((chart) => chart.set.series.length > 0 && <Chart key={chart.title} title={chart.title} note={chart.note} times={chart.set.times} series={chart.set.series} format={chart.format} />)}</div>}
    </Card>
  );
}

interface ChartSpec {
  title: string;
  note: string;
  set: SeriesSet;
  format: (value: number) => string;
}

function chartsOf(t: Texts, stats: Stats, view: View): ChartSpec[] {
  const c = t.overview.charts;
  const counted = (title: string, names: readonly (readonly [string, string])[], note = c.perSecond): ChartSpec => ({ title, note, set: seriesOf(stats, view, names), format: compact });
  return [
    counted(c.connections, [['connections', c.connections]], ''),
    counted(c.messages, [['messages_in', c.in], ['messages_out', c.out]]),
    {
      title: c.latency,
      note: '',
      set: together(stats, [['delivery_latency', 'p50', c.delivery50], ['delivery_latency', 'p99', c.delivery99], ['emit_latency', 'p99', c.emit99]]),
      format: latency,
    },
    { title: c.drops, note: c.perSecond, set: dropsOf(stats, c.noDrops), format: compact },
    { title: c.memory, note: '', set: seriesOf(stats, view, [['memory', c.memory]]), format: bytes },
    counted(c.backends, [['events_to_backends', c.backends]]),
  ];
}

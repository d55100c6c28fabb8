// From the series of nodes to those of charts. Nodes sample at their own moments, so their points
// are put on a common grid of steps first.
import { seconds } from '../format';
import type { NodeStats, Stats } from '../api/types';
import type { Series } from '../ui/chart';

/** All nodes as one, or a line for each. */
export type View = 'together' | 'nodes';

export interface SeriesSet {
  /** Seconds since 1970. */
  times: number[];
  series: Series[];
}

type Points = Map<number, number | null>; // by step since 1970; null where nothing was measured

const stepOf = (stats: Stats) => seconds(stats.step) || 10;

// A latency of 0 means that there was nothing to measure.
const isLatency = (name: string) => name.endsWith('_latency');

function points(node: NodeStats, name: string, values: readonly number[], step: number): Points {
  const last = Math.round(Date.parse(node.endTime) / 1000 / step);
  return new Map(values.map((value, i) => [last - values.length + 1 + i, isLatency(name) && value === 0 ? null : value]));
}

function combine(all: readonly Points[], by: (a: number, b: number) => number): Points {
  const result: Points = new Map();
  for (const each of all) {
    for (const [at, value] of each) {
      const before = result.get(at) ?? null;
      result.set(at, before === null || value === null ? before ?? value : by(before, value));
    }
  }
  return result;
}

function setOf(lines: readonly { label: string; points: Points; sparse?: boolean }[], step: number): SeriesSet {
  const ticks = [...new Set(lines.flatMap((line) => [...line.points.keys()]))].sort((a, b) => a - b);
  return {
    times: ticks.map((tick) => tick * step),
    series: lines.map(({ label, points: values, sparse }) => ({ label, sparse, values: ticks.map((tick) => values.get(tick) ?? null) })),
  };
}

const add = (a: number, b: number) => a + b;

/** Returns one series over all nodes. */
export function sum(stats: Stats, name: string): Series | undefined {
  return together(stats, [[name, '', name]]).series[0];
}

/**
 * Returns series over all nodes, by name, label and title. Latencies are the highest of any node, all
 * others are sums. The label * means a series for each label that was ever above zero.
 */
export function together(stats: Stats, wanted: readonly (readonly [name: string, label: string, title: string])[]): SeriesSet {
  const step = stepOf(stats);
  const lines = wanted.flatMap(([name, label, title]) => {
    const labels = label === '*' ? labelsOf(stats, name) : [label];
    return labels.map((each) => ({ label: title || each, points: over(stats, name, each, step), sparse: isLatency(name) }));
  });
  return setOf(lines.filter(({ points: values }) => values.size > 0), step);
}

function over(stats: Stats, name: string, label: string, step: number): Points {
  const all = stats.nodes.flatMap((node) => node.series.filter((each) => each.name === name && each.label === label).map(({ values }) => points(node, name, values, step)));
  return combine(all, isLatency(name) ? Math.max : add);
}

function labelsOf(stats: Stats, name: string): string[] {
  const labels = stats.nodes.flatMap(({ series }) => series.filter((each) => each.name === name && each.values.some((value) => value > 0)).map(({ label }) => label));
  return [...new Set(labels)].sort();
}

/** Returns the drops by cause, or a line at zero if there were none. */
export function dropsOf(stats: Stats, none: string): SeriesSet {
  const drops = together(stats, [['drops', '*', '']]);
  if (drops.series.length > 0) return drops;
  const { times } = together(stats, [['connections', '', '']]);
  return { times, series: [{ label: none, values: times.map(() => 0) }] };
}

/** Returns the named series: over all nodes, or those of each node. */
export function seriesOf(stats: Stats, view: View, wanted: readonly (readonly [name: string, title: string])[]): SeriesSet {
  if (view === 'together') return together(stats, wanted.map(([name, title]) => [name, '', title] as const));
  const step = stepOf(stats);
  const lines = stats.nodes.flatMap((node) => wanted.flatMap(([name, title]) => node.series.filter((each) => each.name === name)
    .map(({ values }) => ({ label: wanted.length > 1 ? `${node.node} ${title}` : node.node, points: points(node, name, values, step) }))));
  return setOf(lines, step);
}

// A small chart of series over time. Its legend says the newest values, or those under the pointer.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import { clock } from '../format';
import { locale, useLanguage, useTexts } from '../i18n';
import { useDark } from '../preferences';

export interface Series {
  label: string;
  /** One value for each time; null where there is none. */
  values: readonly (number | null)[];
  /** Whether the line goes on where there is no value: something that isn't measured all the time. */
  sparse?: boolean | undefined;
}

export interface ChartProps {
  title: string;
  /** Seconds since 1970, ascending. */
  times: readonly number[];
  series: readonly Series[];
  format: (value: number) => string;
  /** What the values are, such as per second. */
  note?: string;
}

const HEIGHT = 132;
const FEW = 60; // values of a sparse series that are shown as points, or one alone would not be seen
const SHORT = 300; // seconds: charts of a broker that has just started
export const COLOURS = 6; // --chart-1 and so on

export function Chart({ title, times, series, format, note }: ChartProps) {
  const t = useTexts();
  const frame = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const [pointed, setPointed] = useState<number>();
  const dark = useDark();
  const language = useLanguage();
  const formatter = useRef(format);
  formatter.current = format;
  const shape = series.map(({ label }) => label).join('\n');
  const data = useMemo(() => [times as number[], ...series.map(({ values }) => values as (number | null)[])] as uPlot.AlignedData, [times, series]);

  useEffect(() => {
    const element = frame.current;
    if (!element) return undefined;
    const chart = new uPlot(options(element, series, (value) => formatter.current(value), setPointed), data, element);
    plot.current = chart;
    const observer = new ResizeObserver(() => chart.setSize({ width: Math.max(120, element.clientWidth), height: HEIGHT }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      plot.current = undefined;
      chart.destroy();
    };
  }, [shape, dark, language]); // colours and texts are drawn, so another theme or language needs another chart

  useEffect(() => plot.current?.setData(data), [data]);

  const last = times.length - 1;
  const at = pointed !== undefined && pointed <= last ? pointed : last;
  const time = times[at];
  const valueAt = ({ values }: Series, i: number) => {
    const value = values[i];
    return value === null || value === undefined ? '–' : format(value);
  };
  const said = series.map((each) => `${each.label} ${valueAt(each, last)}`).join(', ');
  return (
    <figure class="chart" aria-label={t.chart.summary(title, said)} role="img">
      <figcaption aria-hidden="true">
        <span class="chart-title">{title}</span>
        <span class="chart-time">{pointed !== undefined && time !== undefined ? clock(new Date(time * 1000)) : note}</span>
      </figcaption>
      <ul class="legend" aria-hidden="true">
        {series.map((each, i) => (
          <li key={each.label}><span class={`swatch colour-${(i % COLOURS) + 1}`} /><span class="legend-label">{each.label}</span> <b>{valueAt(each, at)}</b></li>
        ))}
      </ul>
      <div ref={frame} class="plot" aria-hidden="true" />
    </figure>
  );
}

const isFew = (chart: uPlot, i: number) => [...chart.data[i] ?? []].filter((value) => typeof value === 'number').length < FEW;

function options(element: HTMLElement, series: readonly Series[], format: (value: number) => string, point: (i: number | undefined) => void): uPlot.Options {
  const style = getComputedStyle(element);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const font = `11px ${style.fontFamily}`;
  const grid = { stroke: colour('--line'), width: 1 };
  const axis = { stroke: colour('--muted'), font, ticks: { show: false } };
  const minutes = new Intl.DateTimeFormat(locale(), { hour: '2-digit', minute: '2-digit' });
  const clockOf = (splits: number[]) => {
    const seconds = (splits.at(-1) ?? 0) - (splits[0] ?? 0) < SHORT; // else all would read the same
    return splits.map((at) => (seconds ? clock(new Date(at * 1000)) : minutes.format(at * 1000)));
  };
  return {
    width: Math.max(120, element.clientWidth),
    height: HEIGHT,
    padding: [8, 36, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
    scales: { x: { time: true }, y: { range: (_, min, max) => [Math.min(0, min), max > 0 ? max * 1.1 : 1] } },
    axes: [
      { ...axis, grid: { show: false }, size: 22, gap: 4, space: 72, values: (_, splits) => clockOf(splits) },
      { ...axis, grid, size: 58, gap: 6, space: 28, values: (_, splits) => splits.map((value) => (value === 0 ? '0' : format(value))) },
    ],
    series: [
      {},
      ...series.map(({ sparse = false }, i) => ({
        spanGaps: sparse,
        stroke: colour(`--chart-${(i % COLOURS) + 1}`),
        fill: series.length === 1 ? colour('--chart-fill') : undefined,
        width: 1.75,
        points: { show: sparse ? isFew : false, size: 4 },
      })),
    ],
    hooks: { setCursor: [(chart) => point(chart.cursor.idx ?? undefined)] },
  };
}

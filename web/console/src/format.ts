// Numbers and times as the visitor's locale writes them.
import { locale } from './i18n';

export const number = (value: number): string => new Intl.NumberFormat(locale(), { maximumFractionDigits: 0 }).format(value);

/** 15.3k, 1.2M: for axes and tiles. */
export const compact = (value: number): string =>
  new Intl.NumberFormat(locale(), { notation: 'compact', maximumFractionDigits: Math.abs(value) < 10 ? 2 : 1 }).format(value);

const BYTE_UNITS = ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte'];

export function bytes(value: number): string {
  const power = value < 1 ? 0 : Math.min(BYTE_UNITS.length - 1, Math.floor(Math.log10(value) / 3));
  return new Intl.NumberFormat(locale(), { style: 'unit', unit: BYTE_UNITS[power], unitDisplay: power === 0 ? 'long' : 'short', maximumFractionDigits: power > 1 ? 1 : 0 })
    .format(value / 1000 ** power);
}

/** A latency: 850 µs, 12 ms, 1.3 s. */
export function latency(seconds: number): string {
  const [unit, value] = seconds < 0.001 ? ['microsecond', seconds * 1e6] as const : seconds < 1 ? ['millisecond', seconds * 1e3] as const : ['second', seconds] as const;
  return new Intl.NumberFormat(locale(), { style: 'unit', unit, unitDisplay: 'short', maximumFractionDigits: value < 10 ? 1 : 0 }).format(value);
}

const SPANS = [['day', 86_400], ['hour', 3600], ['minute', 60], ['second', 1]] as const;

/** A duration by its two largest units: 3d 4h, in the locale's narrow form. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const first = Math.max(0, SPANS.findIndex(([, span]) => whole >= span));
  const start = whole < 1 ? SPANS.length - 1 : first;
  let rest = whole;
  return SPANS.slice(start, start + 2).map(([unit, span]) => {
    const count = Math.floor(rest / span);
    rest %= span;
    return { unit, count };
  }).filter(({ count }, i) => i === 0 || count > 0)
    .map(({ unit, count }) => new Intl.NumberFormat(locale(), { style: 'unit', unit, unitDisplay: 'narrow' }).format(count))
    .join(' ');
}

/** The seconds of a duration as the API writes it: "41.290s". */
export const seconds = (text: string | undefined): number => Number.parseFloat(text ?? '') || 0;

export const clock = (date: Date): string => date.toLocaleTimeString(locale(), { hour: '2-digit', minute: '2-digit', second: '2-digit' });

export const dateTime = (date: Date): string => date.toLocaleString(locale(), { dateStyle: 'medium', timeStyle: 'medium' });

/** 3 minutes ago, in 5 seconds. */
export function relative(date: Date, now: number): string {
  const away = (date.getTime() - now) / 1000;
  const format = new Intl.RelativeTimeFormat(locale(), { numeric: 'auto', style: 'short' });
  const [unit, span] = SPANS.find(([, length]) => Math.abs(away) >= length) ?? ['second', 1];
  return format.format(Math.trunc(away / span), unit);
}

/** JSON for people: on one line if it is short. */
export function json(value: unknown): string {
  const line = JSON.stringify(value) ?? '';
  return line.length <= 72 ? line : JSON.stringify(value, null, 2);
}

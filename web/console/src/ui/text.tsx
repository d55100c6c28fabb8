// Texts that come from outside: names, JSON, times. They are only ever set as text.
import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { dateTime, relative } from '../format';
import { useTexts } from '../i18n';

// Characters that would be invisible, or would change the order of what stands around them.
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]/gu;

const codePoint = (char: string) => `U+${(char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`;

/** Shows the text of a stranger: isolated from the direction of what follows, and with nothing hidden in it. */
export function Name({ value, empty, long = false }: { value: string; empty?: string; long?: boolean }) {
  const t = useTexts();
  if (value === '') return <span class="quiet">{empty ?? t.common.none}</span>;
  return <bdi class={long ? 'name long' : 'name'} title={value.length > 24 ? value : undefined}>{spelledOut(value)}</bdi>;
}

function spelledOut(value: string): ComponentChildren {
  const parts: ComponentChildren[] = [];
  let from = 0;
  for (const found of value.matchAll(HIDDEN)) {
    parts.push(value.slice(from, found.index), <span class="codepoint">{codePoint(found[0])}</span>);
    from = found.index + found[0].length;
  }
  return from === 0 ? value : [...parts, value.slice(from)];
}

/** Shows `code` in a text of the page as code. */
export function Rich({ text }: { text: string }) {
  return <>{text.split('`').map((part, i) => (i % 2 ? <code>{part}</code> : part))}</>;
}

/** A moment: how long ago, and exactly when on hover. */
export function Time({ iso }: { iso: string | null | undefined }) {
  const now = useNow();
  if (!iso) return <span class="quiet">–</span>;
  const date = new Date(iso);
  return <time dateTime={iso} title={dateTime(date)}>{relative(date, now)}</time>;
}

/** The current time, to the second. */
export function useNow(every = 1000): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}

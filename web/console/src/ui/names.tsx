// Fields for several names, and for JSON.
import { useRef } from 'preact/hooks';
import { useTexts } from '../i18n';
import { type Fault, jsonFault } from '../json';
import { Button } from './button';
import { TextArea } from './form';

/** A field for names, one a line. text.ts reads it. */
export function NamesField({ label, hint, error, value, onInput }: { label: string; hint?: string; error?: string; value: string; onInput: (value: string) => void }) {
  return <div class="names"><TextArea label={label} hint={hint} error={error} rows={1} value={value} onInput={onInput} /></div>;
}

const AROUND = 24; // characters on each side of the fault

/** A field for JSON. It says where a text stops being JSON, shows the place, and goes there. */
export function JSONField({ label, hint, error, value, onInput, rows = 4 }: { label: string; hint?: string; error?: string; value: string; onInput: (value: string) => void; rows?: number }) {
  const t = useTexts();
  const frame = useRef<HTMLDivElement>(null);
  const fault = value.trim() === '' ? undefined : jsonFault(value);
  function goThere() {
    const area = frame.current?.querySelector('textarea');
    if (!area || !fault) return;
    area.focus();
    area.setSelectionRange(fault.offset, Math.min(value.length, fault.offset + 1));
  }
  return (
    <div class="json-field" ref={frame}>
      <TextArea label={label} hint={hint} error={fault ? t.json.at(fault.line, fault.column, t.json.expected[fault.what]) : error} rows={rows} value={value} onInput={onInput} />
      {fault && (
        <div class="json-place">
          <pre aria-hidden="true">{place(value, fault)}</pre>
          <Button kind="quiet" onClick={goThere}>{t.json.goThere}</Button>
        </div>
      )}
    </div>
  );
}

// The text around a fault, and a mark below it.
function place(text: string, { offset }: Fault): string {
  const start = Math.max(text.lastIndexOf('\n', offset - 1) + 1, offset - AROUND);
  const end = text.indexOf('\n', offset);
  const line = text.slice(start, Math.min(end < 0 ? text.length : end, offset + AROUND)).replaceAll('\t', ' ');
  return `${line}\n${' '.repeat(offset - start)}^`;
}

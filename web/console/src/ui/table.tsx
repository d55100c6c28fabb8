// Tables that the broker pages, searches and sorts. On phones, each row is a small card.
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { useTexts } from '../i18n';
import { number } from '../format';
import { Icon } from './icon';

export interface Column<Row> {
  id: string;
  label: string;
  cell: (row: Row) => ComponentChildren;
  /** Numbers are aligned at the right. */
  numeric?: boolean;
  /** So are controls in the last column, whose heading is only heard. */
  end?: boolean;
  /** The value for onOrder, if the broker can sort by the column, and which way it then sorts. */
  order?: { value: string; direction: 'ascending' | 'descending' };
}

export interface TableProps<Row> {
  label: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  rowKey: (row: Row) => string;
  order?: string;
  onOrder?: (value: string) => void;
  /** Whether other rows are on their way. */
  busy?: boolean;
}

/** The first column is the row's heading. The arrow keys move between the links and buttons of rows. */
export function Table<Row>({ label, columns, rows, rowKey, order, onOrder, busy = false }: TableProps<Row>) {
  const body = useRef<HTMLTableSectionElement>(null);
  return (
    <div class={busy ? 'table-frame busy' : 'table-frame'}>
      <table aria-label={label} aria-busy={busy}>
        <thead>
          <tr>{columns.map((column) => <Head key={column.id} column={column} order={order} onOrder={onOrder} />)}</tr>
        </thead>
        <tbody ref={body} onKeyDown={(event) => moveFocus(event, body.current)}>
          {rows.map((row) => (
            <tr key={rowKey(row)}>
              {columns.map((column, i) => {
                const className = classOf(column);
                return i === 0
                  ? <th key={column.id} scope="row" class={className}>{column.cell(row)}</th>
                  : <td key={column.id} class={className} data-label={column.label}>{column.cell(row)}</td>;
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const classOf = <Row,>({ numeric, end }: Column<Row>) => (numeric ? 'numeric' : end ? 'align-end' : undefined);

function Head<Row>({ column, order, onOrder }: { column: Column<Row>; order: string | undefined; onOrder: ((value: string) => void) | undefined }) {
  const sorted = column.order && column.order.value === order;
  return (
    <th scope="col" class={classOf(column)} aria-sort={sorted ? column.order?.direction : undefined}>
      {column.order && onOrder
        ? <button type="button" class="sort" onClick={() => onOrder(column.order?.value ?? '')}>{column.label}<span aria-hidden="true">{sorted ? (column.order.direction === 'ascending' ? ' ↑' : ' ↓') : ' ↕'}</span></button>
        : column.end ? <span class="unseen">{column.label}</span> : column.label}
    </th>
  );
}

// The same control of the row above or below, or the first one if that row has fewer.
function moveFocus(event: KeyboardEvent, body: HTMLElement | null): void {
  const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
  const row = event.target instanceof HTMLElement ? event.target.closest('tr') : null;
  if (!step || !row || !body) return;
  const controls = (element: Element | undefined) => [...(element?.querySelectorAll<HTMLElement>('a[href], button') ?? [])];
  const rows = [...body.children];
  const next = controls(rows[rows.indexOf(row) + step]);
  const same = controls(row).indexOf(event.target as HTMLElement);
  const target = next[same] ?? next[0];
  if (!target) return;
  event.preventDefault();
  target.focus();
}

export interface Paging {
  /** The token of the page that is shown; empty for the first. */
  token: string;
  /** Which page is shown, from 1. */
  page: number;
  next: (token: string) => void;
  previous: () => void;
  first: () => void;
}

/** Remembers the way through the pages of a list. Another list, by its key, begins at its first page. */
export function usePaging(list: string): Paging {
  const [way, setWay] = useState<{ list: string; tokens: string[] }>({ list, tokens: [] });
  const tokens = way.list === list ? way.tokens : [];
  useEffect(() => {
    if (way.list !== list) setWay({ list, tokens: [] });
  }, [list]);
  return {
    token: tokens.at(-1) ?? '',
    page: tokens.length + 1,
    next: (token) => setWay({ list, tokens: [...tokens, token] }),
    previous: () => setWay({ list, tokens: tokens.slice(0, -1) }),
    first: () => setWay({ list, tokens: [] }),
  };
}

/** The way to other pages. It is left out when there is only one. */
export function Pager({ paging, nextToken, label }: { paging: Paging; nextToken: string | undefined; label: string }) {
  const t = useTexts();
  if (paging.page === 1 && !nextToken) return null;
  return (
    <nav class="pager" aria-label={label}>
      <button type="button" class="button plain" disabled={paging.page === 1} onClick={paging.previous}><Icon name="back" /><span>{t.common.previous}</span></button>
      <span aria-live="polite">{t.common.page(number(paging.page))}</span>
      <button type="button" class="button plain" disabled={!nextToken} onClick={() => paging.next(nextToken ?? '')}><span>{t.common.next}</span><Icon name="next" /></button>
    </nav>
  );
}

// All rooms: searched, sorted and paged by the broker.
import { listRooms } from '../api/calls';
import type { Room, RoomList } from '../api/types';
import { number } from '../format';
import { usePoll } from '../hooks/poll';
import { useTexts } from '../i18n';
import { link, setQuery, useLocation } from '../router';
import { NamespaceField } from '../ui/filters';
import { Search, Select } from '../ui/form';
import { Card, Page } from '../ui/page';
import { Same } from '../ui/same';
import { Empty, Loaded } from '../ui/state';
import { type Column, Pager, Table, usePaging } from '../ui/table';
import { Name } from '../ui/text';

const EVERY = 1000;
const PAGE_SIZE = 50;

const BY_NAME = 'ROOM_ORDER_NAME';
const BY_SOCKETS = 'ROOM_ORDER_SOCKETS';

export function Rooms() {
  const t = useTexts();
  const { query } = useLocation();
  const search = query.get('q') ?? '';
  const namespace = query.get('namespace') ?? '';
  const order = query.get('order') === 'sockets' ? BY_SOCKETS : BY_NAME;
  const paging = usePaging(`${search}\n${namespace}\n${order}`);
  const call = listRooms({ namespace, query: search, order: order === BY_NAME ? '' : order, pageSize: PAGE_SIZE, pageToken: paging.token });
  const poll = usePoll(call, EVERY);
  if (poll.error?.reason === 'PAGE_EXPIRED' && paging.page > 1) paging.first();
  const setOrder = (value: string) => setQuery({ order: value === BY_SOCKETS ? 'sockets' : '' });
  return (
    <Page title={t.rooms.title} intro={t.rooms.intro}>
      <div class="toolbar">
        <Search label={t.rooms.search} value={search} onSearch={(q) => setQuery({ q })} />
        <NamespaceField value={namespace} placeholder={t.common.allNamespaces} />
        <Select label={t.common.order} value={order} onChange={setOrder} options={[{ value: BY_NAME, label: t.rooms.byName }, { value: BY_SOCKETS, label: t.rooms.bySockets }]} />
      </div>
      <Card flush>
        <Loaded poll={poll} lines={8}>
          {(answer) => <RoomTable answer={answer} searched={Boolean(search || namespace)} order={order} onOrder={setOrder} busy={poll.stale} />}
        </Loaded>
      </Card>
      <Pager paging={paging} nextToken={poll.stale ? '' : poll.data?.nextPageToken} label={t.rooms.pages} />
      <Same call={call} />
    </Page>
  );
}

function RoomTable({ answer, searched, order, onOrder, busy }: { answer: RoomList; searched: boolean; order: string; onOrder: (order: string) => void; busy: boolean }) {
  const t = useTexts();
  if (answer.rooms.length === 0) {
    return searched ? <Empty title={t.rooms.noneFound} text={t.rooms.noneFoundText} /> : <Empty title={t.rooms.none} text={t.rooms.noneText} />;
  }
  const columns: Column<Room>[] = [
    { id: 'name', label: t.rooms.room, order: { value: BY_NAME, direction: 'ascending' }, cell: (room) => <a href={link('rooms', room.namespace, room.name)}><Name value={room.name} /></a> },
    { id: 'namespace', label: t.common.namespace, cell: (room) => <Name value={room.namespace} /> },
    { id: 'sockets', label: t.sockets.title, numeric: true, order: { value: BY_SOCKETS, direction: 'descending' }, cell: (room) => number(room.sockets) },
  ];
  return (
    <>
      <Table label={t.rooms.title} columns={columns} rows={answer.rooms} rowKey={(room) => `${room.namespace}\n${room.name}`} order={order} onOrder={onOrder} busy={busy} />
      {answer.truncated && <p class="hint padded">{t.rooms.truncated}</p>}
    </>
  );
}

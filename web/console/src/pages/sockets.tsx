// All sockets: searched by user, id or address, and filtered by what the address of the page says.
import { useState } from 'preact/hooks';
import { disconnect, listSockets } from '../api/calls';
import type { Socket } from '../api/types';
import { number } from '../format';
import { usePoll } from '../hooks/poll';
import { useTexts } from '../i18n';
import { link, setQuery, useLocation } from '../router';
import { useDenial } from '../session';
import { Button } from '../ui/button';
import { Filters, NamespaceField } from '../ui/filters';
import { Search } from '../ui/form';
import { Card, Page } from '../ui/page';
import { Same } from '../ui/same';
import { Badge, Empty, Loaded } from '../ui/state';
import { type Column, Pager, Table, usePaging } from '../ui/table';
import { Name, Time } from '../ui/text';
import { DisconnectDialog, RevokeDialog } from './socket-actions';

const EVERY = 1000;
const PAGE_SIZE = 50;

export function Sockets() {
  const t = useTexts();
  const { query } = useLocation();
  const [search, namespace, user, room] = ['q', 'namespace', 'user', 'room'].map((name) => query.get(name) ?? '') as [string, string, string, string];
  const paging = usePaging([search, namespace, user, room].join('\n'));
  const call = listSockets({ namespace, query: search, user, room, pageSize: PAGE_SIZE, pageToken: paging.token });
  const poll = usePoll(call, EVERY);
  const narrowed = Boolean(search || namespace || user || room);
  return (
    <Page title={t.sockets.title} intro={t.sockets.intro} actions={user && <UserActions user={user} namespace={namespace} onDone={poll.refresh} />}>
      <div class="toolbar">
        <Search label={t.sockets.search} value={search} onSearch={(q) => setQuery({ q })} />
        <NamespaceField value={namespace} placeholder={t.common.allNamespaces} />
      </div>
      <Filters active={[{ name: 'user', label: t.users.user, value: user }, { name: 'room', label: t.rooms.room, value: room }]} />
      <Card flush>
        <Loaded poll={poll} lines={8}>
          {({ sockets, nextPageToken }) => (sockets.length === 0 && !nextPageToken
            ? <Empty title={narrowed ? t.sockets.noneFound : t.sockets.none} text={narrowed ? t.sockets.noneFoundText : t.sockets.noneText} />
            : sockets.length === 0 ? <Empty title={t.sockets.goOn} /> : <SocketTable sockets={sockets} busy={poll.stale} />)}
        </Loaded>
      </Card>
      <Pager paging={paging} nextToken={poll.stale ? '' : poll.data?.nextPageToken} label={t.sockets.pages} />
      <Same call={call} />
    </Page>
  );
}

// Actions on all sockets of the user whose sockets are listed.
function UserActions({ user, namespace, onDone }: { user: string; namespace: string; onDone: () => void }) {
  const t = useTexts();
  const denial = useDenial();
  const [open, setOpen] = useState<'disconnect' | 'revoke'>();
  const place = namespace || '/';
  return (
    <>
      <Button denied={denial('sockets:write', { namespace: place })} onClick={() => setOpen('disconnect')}>{t.sockets.disconnectUser}</Button>
      <Button kind="danger" denied={denial('tokens:issue')} onClick={() => setOpen('revoke')}>{t.sockets.revoke}</Button>
      {open === 'disconnect' && (
        <DisconnectDialog
          title={t.sockets.disconnectUserTitle(user)}
          text={t.sockets.disconnectUserText(place)}
          call={(reason) => disconnect({ namespace: place, users: [user] }, reason)}
          onDone={onDone}
          onClose={() => setOpen(undefined)}
        />
      )}
      {open === 'revoke' && <RevokeDialog user={user} onDone={onDone} onClose={() => setOpen(undefined)} />}
    </>
  );
}

export function SocketTable({ sockets, busy, within }: { sockets: readonly Socket[]; busy?: boolean; within?: string }) {
  const t = useTexts();
  const columns: Column<Socket>[] = [
    { id: 'id', label: t.sockets.id, cell: ({ id }) => <a href={link('sockets', id)}><code class="id"><Name value={id} /></code></a> },
    { id: 'user', label: t.users.user, cell: ({ user }) => (user ? <a href={link('sockets', { user })}><Name value={user} /></a> : <span class="quiet">{t.sockets.anonymous}</span>) },
    ...(within ? [] : [{ id: 'namespace', label: t.common.namespace, cell: ({ namespace }: Socket) => <Name value={namespace} /> }]),
    { id: 'state', label: t.sockets.state, cell: ({ state }) => <SocketStateBadge state={state} /> },
    { id: 'transport', label: t.sockets.transport, cell: ({ transport }) => transport },
    { id: 'address', label: t.sockets.address, cell: ({ address }) => <span class="nowrap"><Name value={address} /></span> },
    { id: 'rooms', label: t.rooms.title, numeric: true, cell: ({ rooms }) => number(rooms.length) },
    { id: 'since', label: t.sockets.since, numeric: true, cell: ({ connectTime }) => <Time iso={connectTime} /> },
  ];
  return <Table label={t.sockets.title} columns={columns} rows={sockets} rowKey={({ id }) => id} busy={busy} />;
}

export function SocketStateBadge({ state }: { state: Socket['state'] }) {
  const t = useTexts();
  if (state === 'SOCKET_STATE_AWAY') return <Badge tone="warn">{t.sockets.away}</Badge>;
  return <Badge tone="good">{t.sockets.connected}</Badge>;
}

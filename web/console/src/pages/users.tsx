// The users that are connected to a namespace.
import { listUsers } from '../api/calls';
import type { PresentUser } from '../api/types';
import { json, number } from '../format';
import { usePoll } from '../hooks/poll';
import { useTexts } from '../i18n';
import { link, setQuery, useLocation } from '../router';
import { NamespaceField } from '../ui/filters';
import { Search } from '../ui/form';
import { Card, Page } from '../ui/page';
import { Same } from '../ui/same';
import { Empty, Loaded } from '../ui/state';
import { type Column, Pager, Table, usePaging } from '../ui/table';
import { Name } from '../ui/text';

const EVERY = 1000;
const PAGE_SIZE = 50;

export function Users() {
  const t = useTexts();
  const { query } = useLocation();
  const search = query.get('q') ?? '';
  const namespace = query.get('namespace') ?? '';
  const paging = usePaging(`${search}\n${namespace}`);
  const call = listUsers({ namespace, query: search, pageSize: PAGE_SIZE, pageToken: paging.token });
  const poll = usePoll(call, EVERY);
  return (
    <Page title={t.users.title} intro={t.users.intro}>
      <div class="toolbar">
        <Search label={t.users.search} value={search} onSearch={(q) => setQuery({ q })} />
        <NamespaceField value={namespace} placeholder="/" />
      </div>
      <Card flush>
        <Loaded poll={poll} lines={8}>
          {({ users }) => (users.length === 0
            ? <Empty title={search ? t.users.noneFound : t.users.none} text={search ? t.users.noneFoundText : t.users.noneText} />
            : <UserTable users={users} namespace={namespace || '/'} busy={poll.stale} />)}
        </Loaded>
      </Card>
      <Pager paging={paging} nextToken={poll.stale ? '' : poll.data?.nextPageToken} label={t.users.pages} />
      <Same call={call} />
    </Page>
  );
}

export function UserTable({ users, namespace, busy }: { users: readonly PresentUser[]; namespace: string; busy?: boolean }) {
  const t = useTexts();
  const columns: Column<PresentUser>[] = [
    { id: 'user', label: t.users.user, cell: ({ user }) => <a href={link('sockets', { user, namespace })}><Name value={user} /></a> },
    { id: 'sockets', label: t.sockets.title, numeric: true, cell: ({ sockets }) => number(sockets) },
    { id: 'data', label: t.users.data, cell: ({ data }) => (data === null || data === undefined ? <span class="quiet">–</span> : <code class="clip">{json(data)}</code>) },
  ];
  return <Table label={t.users.title} columns={columns} rows={users} rowKey={({ user }) => user} busy={busy} />;
}

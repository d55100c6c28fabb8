// One socket: who it is, where it is, what it does, and what can be done with it.
import { useRef, useState } from 'preact/hooks';
import { disconnect, getSocket } from '../api/calls';
import type { SessionInfo, Socket } from '../api/types';
import { bytes, json, number } from '../format';
import { usePoll } from '../hooks/poll';
import { useTexts } from '../i18n';
import type { PageParams } from '../pages';
import { link } from '../router';
import { useDenial } from '../session';
import { Button, ButtonLink } from '../ui/button';
import { LiveEvents } from '../ui/live';
import { Card, Facts, Page } from '../ui/page';
import { Same } from '../ui/same';
import { Badge, Empty, Loaded } from '../ui/state';
import { Name, Time } from '../ui/text';
import { DisconnectDialog, JoinDialog, LeaveDialog, RevokeDialog } from './socket-actions';
import { SocketStateBadge } from './sockets';

const EVERY = 800; // a change shows within a second

export function SocketPage({ params }: PageParams) {
  const t = useTexts();
  const id = params.id ?? '';
  const call = getSocket(id);
  const poll = usePoll(call, EVERY);
  const socket = poll.data?.socket;
  const known = useRef<Socket | undefined>(undefined);
  known.current = socket ?? known.current;
  return (
    <Page
      title={`${id} · ${t.sockets.socket}`}
      heading={<code><Name value={id} long /></code>}
      back={{ href: link('sockets'), label: t.sockets.title }}
      actions={known.current && <SocketActions socket={known.current} gone={!socket} onDone={poll.refresh} />}
    >
      {poll.error?.reason === 'SOCKET_NOT_FOUND'
        ? <Card><Empty title={t.socket.gone} text={t.socket.goneText} /></Card>
        : (
          <Loaded poll={poll}>
            {(answer) => (
              <>
                <Identity socket={answer.socket} />
                <div class="columns">
                  <RoomsOf socket={answer.socket} onDone={poll.refresh} />
                  <Data socket={answer.socket} />
                </div>
                {answer.socket.user && <LiveEvents namespace={answer.socket.namespace} user={answer.socket.user} socket={answer.socket.id} />}
              </>
            )}
          </Loaded>
        )}
      <Same call={call} />
    </Page>
  );
}

function Identity({ socket }: { socket: Socket }) {
  const t = useTexts();
  return (
    <Card>
      <Facts
        items={[
          [t.users.user, socket.user ? <a href={link('sockets', { user: socket.user })}><Name value={socket.user} long /></a> : <span class="quiet">{t.sockets.anonymous}</span>],
          [t.sockets.state, <SocketStateBadge state={socket.state} />],
          [t.common.namespace, <Name value={socket.namespace} />],
          [t.sockets.transport, socket.transport],
          [t.sockets.address, <Name value={socket.address} />],
          [t.sockets.since, <Time iso={socket.connectTime} />],
          [t.overview.node, <code><Name value={socket.node} /></code>],
          ...sessionFacts(t, socket.session),
        ]}
      />
    </Card>
  );
}

function sessionFacts(t: ReturnType<typeof useTexts>, session: SessionInfo | null | undefined) {
  if (session === undefined) return []; // a broker that doesn't say
  if (session === null) return [[t.socket.session, <span class="quiet">{t.socket.noSession}</span>] as const];
  return [
    [t.socket.session, session.complete ? <Badge tone="good">{t.socket.complete}</Badge> : <Badge tone="bad">{t.socket.incomplete}</Badge>] as const,
    [t.socket.kept, t.socket.keptEvents(number(session.events), bytes(Number(session.bytes)))] as const,
    ...(session.awayTime ? [[t.socket.awaySince, <><Time iso={session.awayTime} /> <span class="quiet">{session.awayReason}</span></>] as const] : []),
    ...(session.expireTime ? [[t.socket.expires, <Time iso={session.expireTime} />] as const] : []),
  ];
}

function RoomsOf({ socket, onDone }: { socket: Socket; onDone: () => void }) {
  const t = useTexts();
  const denied = useDenial()('sockets:write', { namespace: socket.namespace });
  const [leaving, setLeaving] = useState<string>();
  const [joining, setJoining] = useState(false);
  const selector = { namespace: socket.namespace, sockets: [socket.id] };
  return (
    <Card title={t.rooms.title} note={number(socket.rooms.length)} actions={<Button denied={denied} onClick={() => setJoining(true)}>{t.sockets.joinRoom}</Button>} flush>
      {socket.rooms.length === 0 ? <Empty title={t.socket.noRooms} /> : (
        <ul class="rows" aria-label={t.rooms.title}>
          {socket.rooms.map((room) => (
            <li key={room}>
              <a href={link('rooms', socket.namespace, room)}><Name value={room} /></a>
              <Button kind="quiet" denied={denied} label={t.sockets.leaveRoom(room)} onClick={() => setLeaving(room)}>{t.sockets.leave}</Button>
            </li>
          ))}
        </ul>
      )}
      {joining && <JoinDialog selector={selector} onDone={onDone} onClose={() => setJoining(false)} />}
      {leaving !== undefined && <LeaveDialog selector={selector} room={leaving} onDone={onDone} onClose={() => setLeaving(undefined)} />}
    </Card>
  );
}

function Data({ socket }: { socket: Socket }) {
  const t = useTexts();
  const empty = socket.data === null || socket.data === undefined;
  return (
    <Card title={t.users.data}>
      {empty ? <Empty title={t.socket.noData} text={t.socket.noDataText} /> : <pre class="payload" tabIndex={0} aria-label={t.users.data}>{json(socket.data)}</pre>}
    </Card>
  );
}

// A dialog stays open when the socket goes, since that may be what it has done.
function SocketActions({ socket, gone, onDone }: { socket: Socket; gone: boolean; onDone: () => void }) {
  const t = useTexts();
  const denial = useDenial();
  const [open, setOpen] = useState<'disconnect' | 'revoke'>();
  return (
    <>
      {socket.user && <ButtonLink href={link('explain', { namespace: socket.namespace, user: socket.user })} icon="explain">{t.room.explain}</ButtonLink>}
      {!gone && <Button denied={denial('sockets:write', { namespace: socket.namespace })} onClick={() => setOpen('disconnect')}>{t.sockets.disconnect}</Button>}
      {socket.user && <Button kind="danger" denied={denial('tokens:issue')} onClick={() => setOpen('revoke')}>{t.sockets.revoke}</Button>}
      {open === 'disconnect' && (
        <DisconnectDialog
          title={t.sockets.disconnectTitle}
          text={t.sockets.disconnectText}
          call={(reason) => disconnect({ namespace: socket.namespace, sockets: [socket.id] }, reason)}
          onDone={onDone}
          onClose={() => setOpen(undefined)}
        />
      )}
      {open === 'revoke' && <RevokeDialog user={socket.user} onDone={onDone} onClose={() => setOpen(undefined)} />}
    </>
  );
}

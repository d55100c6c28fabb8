// A client to try things with: it connects, joins rooms and sends, and a backend sends to it.
import { useState } from 'preact/hooks';
import { type Call, send } from '../api/call';
import { type Report, sendMessage } from '../api/emit';
import { type ApiError, asApiError } from '../api/error';
import { disconnect, join, leave, request, useConnection } from '../client/connection';
import { Ended, useEnter } from '../client/enter';
import { LogCard } from '../client/log';
import { number } from '../format';
import { useTexts } from '../i18n';
import { link } from '../router';
import { Button } from '../ui/button';
import { Segmented, TextField } from '../ui/form';
import { Card, Page } from '../ui/page';
import { Same } from '../ui/same';
import { Badge, Empty, Problem } from '../ui/state';
import { announce } from '../ui/toast';
import { Name } from '../ui/text';

export function TryIt() {
  const t = useTexts();
  return (
    <Page title={t.tryIt.title} intro={t.tryIt.intro}>
      <div class="tryit">
        <div class="stack">
          <Connect />
          <Rooms />
          <Send />
        </div>
        <div class="beside"><LogCard empty={t.tryIt.logHint} /></div>
      </div>
    </Page>
  );
}

function Connect() {
  const t = useTexts();
  const connection = useConnection();
  const { enter, error } = useEnter();
  const [user, setUser] = useState(connection.user || 'ada');
  const [namespace, setNamespace] = useState(connection.namespace);
  const off = connection.state === 'off';
  return (
    <Card title={t.tryIt.connection} actions={<ConnectionBadge />}>
      {off ? (
        <form
          class="form"
          onSubmit={(event) => {
            event.preventDefault();
            void enter(user, namespace);
          }}
        >
          <div class="pair">
            <TextField label={t.users.user} value={user} onInput={setUser} required />
            <TextField label={t.common.namespace} value={namespace} onInput={setNamespace} required />
          </div>
          <Ended connection={connection} />
          {error && <Problem error={error} />}
          <Button submit kind="primary">{t.tryIt.connect}</Button>
        </form>
      ) : (
        <p class="row between">
          <span><Name value={connection.user} /> · <a href={link('sockets', connection.id)}><code>{connection.id}</code></a></span>
          <Button onClick={disconnect}>{t.sockets.disconnect}</Button>
        </p>
      )}
    </Card>
  );
}

function ConnectionBadge() {
  const t = useTexts();
  const { state } = useConnection();
  const tone = state === 'on' ? 'good' : 'plain';
  return <span role="status"><Badge tone={tone}>{state === 'on' ? t.sockets.connected : state === 'off' ? t.tryIt.notConnected : t.tryIt.connecting}</Badge></span>;
}

function Rooms() {
  const t = useTexts();
  const connection = useConnection();
  const [room, setRoom] = useState('lobby');
  const on = connection.state === 'on';
  return (
    <Card title={t.rooms.title}>
      <form
        class="inline"
        onSubmit={(event) => {
          event.preventDefault();
          void join(room);
        }}
      >
        <TextField label={t.tryIt.joinRoom} value={room} onInput={setRoom} required />
        <Button submit disabled={!on || !room}>{t.sockets.join}</Button>
      </form>
      {connection.rooms.length > 0 ? (
        <ul class="rows bare" aria-label={t.tryIt.myRooms}>
          {connection.rooms.map((each) => (
            <li key={each}>
              <a href={link('rooms', connection.namespace, each)}><Name value={each} /></a>
              <Button kind="quiet" label={`${t.tryIt.leave} ${each}`} onClick={() => void leave(each)}>{t.tryIt.leave}</Button>
            </li>
          ))}
        </ul>
      ) : <Empty title={t.tryIt.noRooms} />}
    </Card>
  );
}

type Via = 'client' | 'backend';
type To = 'room' | 'everyone';

// The events that the relay rules of --dev pass on.
const RELAYED: Record<To, string> = { room: 'my_event', everyone: 'shout' };

function Send() {
  const t = useTexts();
  const connection = useConnection();
  const [via, setVia] = useState<Via>('client');
  const [to, setTo] = useState<To>('room');
  const [room, setRoom] = useState('lobby');
  const [event, setEvent] = useState('news');
  const [message, setMessage] = useState(t.tryIt.hello);
  const [error, setError] = useState<ApiError>();
  const call = via === 'backend' ? callFor({ namespace: connection.namespace, to, room, event, message }) : undefined;

  async function run() {
    setError(undefined);
    if (!call) {
      const argument = parse(message);
      const fields = typeof argument === 'object' && argument !== null && !Array.isArray(argument) ? argument : { message: argument };
      await request(RELAYED[to], to === 'room' ? { ...fields, room } : fields);
      return;
    }
    try {
      const { matched, queued } = await send(call);
      announce(t.tryIt.sent(matched, number(queued)));
    } catch (thrown) {
      setError(asApiError(thrown));
    }
  }

  return (
    <Card title={t.tryIt.send}>
      <form
        class="form"
        onSubmit={(submitted) => {
          submitted.preventDefault();
          void run();
        }}
      >
        <div class="pair wide">
          <Segmented label={t.tryIt.as} value={via} onChange={setVia} options={[{ value: 'client', label: t.tryIt.asClient }, { value: 'backend', label: t.tryIt.asBackend }]} />
          <Segmented label={t.tryIt.to} value={to} onChange={setTo} options={[{ value: 'room', label: t.tryIt.toRoom }, { value: 'everyone', label: t.tryIt.toEveryone }]} />
        </div>
        <div class="pair">
          {to === 'room' && <TextField label={t.rooms.room} value={room} onInput={setRoom} required />}
          {via === 'backend' && <TextField label={t.room.event} value={event} onInput={setEvent} required mono />}
        </div>
        <TextField label={t.tryIt.message} hint={t.tryIt.messageHint} value={message} onInput={setMessage} required />
        {error && <Problem error={error} />}
        <Button submit kind="primary" disabled={via === 'client' && connection.state !== 'on'}>{t.tryIt.send}</Button>
        {call ? <Same call={call} /> : <p class="hint">{t.tryIt.relayed(RELAYED[to])}</p>}
      </form>
    </Card>
  );
}

function callFor({ namespace, to, room, event, message }: { namespace: string; to: To; room: string; event: string; message: string }): Call<Report> {
  const target = to === 'room' ? { rooms: [room] } : { everyone: true };
  return sendMessage({ namespace, ...target, event, args: JSON.stringify([parse(message)]) });
}

/** Returns the JSON value of a text, or the text itself if it isn't JSON. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

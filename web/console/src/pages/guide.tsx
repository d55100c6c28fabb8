// The first five minutes: from a token to an event that arrives, and on to a backend. Each step knows
// when it is done.
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { type Call, send } from '../api/call';
import { sendMessage } from '../api/emit';
import { type ApiError, asApiError } from '../api/error';
import { type IssuedToken, issueToken } from '../api/tokens';
import { join, useConnection, useLog } from '../client/connection';
import { Ended, tokenFor, useEnter } from '../client/enter';
import { LogCard } from '../client/log';
import { useConfig } from '../config';
import { usePoll } from '../hooks/poll';
import { useTexts } from '../i18n';
import { link } from '../router';
import { Button, ButtonLink, CopyButton } from '../ui/button';
import { TextField } from '../ui/form';
import { Icon } from '../ui/icon';
import { Page } from '../ui/page';
import { Same } from '../ui/same';
import { Problem } from '../ui/state';
import { Name, Rich } from '../ui/text';

const ROOM = 'lobby';
const EVENT = 'news';
const hello = sendMessage({ namespace: '/', rooms: [ROOM], event: EVENT, args: '["Hello from a backend"]' });

export function Guide() {
  const t = useTexts();
  const [user, setUser] = useState('ada');
  const [token, setToken] = useState<IssuedToken>();
  const connection = useConnection();
  const log = useLog();
  const connected = connection.state === 'on';
  const joined = connection.rooms.includes(ROOM);
  const arrived = log.some(({ kind, name }) => kind === 'in' && name === EVENT);
  return (
    <Page title={t.guide.title} intro={t.guide.intro}>
      <div class="guide">
        <ol class="steps">
          <TokenStep user={user} setUser={setUser} token={token} setToken={setToken} done={token !== undefined || connected} />
          <ConnectStep user={user} token={token} done={connected} />
          <Step n={3} title={t.guide.join} text={t.guide.joinText} done={joined}>
            <Button kind="primary" disabled={!connected || joined} onClick={() => void join(ROOM)}>{t.guide.joinDo}</Button>
          </Step>
          <EmitStep ready={joined} done={arrived} />
          <BackendStep />
          <Step n={6} title={t.guide.next} text={t.guide.nextText}>
            <div class="actions">
              <ButtonLink href={link('try')} icon="tryit">{t.tryIt.title}</ButtonLink>
              <ButtonLink href={link('rooms')} icon="rooms">{t.rooms.title}</ButtonLink>
            </div>
          </Step>
        </ol>
        <div class="beside"><LogCard empty={t.guide.logEmpty} /></div>
      </div>
    </Page>
  );
}

function Step({ n, title, text, done = false, children }: { n: number; title: string; text: string; done?: boolean; children?: ComponentChildren }) {
  const t = useTexts();
  return (
    <li class={done ? 'step done' : 'step'}>
      <span class="step-mark" aria-hidden="true">{done ? <Icon name="check" /> : n}</span>
      <div class="step-body">
        <h2>{title}{done && <span class="unseen"> ({t.guide.done})</span>}</h2>
        <p class="quiet"><Rich text={text} /></p>
        {children}
      </div>
    </li>
  );
}

function TokenStep({ user, setUser, token, setToken, done }: { user: string; setUser: (user: string) => void; token: IssuedToken | undefined; setToken: (token: IssuedToken) => void; done: boolean }) {
  const t = useTexts();
  const { busy, error, run } = useRun();
  const call = issueToken(tokenFor(user));
  return (
    <Step n={1} title={t.guide.token} text={t.guide.tokenText} done={done}>
      <form
        class="inline"
        onSubmit={(event) => {
          event.preventDefault();
          void run(call, setToken);
        }}
      >
        <TextField label={t.users.user} value={user} onInput={setUser} required />
        <Button submit kind={done ? 'plain' : 'primary'} disabled={busy || !user}>{t.guide.tokenDo}</Button>
      </form>
      {error && <Problem error={error} />}
      {token && <p class="row"><code class="clip">{token.token}</code><CopyButton text={token.token} label={t.guide.tokenName} /></p>}
      <Same call={call} />
    </Step>
  );
}

function ConnectStep({ user, token, done }: { user: string; token: IssuedToken | undefined; done: boolean }) {
  const t = useTexts();
  const connection = useConnection();
  const { enter, error } = useEnter();
  const { publicUrl = '', path = '/socket.io/' } = useConfig();
  const code = stockClient(publicUrl, path);
  return (
    <Step n={2} title={t.guide.connect} text={t.guide.connectText} done={done}>
      <p class="row">
        <Button kind={done ? 'plain' : 'primary'} disabled={!token || connection.state !== 'off'} onClick={() => void enter(user, '/', token?.token)}>{t.guide.connectDo}</Button>
        {done && <span>{t.guide.connected} <Name value={connection.user} /> · <code>{connection.id}</code></span>}
      </p>
      {error && <Problem error={error} />}
      <Ended connection={connection} />
      <details class="same">
        <summary>{t.guide.stock}</summary>
        <div class="same-head"><code>npm i socket.io-client</code><CopyButton text={code} label={t.guide.stock} /></div>
        <pre tabIndex={0} aria-label={t.guide.stock}><code>{code}</code></pre>
      </details>
    </Step>
  );
}

/** The program of a page that uses the stock client. */
export function stockClient(publicUrl: string, path: string): string {
  const options = path === '/socket.io/' ? '' : `path: ${JSON.stringify(path)}, `;
  return `import { io } from "socket.io-client";

const socket = io(${JSON.stringify(publicUrl)}, { ${options}auth: { token } });
socket.on("connect", () => socket.emit("join", { room: "${ROOM}" }));
socket.on("${EVENT}", (text) => console.log(text));
socket.on("connect_error", (err) => console.error(err.message, err.data));`;
}

function EmitStep({ ready, done }: { ready: boolean; done: boolean }) {
  const t = useTexts();
  const { busy, error, run } = useRun();
  return (
    <Step n={4} title={t.guide.emit} text={t.guide.emitText} done={done}>
      <p class="row"><Button kind={done || !ready ? 'plain' : 'primary'} disabled={busy} onClick={() => void run(hello, () => {})}>{t.guide.emitDo}</Button></p>
      {error && <Problem error={error} />}
      <Same call={hello} open />
    </Step>
  );
}

interface GroupList {
  groups: { observes: boolean; members: unknown[] }[];
}

// Subscriptions of all kinds: `sala tail` is one that only observes.
const listGroups: Call<GroupList> = { method: 'GET', path: 'groups', rpc: 'ObserveService/ListGroups', message: {} };

function BackendStep() {
  const t = useTexts();
  const groups = usePoll(listGroups, 2000);
  const subscribed = groups.data?.groups.some(({ members }) => members.length > 0) ?? false;
  return (
    <Step n={5} title={t.guide.backend} text={t.guide.backendText} done={subscribed}>
      <Command text="sala tail" />
      <p class="quiet"><Rich text={t.guide.backendThen} /></p>
    </Step>
  );
}

function Command({ text }: { text: string }) {
  return <div class="command"><code>{text}</code><CopyButton text={text} label={text} /></div>;
}

// One call at a time, and what went wrong with it.
function useRun() {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError>();
  async function run<Answer>(call: Call<Answer>, done: (answer: Answer) => void): Promise<void> {
    setBusy(true);
    setError(undefined);
    try {
      done(await send(call));
    } catch (thrown) {
      setError(asApiError(thrown));
    } finally {
      setBusy(false);
    }
  }
  return { busy, error, run };
}

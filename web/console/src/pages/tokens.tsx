// Tokens: issue, verify and revoke what clients connect with.
import { useState } from 'preact/hooks';
import { type Call, send } from '../api/call';
import { type ApiError, asApiError } from '../api/error';
import { type Claims, type IssuedToken, type Revoked, type Verdict, issueToken, revokeTokens, verifyToken } from '../api/tokens';
import { type Texts, useTexts } from '../i18n';
import { jsonFault } from '../json';
import { useLocation } from '../router';
import { names } from '../text';
import { ActionDialog } from '../ui/action';
import { Button, CopyButton } from '../ui/button';
import { Checkbox, Segmented, Select, TextArea, TextField } from '../ui/form';
import { Icon } from '../ui/icon';
import { JSONField, NamesField } from '../ui/names';
import { Card, Facts, Page } from '../ui/page';
import { Same } from '../ui/same';
import { Problem } from '../ui/state';
import { Name, Time } from '../ui/text';
import { json } from '../format';

type Tab = 'issue' | 'verify' | 'revoke';
const TABS: readonly Tab[] = ['issue', 'verify', 'revoke'];

export function Tokens() {
  const t = useTexts();
  const { query } = useLocation();
  const revoke = query.get('revoke') ?? '';
  const [tab, setTab] = useState<Tab>(query.has('revoke') ? 'revoke' : 'issue');
  return (
    <Page title={t.tokens.title} intro={t.tokens.intro}>
      <div class="tabs"><Segmented label={t.tokens.title} value={tab} options={TABS.map((value) => ({ value, label: t.tokens.tabs[value] }))} onChange={setTab} /></div>
      {tab === 'issue' && <Issue />}
      {tab === 'verify' && <Verify />}
      {tab === 'revoke' && <Revoke offered={revoke} />}
    </Page>
  );
}

/** Sends a call when asked to, and holds its answer or its error. */
function useCall<Answer>() {
  const [answer, setAnswer] = useState<Answer>();
  const [error, setError] = useState<ApiError>();
  const [busy, setBusy] = useState(false);
  async function run(call: Call<Answer>) {
    if (busy) return;
    setBusy(true);
    setError(undefined);
    setAnswer(undefined);
    try {
      setAnswer(await send(call));
    } catch (thrown) {
      setError(asApiError(thrown));
    } finally {
      setBusy(false);
    }
  }
  return { answer, error, busy, run, forget: () => setAnswer(undefined) };
}

const HOUR = 3600;
const TTLS = { [HOUR / 4]: 'quarter', [HOUR]: 'hour', [24 * HOUR]: 'day', [7 * 24 * HOUR]: 'week', [30 * 24 * HOUR]: 'month' } as const;

const LISTS = ['rooms', 'join', 'publish', 'history', 'presence', 'namespaces'] as const;

function Issue() {
  const t = useTexts();
  const i = t.tokens.issue;
  const [user, setUser] = useState('');
  const [ttl, setTTL] = useState(String(HOUR));
  const [lists, setLists] = useState<Record<(typeof LISTS)[number], string>>({ rooms: '', join: '', publish: '', history: '', presence: '', namespaces: '' });
  const [broadcast, setBroadcast] = useState(false);
  const [data, setData] = useState('');
  const { answer, error, busy, run, forget } = useCall<IssuedToken>();
  const broken = data.trim() !== '' && jsonFault(data) !== undefined;
  const call = user.trim() === '' || broken ? undefined : issueToken({
    user: user.trim(), ttl: `${ttl}s`, broadcast, data: data.trim() === '' ? undefined : (JSON.parse(data) as unknown),
    rooms: names(lists.rooms), join: names(lists.join), publish: names(lists.publish), history: names(lists.history), presence: names(lists.presence), namespaces: names(lists.namespaces),
  });
  return (
    <form
      class="columns"
      onSubmit={(event) => {
        event.preventDefault();
        if (call) void run(call);
      }}
    >
      <div class="column">
        <Card title={i.title}>
          <TextField label={i.user} hint={i.userHint} value={user} onInput={setUser} required />
          <Select label={i.ttl} value={ttl} options={Object.entries(TTLS).map(([value, name]) => ({ value, label: i.ttls[name] }))} onChange={setTTL} />
          {LISTS.map((list) => <NamesField key={list} label={i.lists[list]} hint={i.hints[list]} value={lists[list]} onInput={(text) => setLists({ ...lists, [list]: text })} />)}
          <Checkbox label={i.broadcast} checked={broadcast} onChange={setBroadcast} />
          <JSONField label={i.data} hint={i.dataHint} rows={2} value={data} onInput={setData} />
        </Card>
      </div>
      <div class="column">
        <Card title={i.result}>
          <Button submit kind="primary" icon="tokens" disabled={!call || busy}>{busy ? t.common.working : i.submit}</Button>
          {!call && <p class="hint">{broken ? i.fixData : i.needUser}</p>}
          <div role="status">{answer && <Issued issued={answer} onForget={forget} />}</div>
          {error && <Problem error={error} />}
        </Card>
        {call && <Same call={call} />}
      </div>
    </form>
  );
}

function Issued({ issued, onForget }: { issued: IssuedToken; onForget: () => void }) {
  const t = useTexts();
  const i = t.tokens.issue;
  return (
    <div class="issued">
      <div class="note good"><Icon name="check" /><div><p class="strong">{i.done}</p><p>{i.once}</p></div></div>
      <div class="secret"><pre tabIndex={0} aria-label={i.token}><code>{issued.token}</code></pre></div>
      <div class="actions"><CopyButton text={issued.token} label={i.token} /><Button kind="quiet" onClick={onForget}>{i.hide}</Button></div>
      <Facts items={[[t.tokens.facts.tokenId, <code><Name value={issued.tokenId} /></code>], [t.tokens.facts.expires, <Time iso={issued.expireTime} />]]} />
    </div>
  );
}

function Verify() {
  const t = useTexts();
  const v = t.tokens.verify;
  const [token, setToken] = useState('');
  const { answer, error, busy, run } = useCall<Verdict>();
  const ready = token.trim() !== '';
  return (
    <form
      class="columns"
      onSubmit={(event) => {
        event.preventDefault();
        if (ready) void run(verifyToken(token.trim()));
        setToken('');
      }}
    >
      <div class="column">
        <Card title={v.title}>
          <TextArea label={v.token} hint={v.hint} rows={5} value={token} onInput={setToken} />
          <Button submit kind="primary" disabled={!ready || busy}>{busy ? t.common.working : v.submit}</Button>
        </Card>
        <Same call={{ ...verifyToken('<token>'), cli: ['token', 'verify', '-'] }} />
      </div>
      <div class="column">
        <Card title={v.result}>
          <div role="status">{answer && <Judged verdict={answer} t={t} />}</div>
          {error && <Problem error={error} />}
          {!answer && !error && <p class="quiet">{v.noResult}</p>}
        </Card>
      </div>
    </form>
  );
}

function Judged({ verdict, t }: { verdict: Verdict; t: Texts }) {
  const v = t.tokens.verify;
  if (!verdict.valid) {
    return <div class="note bad"><Icon name="alert" /><div><p class="strong">{v.refused} <code>{verdict.reason}</code></p><p>{verdict.message}</p></div></div>;
  }
  return (
    <>
      <div class="note good"><Icon name="check" /><p class="strong">{v.valid}</p></div>
      {verdict.claims && <Facts items={claimsOf(verdict.claims, t)} />}
    </>
  );
}

function claimsOf(claims: Claims, t: Texts) {
  const f = t.tokens.facts;
  const list = (values: string[], empty: string) => (values.length ? <ul class="plain">{values.map((value) => <li><Name value={value} /></li>)}</ul> : <span class="quiet">{empty}</span>);
  return [
    [f.user, <Name value={claims.user} />],
    [f.tokenId, <code><Name value={claims.tokenId} /></code>],
    [f.issued, <Time iso={claims.issueTime} />],
    [f.expires, <Time iso={claims.expireTime} />],
    [f.namespaces, list(claims.namespaces, f.all)],
    [f.rooms, list(claims.rooms, f.none)],
    [f.join, list(claims.join, f.none)],
    [f.publish, list(claims.publish, f.none)],
    [f.history, list(claims.history, f.none)],
    [f.presence, list(claims.presence, f.none)],
    [f.broadcast, claims.broadcast ? f.yes : f.no],
    [f.data, claims.data === null ? f.none : <code>{json(claims.data)}</code>],
  ] as const;
}

function Revoke({ offered }: { offered: string }) {
  const t = useTexts();
  const r = t.tokens.revoke;
  const [by, setBy] = useState<'user' | 'id'>('user');
  const [user, setUser] = useState(offered);
  const [before, setBefore] = useState('');
  const [id, setID] = useState('');
  const [confirming, setConfirming] = useState(false);
  const time = before === '' ? '' : new Date(before).toISOString();
  const name = (by === 'user' ? user : id).trim();
  return (
    <form
      class="columns"
      onSubmit={(event) => {
        event.preventDefault();
        if (name) setConfirming(true);
      }}
    >
      <div class="column">
        <Card title={r.title}>
          <p class="quiet">{r.text}</p>
          <Segmented label={r.by} value={by} options={[{ value: 'user', label: r.byUser }, { value: 'id', label: r.byID }]} onChange={setBy} />
          {by === 'user'
            ? <><TextField label={r.user} value={user} onInput={setUser} /><BeforeField label={r.before} hint={r.beforeHint} value={before} onInput={setBefore} /></>
            : <TextField label={r.id} hint={r.idHint} value={id} mono onInput={setID} />}
          <Button submit kind="danger" disabled={!name}>{r.submit}</Button>
        </Card>
      </div>
      {confirming && (
        <ActionDialog<Revoked>
          title={r.confirmTitle}
          text={by === 'user' ? r.confirmUser(name) : r.confirmID(name)}
          confirm={r.submit}
          danger
          call={revokeTokens(by === 'user' ? { user: name, issuedBefore: time } : { tokenId: name })}
          result={(revoked) => (revoked.notStored ? `${r.done(revoked.disconnected)} ${r.notStored}` : r.done(revoked.disconnected))}
          onClose={() => setConfirming(false)}
        />
      )}
    </form>
  );
}

function BeforeField({ label, hint, value, onInput }: { label: string; hint: string; value: string; onInput: (value: string) => void }) {
  return (
    <div class="field">
      <label for="issued-before">{label}</label>
      <input id="issued-before" type="datetime-local" value={value} aria-describedby="issued-before-hint" onInput={(event) => onInput(event.currentTarget.value)} />
      <p class="hint" id="issued-before-hint">{hint}</p>
    </div>
  );
}

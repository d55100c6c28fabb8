// The sign-in: a page of its own at first, a dialog over the page when the key stops being valid.
import { useEffect, useState } from 'preact/hooks';
import { type ApiError, asApiError } from '../api/error';
import { useConfig } from '../config';
import { useTexts } from '../i18n';
import { signIn, signOut } from '../session';
import { Button } from './button';
import { Dialog } from './dialog';
import { TextField } from './form';
import { Icon } from './icon';
import { LanguageChoice, ThemeChoice } from './preferences';
import { advice } from './state';
import { Rich } from './text';

function SignInForm({ offered = '', onTried, onOut }: { offered?: string; onTried?: () => void; onOut?: () => void }) {
  const t = useTexts();
  const [key, setKey] = useState(offered);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError>();

  async function submit(text: string) {
    if (busy) return;
    setBusy(true);
    setError(undefined);
    try {
      await signIn(text.trim());
    } catch (thrown) {
      setError(asApiError(thrown));
      setBusy(false);
    }
  }
  useEffect(() => {
    if (!offered) return;
    onTried?.();
    void submit(offered);
  }, []);

  return (
    <form
      class="form"
      onSubmit={(event) => {
        event.preventDefault();
        void submit(key);
      }}
    >
      {/* Password managers file the key under a name. */}
      <input class="unseen" type="text" name="username" autocomplete="username" value="sala" readOnly tabIndex={-1} aria-hidden="true" />
      <TextField label={t.signIn.key} type="password" name="password" autocomplete="current-password" value={key} onInput={setKey} required mono autofocus />
      {error && (
        <div class="note bad" role="alert">
          <Icon name="alert" />
          <div>
            <p class="strong">{error.kind === 'key' ? t.signIn.wrong : advice(t, error)}</p>
            {error.message && !['key', 'unreachable'].includes(error.kind) && <p>{error.message}{error.reason && <> <code>{error.reason}</code></>}</p>}
          </div>
        </div>
      )}
      <div class="dialog-actions">
        {onOut && <Button onClick={onOut}>{t.signIn.out}</Button>}
        <Button submit kind="primary" disabled={busy || !key.trim()}>{busy ? t.signIn.checking : t.signIn.submit}</Button>
      </div>
    </form>
  );
}

export function SignInPage({ offered, onTried }: { offered: string; onTried: () => void }) {
  const t = useTexts();
  const { version, dev } = useConfig();
  useEffect(() => {
    document.title = `${t.signIn.title} · Sala`;
  }, [t]);
  return (
    <div class="signin">
      <main class="signin-card">
        <img src="icon.svg" alt="" width="48" height="48" />
        <h1>{t.signIn.heading}</h1>
        <p class="intro">{t.signIn.intro}</p>
        <SignInForm offered={offered} onTried={onTried} />
        <p class="hint"><Rich text={dev ? t.signIn.whereDev : t.signIn.where} /></p>
        <p class="hint">{t.signIn.kept}</p>
      </main>
      <footer class="signin-foot">
        <LanguageChoice />
        <ThemeChoice />
        {version && <span class="quiet">Sala {version}</span>}
      </footer>
    </div>
  );
}

/** Asks for a valid key, and leaves the page beneath as it is. */
export function SignInAgain() {
  const t = useTexts();
  return (
    <Dialog title={t.signIn.again}>
      <p>{t.signIn.refused}</p>
      <SignInForm onOut={signOut} />
    </Dialog>
  );
}

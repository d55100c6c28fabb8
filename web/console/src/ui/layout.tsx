// What is around every page: the navigation at the side, or in a drawer on phones.
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { checkVersion, dismissNewerVersion, useConfig, useNewerVersion } from '../config';
import { useVisible } from '../hooks/visible';
import { useTexts } from '../i18n';
import { NAV_GROUPS, PAGES, type PageEntry } from '../pages';
import { link, useLocation } from '../router';
import { refreshKey, signOut, useDenial, useSession } from '../session';
import { Button } from './button';
import { Dialog } from './dialog';
import { Icon } from './icon';
import { LanguageChoice, ThemeChoice } from './preferences';
import { Name } from './text';

const CHECK_EVERY = 30_000;

export function Layout({ current, children }: { current: PageEntry | undefined; children: ComponentChildren }) {
  const t = useTexts();
  const location = useLocation();
  const [open, setOpen] = useState(false);
  const main = useRef<HTMLElement>(null);
  const shown = location.segments.join('/');
  const first = useRef(true);
  useRegularChecks();

  // Another page begins at its top, and with its heading for those who hear it.
  useEffect(() => {
    setOpen(false);
    if (first.current) {
      first.current = false;
      return;
    }
    window.scrollTo(0, 0);
    main.current?.querySelector('h1')?.focus({ preventScroll: true });
  }, [shown]);

  return (
    <div class="layout">
      <a class="skip" href="#main" onClick={(event) => {
        event.preventDefault();
        main.current?.focus();
      }}>{t.nav.skip}</a>
      <header class="topbar">
        <Button kind="quiet" icon="menu" onClick={() => setOpen(true)}>{t.nav.menu}</Button>
        <Brand />
      </header>
      <aside class="sidebar">
        <Brand />
        <Navigation current={current} />
        <Account />
      </aside>
      {open && (
        <Dialog title={t.nav.menu} drawer onClose={() => setOpen(false)}>
          <Navigation current={current} />
          <Account />
        </Dialog>
      )}
      <main id="main" ref={main} tabIndex={-1}>
        <NewerVersion />
        {children}
      </main>
    </div>
  );
}

// Rolling updates replace the broker beneath the page, and a reload can change the key's scopes.
function useRegularChecks(): void {
  const visible = useVisible();
  const signedIn = useSession().state === 'in';
  useEffect(() => {
    if (!visible || !signedIn) return undefined;
    const check = () => {
      void checkVersion();
      void refreshKey();
    };
    const timer = setInterval(check, CHECK_EVERY);
    return () => clearInterval(timer);
  }, [visible, signedIn]);
}

function Brand() {
  return (
    <a class="brand" href={link()}>
      <img src="icon.svg" alt="" width="32" height="32" />
      <span>Sala</span>
    </a>
  );
}

function Navigation({ current }: { current: PageEntry | undefined }) {
  const t = useTexts();
  const { dev } = useConfig();
  const denial = useDenial();
  const section = current?.path.split('/')[0];
  return (
    <nav class="nav" aria-label={t.nav.label}>
      {NAV_GROUPS.map((group) => {
        const pages = PAGES.filter((page) => page.nav?.group === group && (dev || !page.dev));
        if (pages.length === 0) return null;
        return (
          <div key={group}>
            <h2>{t.nav[group]}</h2>
            <ul>
              {pages.map((page) => {
                const reason = page.scope ? denial(page.scope) : '';
                return (
                  <li key={page.path}>
                    <a href={link(...page.path.split('/').filter(Boolean))} class={reason ? 'locked' : undefined} title={reason || undefined} aria-current={page.path === section ? 'page' : undefined}>
                      <Icon name={page.nav?.icon ?? 'overview'} />
                      <span>{page.nav?.label(t)}</span>
                      {reason && <span class="unseen">, {reason}</span>}
                    </a>
                  </li>
                );
              })}
            </ul>
          </div>
        );
      })}
    </nav>
  );
}

function Account() {
  const t = useTexts();
  const session = useSession();
  const { version, dev } = useConfig();
  const name = session.state === 'out' ? '' : session.key?.name ?? '';
  return (
    <div class="account">
      <LanguageChoice />
      <ThemeChoice />
      <div class="account-row">
        <p class="quiet">{name ? <>{t.nav.key} <Name value={name} /></> : t.nav.signedIn}</p>
        <Button kind="quiet" icon="out" onClick={signOut}>{t.signIn.out}</Button>
      </div>
      {version && <p class="quiet version">Sala {version}{dev && ' · --dev'}</p>}
    </div>
  );
}

function NewerVersion() {
  const t = useTexts();
  const { version } = useConfig();
  const newer = useNewerVersion();
  if (!newer) return null;
  return (
    <div class="note info" role="status">
      <Icon name="alert" />
      <div>
        <p class="strong">{t.version.title(newer)}</p>
        <p>{t.version.text(version)}</p>
      </div>
      <Button onClick={() => window.location.reload()}>{t.version.reload}</Button>
      <Button kind="quiet" onClick={dismissNewerVersion}>{t.version.later}</Button>
    </div>
  );
}

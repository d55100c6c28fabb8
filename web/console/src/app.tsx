// The console: signed out, or a page in its frame.
import { useEffect, useState } from 'preact/hooks';
import { useConfig } from './config';
import { useLanguage, useTexts } from './i18n';
import { PAGES, type PageEntry } from './pages';
import { link, match, navigate, useLocation } from './router';
import { useDenial, useSession } from './session';
import { ButtonLink } from './ui/button';
import { Layout } from './ui/layout';
import { Page } from './ui/page';
import { SignInAgain, SignInPage } from './ui/signin';
import { Empty } from './ui/state';
import { Toasts } from './ui/toast';

/** offered is a key that came with the address: it is tried at once. */
export function App({ offered }: { offered: string }) {
  const session = useSession();
  useLanguage(); // texts outside of components follow it too
  const [untried, setUntried] = useState(offered);
  if (session.state === 'out') return <><SignInPage offered={untried} onTried={() => setUntried('')} /><Toasts /></>;
  return <><Signed /><Toasts />{session.state === 'refused' && <SignInAgain />}</>;
}

function Signed() {
  const location = useLocation();
  const { dev } = useConfig();
  const denial = useDenial();
  const found = find(location.segments, dev);
  useEffect(() => {
    // Somebody who has just signed in, and may not see the first page, begins with one that shows something.
    const may = (page: PageEntry) => !page.scope || !denial(page.scope);
    const allowed = PAGES.find((page) => page.nav && (dev || !page.dev) && may(page));
    if (location.segments.length === 0 && found && !may(found.page) && allowed) navigate(link(allowed.path));
  }, []);
  return (
    <Layout current={found?.page}>
      {found ? <Shown key={location.segments.join('\n')} page={found.page} params={found.params} /> : <NoSuchPage />}
    </Layout>
  );
}

function find(segments: string[], dev: boolean): { page: PageEntry; params: Record<string, string> } | undefined {
  for (const page of PAGES) {
    if (page.dev && !dev) continue;
    const params = match(page.path, segments);
    if (params) return { page, params };
  }
  return undefined;
}

function Shown({ page, params }: { page: PageEntry; params: Record<string, string> }) {
  const t = useTexts();
  const reason = useDenial()(page.scope ?? 'rooms:read');
  if (page.scope && reason) {
    const title = page.nav?.label(t) ?? t.denied.title;
    return <Page title={title}><Empty title={t.denied.title} text={`${reason} ${t.denied.advice}`} /></Page>;
  }
  const Component = page.component;
  return <Component params={params} />;
}

function NoSuchPage() {
  const t = useTexts();
  return (
    <Page title={t.notFound.title}>
      <Empty title={t.notFound.text}><ButtonLink href={link()}>{t.notFound.home}</ButtonLink></Empty>
    </Page>
  );
}

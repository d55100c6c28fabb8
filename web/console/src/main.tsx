import { render } from 'preact';
import { App } from './app';
import { isDev, loadConfig } from './config';
import { showLanguage } from './i18n';
import { showTheme } from './preferences';
import { signIn } from './session';

// `sala serve --dev` prints an address with the key in its fragment, which browsers send to no
// server. It leaves the address bar at once, so that it isn't bookmarked or shared.
function takeKey(): string {
  const parameters = new URLSearchParams(location.hash.slice(1));
  const key = location.hash.startsWith('#key=') ? parameters.get('key') ?? '' : '';
  if (key) history.replaceState(null, '', `${location.pathname}${location.search}#/`);
  return key;
}

const offered = takeKey();
window.addEventListener('hashchange', () => {
  const key = takeKey(); // the address was opened in this tab once more
  if (key) void signIn(key).catch(() => {}); // who is signed in stays so
});
showTheme();
showLanguage();
await loadConfig();
if (offered && isDev()) location.replace('#/guide'); // for those who have just started a broker
const root = document.getElementById('app');
if (root) render(<App offered={offered} />, root);

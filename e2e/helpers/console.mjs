// The console in Chromium: signing in, and what must hold on every page of it.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { DESKTOP, open } from './browser.mjs';
import { canary } from './leaks.mjs';

// SCOPES are all scopes of API keys, in the order of the documentation.
export const SCOPES = ['tokens:issue', 'rooms:read', 'rooms:clear', 'messages:read', 'messages:write', 'presence:read', 'emit', 'broadcast',
  'sockets:read', 'sockets:write', 'events', 'cluster:read', 'cluster:write'];

// PAGES are the pages of the navigation by path: what each needs, any of several scopes.
export const PAGES = {
  '/': { name: 'Overview', scopes: ['cluster:read'] },
  '/rooms': { name: 'Rooms', scopes: ['rooms:read'] },
  '/sockets': { name: 'Sockets', scopes: ['sockets:read'] },
  '/users': { name: 'Users', scopes: ['presence:read'] },
  '/tail': { name: 'Live tail', scopes: ['events'] },
  '/explain': { name: 'Explain', scopes: ['sockets:read'] },
  '/send': { name: 'Send', scopes: ['emit', 'broadcast'] },
  '/tokens': { name: 'Tokens', scopes: ['tokens:issue'] },
  '/backends': { name: 'Backends', scopes: ['cluster:read'] },
  '/limits': { name: 'Limits', scopes: ['sockets:read'] },
};

export const PHONE_390 = { width: 390, height: 844 };

// Keys are API keys that occur nowhere else: one that may do everything, and one for each scope.
export class Keys {
  all = canary();
  of = Object.fromEntries(SCOPES.map((scope) => [scope, canary()]));

  get config() {
    return [`ops=${this.all}`, ...SCOPES.map((scope) => `${scope.replace(':', '-')}=${this.of[scope]}:${scope}`)];
  }
}

// Watch records what a page asks for, and fails the test at its end if a request left the page's
// origin, or if a secret occurs anywhere but in the header that it belongs into.
export class Watch {
  #requests = [];

  constructor(page, origin, leaks) {
    Object.assign(this, { page, origin, leaks });
    page.on('request', (request) => this.#requests.push(request));
  }

  // paths returns the paths that have been asked for, with their queries.
  get paths() {
    return this.#requests.map((request) => request.url().replace(this.origin, ''));
  }

  async check() {
    for (const request of this.#requests) {
      const url = request.url();
      assert.ok(url.startsWith(`${this.origin}/`) || url.startsWith('data:'), `a request left the origin: ${url}`);
      this.leaks.none(`the URL ${url}`, url);
      const { authorization, ...headers } = await request.allHeaders();
      assert.ok(!authorization || authorization.startsWith('Bearer '), `the header authorization of ${url}`);
      this.leaks.none(`a header of ${url}`, JSON.stringify(headers));
    }
    await this.shows();
  }

  // shows fails if a secret is on the page, in its address, in its history or in any storage.
  async shows() {
    const kept = await this.page.evaluate(async () => JSON.stringify([
      document.documentElement.outerHTML, location.href, history.state, document.cookie, name, { ...localStorage }, { ...sessionStorage },
      await indexedDB.databases(), await caches.keys(), [...document.querySelectorAll('textarea, input:not([type=password])')].map(({ value }) => value),
    ]));
    this.leaks.none(`the page ${this.page.url()}`, kept);
  }
}

// visit opens the console as a new visitor who hasn't signed in yet.
export async function visit(t, shared, sala, { leaks, path = '/', ...options } = {}) {
  const page = await open(t, shared, 'about:blank', { viewport: DESKTOP, ...options });
  if (leaks) {
    const watch = new Watch(page, sala.http, leaks);
    page.watch = watch;
  }
  await page.goto(`${sala.http}/console/#${path}`);
  return page;
}

// enter signs in with a key by the keyboard alone, as a password manager's user does.
export async function enter(page, key) {
  await page.locator('input[type=password]').fill(key);
  await page.keyboard.press('Enter');
  await page.locator('.layout').waitFor();
}

// signIn opens the console and signs in.
export async function signIn(t, shared, sala, key, options) {
  const page = await visit(t, shared, sala, options);
  await enter(page, key);
  return page;
}

// go follows the navigation to a page, without loading the console again: the key would be gone.
export async function go(page, path) {
  await page.evaluate((to) => { location.hash = to; }, path);
  await page.locator('main h1').waitFor();
}

// choose selects one of a few that are all in view, by the keyboard.
export const choose = (page, name) => page.getByRole('radio', { name, exact: true }).press('Space');

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

// accessible fails if axe finds something serious or critical. The policy of the page forbids
// inline scripts, so axe comes over the debugger.
export async function accessible(page, where) {
  await page.evaluate(`window.axe || (() => { ${axe} })()`);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  const serious = violations.filter(({ impact }) => ['serious', 'critical'].includes(impact));
  assert.deepEqual(serious.map(({ id, nodes }) => ({ id, at: nodes.slice(0, 5).map(({ target, failureSummary }) => `${target}: ${failureSummary}`) })), [], `axe: ${where}`);
}

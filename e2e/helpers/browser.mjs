// Headless Chromium, and pages that must run without errors.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { after, before } from 'node:test';
import { chromium } from 'playwright-core';
import { ROOT } from './process.mjs';

export const CHROMIUM = process.env.CHROMIUM ?? ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
export const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run'];

export const LIGHT = { colorScheme: 'light' };
export const DARK = { colorScheme: 'dark' };
export const DESKTOP = { width: 1440, height: 900 };
export const PHONE = { width: 380, height: 800 };

// CLOSED_EARLY is what Chromium logs when a stock client closes its connection
// during the upgrade to WebSocket, as a refused client does: it gives up the
// WebSocket that it is opening, and ends a session that the broker may have
// closed already.
export const CLOSED_EARLY = /WebSocket is closed before the connection is established|400 \(Bad Request\)/;

// browser starts Chromium with an empty profile before the tests of a file and
// closes it after them.
export function browser() {
  const shared = {};
  before(async () => {
    shared.chromium = await chromium.launch({ executablePath: CHROMIUM, headless: true, args: ARGS });
  });
  after(() => shared.chromium?.close());
  return shared;
}

// open opens a page as a new visitor. Its errors, violations of its content
// security policy and failed loads fail the test at the end, unless expected
// matches them.
export async function open(t, shared, url, { viewport = DESKTOP, expected, ...options } = {}) {
  const context = await shared.chromium.newContext({ viewport, locale: 'en-GB', timezoneId: 'UTC', ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const complaints = [];
  const complain = (text) => { if (!expected?.test(text)) complaints.push(text); };
  page.on('console', (message) => { if (['error', 'warning'].includes(message.type())) complain(message.text()); });
  page.on('pageerror', (err) => complain(String(err)));
  t.after(async () => {
    await context.close();
    assert.deepEqual(complaints, [], `${url} complained`);
  });
  await page.goto(url);
  return page;
}

// shoot saves a screenshot to e2e/artifacts.
export async function shoot(page, name, options = {}) {
  await page.evaluate(() => document.fonts.ready);
  await page.screenshot({ path: path.join(ROOT, 'e2e/artifacts', `${name}.png`), animations: 'disabled', ...options });
}

// fits fails if the page is wider than its window.
export async function fits(page) {
  const [content, window] = await page.evaluate(() => [document.scrollingElement.scrollWidth, innerWidth]);
  assert.ok(content <= window, `the page is ${content} px wide in a window of ${window} px`);
}

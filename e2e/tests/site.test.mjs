// The navigation of the documentation site, which `make site` builds and nothing else looks at.
import assert from 'node:assert/strict';
import { test } from 'node:test';

test('every page of docs/ is in the navigation of the site', async () => {
  const { english, spanish } = await import('../../web/site/.vitepress/sidebar.mjs'); // throws if one isn't
  const links = Object.values(english.sidebar).flat().flatMap(({ items }) => items.map(({ link }) => link));
  assert.ok(links.includes('/events') && links.includes('/reference/errors'), links.join(' '));
  assert.ok(spanish.nav.length > 0);
});

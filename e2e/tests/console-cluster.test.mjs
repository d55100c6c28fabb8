// The console at a cluster: what one browser does another sees, whichever node either asks; a node
// that goes away is missing, not an error.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { browser } from '../helpers/browser.mjs';
import { login } from '../helpers/client.mjs';
import { Cluster } from '../helpers/cluster.mjs';
import { go, signIn } from '../helpers/console.mjs';
import { API_KEY, Sala } from '../helpers/sala.mjs';

const chromium = browser();
const LOST = /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_INCOMPLETE|400|404|503/;
const button = (page, name) => page.getByRole('button', { name, exact: true });
const row = (page, text) => page.getByRole('row').filter({ hasText: text });

test('two browsers at two nodes', async (t) => {
  const cluster = await Cluster.start(2);
  t.after(() => cluster.stop());
  const [first, second] = cluster.nodes;
  const [one, two] = [await signIn(t, chromium, first, API_KEY, { expected: LOST }), await signIn(t, chromium, second, API_KEY, { expected: LOST })];
  for (const { id } of cluster.nodes) await row(one, id).waitFor();

  await go(two, '/rooms/%2F/lobby');
  await two.getByText('Nobody is in this room').waitFor();
  const ana = await login(t, first, 'ana', {}, { rooms: ['lobby'] });
  await two.getByRole('link', { name: ana.id }).waitFor();

  await button(two, 'Emit').click();
  await two.getByRole('dialog').getByLabel('Event').fill('from-two');
  await button(two.getByRole('dialog'), 'Emit').click();
  await ana.next('from-two');
  await two.keyboard.press('Escape');

  await go(one, `/sockets/${ana.id}`);
  await button(two, 'Clear room').click();
  await button(two.getByRole('dialog'), 'Clear room').click();
  await one.getByText('This socket is in no room').waitFor();
  await two.keyboard.press('Escape');

  // A node dies: its own page says that what it shows is old, the other's goes on without it.
  await go(one, '/');
  await go(two, '/');
  await row(two, first.id).waitFor();
  const tail = await signIn(t, chromium, first, API_KEY, { path: '/tail', expected: LOST });
  const live = tail.getByRole('status').filter({ hasText: 'Live' });
  await live.waitFor();
  const http = first.addr.http;
  await cluster.lose(first);
  await one.getByRole('alert').filter({ hasText: 'Not updated since' }).first().waitFor();
  await tail.getByText('The connection was lost here').waitFor();
  await row(two, first.id).waitFor({ state: 'detached' });
  await row(two, second.id).waitFor();

  // Another takes its address: the page goes on by itself.
  const third = await Sala.start({ args: [...cluster.args, '--http-listen', http], config: cluster.config });
  cluster.nodes.push(third);
  await row(one, second.id).waitFor();
  await one.getByRole('alert').first().waitFor({ state: 'detached' });
  await live.waitFor();
  assert.equal(await tail.getByText('The connection was lost here').count(), 1, 'a loss is said once, however often the page tries');
});

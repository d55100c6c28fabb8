// The example chat, in Chromium: its sala.yaml, its page, its backend.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { DARK, LIGHT, PHONE, browser, fits, open, shoot } from '../helpers/browser.mjs';
import { Child, ROOT } from '../helpers/process.mjs';
import { Sala, freePort } from '../helpers/sala.mjs';

const CHAT = path.join(ROOT, 'examples/chat');
const API_KEY = 'clave_api_solo_para_probar_el_chat';
const chromium = browser();
let sala;
let chat;
let url;

before(async () => {
  const port = await freePort();
  url = `http://localhost:${port}`;
  sala = await new Sala().run(['--config', path.join(CHAT, 'sala.yaml')], {});
  const env = { PORT: String(port), SALA_HTTP_URL: sala.http, SALA_PUBLIC_URL: sala.url };
  chat = new Child(process.execPath, ['server.mjs'], { cwd: CHAT, env });
  await chat.see(({ stdout }) => stdout.includes('http://localhost:'), 'the address of the page');
});
after(async () => {
  assert.equal(await chat.end(), 0, chat.output);
  await sala.stop();
});

async function enter(t, username, room, options = {}) {
  const page = await open(t, chromium, url, { locale: 'es-ES', ...LIGHT, ...options });
  await page.getByLabel('Nombre').fill(username);
  await page.getByLabel('Sala', { exact: true }).fill(room);
  await page.getByRole('button', { name: 'Entrar' }).click();
  await shows(page, `${username} ha entrado en la sala ${room}.`);
  return page;
}

const line = (page, text) => page.locator('#messages li').filter({ hasText: text });
const shows = (page, text) => line(page, text).first().waitFor();

async function say(page, text, { all = false } = {}) {
  await page.getByLabel('A todos').setChecked(all);
  await page.getByLabel('Mensaje').fill(text);
  await page.getByRole('button', { name: 'Enviar' }).click();
}

test('the whole chat: enter, talk in a room, to all, list, leave, clear', async (t) => {
  const ana = await enter(t, 'Ana', 'general');
  const luis = await enter(t, 'Luis', 'general');
  await shows(ana, 'Luis ha entrado en la sala general.');
  const eva = await enter(t, 'Eva', 'cocina');

  await say(ana, '¿Alguien ha visto el plano de la planta baja?');
  await shows(ana, '¿Alguien ha visto el plano');
  await shows(luis, '¿Alguien ha visto el plano');
  await say(luis, 'Está en la mesa, junto a la ventana.');
  await shows(ana, 'Está en la mesa');
  await say(eva, 'El café está listo.', { all: true });
  await shows(ana, 'El café está listo.');
  await shows(luis, 'El café está listo.');
  await say(ana, 'Voy ahora mismo.');
  await shows(luis, 'Voy ahora mismo.');
  assert.equal(await line(eva, 'Voy ahora mismo.').count(), 0, 'what is said in a room stays there');
  assert.equal(await line(eva, 'El café está listo.').count(), 1, 'the sender sees its own line once');

  const rooms = ana.locator('#rooms button');
  await rooms.filter({ hasText: 'cocina' }).filter({ hasText: '1' }).waitFor();
  await rooms.filter({ hasText: 'general' }).filter({ hasText: '2' }).waitFor();
  await ana.setViewportSize({ width: 1280, height: 800 });
  await shoot(ana, 'chat-1280');

  await luis.getByRole('button', { name: 'Salir' }).click();
  await shows(ana, 'Luis ha salido de la sala general.');
  await rooms.filter({ hasText: 'cocina' }).click();
  await shows(eva, 'Ana ha entrado en la sala cocina.');
  const dialog = ana.getByRole('dialog', { name: '¿Eliminar la sala cocina?' });
  await ana.getByRole('button', { name: 'Eliminar sala' }).click();
  await dialog.getByRole('button', { name: 'Cancelar' }).click();
  await say(ana, 'La sala sigue aquí.');
  await shows(eva, 'La sala sigue aquí.');
  assert.equal(await line(eva, 'ha sido eliminada').count(), 0, 'a room is deleted only when that is confirmed');
  await ana.getByRole('button', { name: 'Eliminar sala' }).click();
  await dialog.getByRole('button', { name: 'Eliminar sala' }).click();
  for (const page of [ana, eva]) await shows(page, 'La sala cocina ha sido eliminada.');
  await eva.getByRole('button', { name: 'Enviar' }).and(eva.locator(':disabled')).waitFor();
  assert.equal((await sala.rest('GET', '/v1/rooms/cocina', undefined, { key: API_KEY })).status, 404);
});

test('who enters later sees what was said, who is there and who is typing', async (t) => {
  const ana = await enter(t, 'Ana', 'memoria');
  await say(ana, 'Esto se dijo antes.');
  await shows(ana, 'Esto se dijo antes.');
  const here = (page, names) => page.locator('#people').getByText(names, { exact: true }).waitFor();
  await here(ana, 'Ana');

  const luis = await enter(t, 'Luis', 'memoria');
  await shows(luis, 'Esto se dijo antes.');
  for (const page of [ana, luis]) await here(page, 'Ana, Luis');
  await luis.getByLabel('Mensaje').pressSequentially('Ya lo');
  await ana.getByText('Luis está escribiendo…').waitFor();
  assert.equal(await luis.locator('#typing').innerText(), '', 'not for oneself');
  await luis.getByRole('button', { name: 'Enviar' }).click();
  await shows(ana, 'Ya lo');
  assert.equal(await ana.locator('#typing').innerText(), '', 'who has sent it types no longer');

  for (const [size, viewport] of [['1440', { width: 1440, height: 900 }], ['390', { width: 390, height: 844 }]]) {
    for (const scheme of [LIGHT, DARK]) {
      const eva = await enter(t, `Eva ${size} ${scheme.colorScheme}`, 'memoria', { viewport, ...scheme });
      await shows(eva, 'Esto se dijo antes.');
      const typed = luis.getByLabel('Mensaje').pressSequentially('……………', { delay: 400 });
      await eva.getByText('Luis está escribiendo…').waitFor();
      await here(eva, `Ana, Eva ${size} ${scheme.colorScheme}, Luis`);
      await fits(eva);
      await typed;
      await shoot(eva, `chat-memory-${size}-${scheme.colorScheme}`);
      await eva.getByRole('button', { name: 'Salir' }).click();
    }
  }
  await here(ana, 'Ana, Luis');
  await luis.goto('about:blank');
  await here(ana, 'Ana');

  await ana.getByRole('button', { name: 'Eliminar sala' }).click();
  await ana.getByRole('dialog').getByRole('button', { name: 'Eliminar sala' }).click();
  await shows(ana, 'La sala memoria ha sido eliminada.');
  const nobody = await enter(t, 'Noa', 'memoria');
  assert.equal(await line(nobody, 'Esto se dijo antes.').count(), 0, 'a deleted room remembers nothing');
});

test('after a cut the page gets what it missed', async (t) => {
  const ana = await enter(t, 'Ana', 'corte', { expected: /ERR_INTERNET_DISCONNECTED|WebSocket|Failed to load|net::/ });
  const luis = await enter(t, 'Luis', 'corte');
  await say(luis, 'Antes del corte.');
  await shows(ana, 'Antes del corte.');
  await ana.context().setOffline(true);
  await ana.getByText('Sin conexión').waitFor();
  await say(luis, 'Durante el corte.');
  await shows(luis, 'Durante el corte.');
  await ana.context().setOffline(false);
  await ana.getByText('Conectado', { exact: true }).waitFor();
  await shows(ana, 'Durante el corte.');
  for (const text of ['Antes del corte.', 'Durante el corte.']) assert.equal(await line(ana, text).count(), 1, text);
});

test('the chat works in English too', async (t) => {
  const ana = await open(t, chromium, url, LIGHT);
  await ana.getByLabel('Name').fill('Ana');
  await ana.getByLabel('Room', { exact: true }).fill('general');
  await ana.getByRole('button', { name: 'Enter' }).click();
  await shows(ana, 'Ana has entered the room general.');
  assert.equal(await ana.locator('html').getAttribute('lang'), 'en');
  await shoot(ana, 'chat-en');
  const words = await ana.locator('body').innerText();
  assert.doesNotMatch(words, /Sala|Mensaje|Enviar|Salir|Conectado/);
});

test('a page whose origin Sala refuses, and a Sala that does not run, are explained', async (t) => {
  const other = new Child(process.execPath, ['server.mjs'], {
    cwd: CHAT,
    env: { HOST: '127.0.0.2', PORT: String(await freePort()), SALA_HTTP_URL: sala.http, SALA_PUBLIC_URL: sala.url },
  });
  const nobody = new Child(process.execPath, ['server.mjs'], {
    cwd: CHAT,
    env: { PORT: String(await freePort()), SALA_HTTP_URL: sala.http, SALA_PUBLIC_URL: `http://localhost:${await freePort()}` },
  });
  t.after(() => Promise.all([other.end(), nobody.end()]));
  for (const [child, says] of [[other, /Sala responde en .*añade http:\/\/127.0.0.2:\d+ a allowed_origins/], [nobody, /No hay respuesta de Sala en /]]) {
    await child.see(({ stdout }) => /http:\S+/.test(stdout), 'the address of the page');
    const [address] = /http:\S+/.exec(child.stdout.replace('localhost', child === other ? '127.0.0.2' : 'localhost'));
    const page = await open(t, chromium, address, { locale: 'es-ES', ...LIGHT, expected: /CORS|ERR_|WebSocket|40[34]/ });
    await page.getByLabel('Nombre').fill('Ana');
    await page.getByRole('button', { name: 'Entrar' }).click();
    await page.getByRole('alert').filter({ hasText: says }).waitFor();
  }
});

test('messages of others are shown as text', async (t) => {
  const ana = await enter(t, 'Ana', 'texto');
  const mallory = await enter(t, '<b>Mallory</b>', 'texto');
  await say(mallory, '<img src=x onerror=alert(1)>');
  await shows(ana, '<img src=x onerror=alert(1)>');
  assert.equal(await ana.locator('#messages img, #messages b').count(), 0);
});

test('the login is a JWT with user_id, and the API key stays with the server', async (t) => {
  const answer = await fetch(`${url}/login`, { method: 'POST', body: JSON.stringify({ username: 'ana' }) });
  const { token, ...rest } = await answer.json();
  assert.deepEqual(rest, {});
  const [header, claims] = token.split('.').slice(0, 2).map((part) => JSON.parse(Buffer.from(part, 'base64url')));
  assert.equal(header.alg, 'HS256');
  assert.equal(claims.user_id, 'ana');
  for (const file of ['/', '/chat.js', '/chat.css', '/config']) {
    assert.ok(!(await (await fetch(url + file)).text()).includes(API_KEY), `${file} does not hold the key`);
  }
  for (const [method, pathname] of [['GET', '/rooms'], ['POST', '/clear_room']]) {
    for (const headers of [{}, { authorization: 'Bearer forged' }]) {
      const refused = await fetch(url + pathname, { method, headers, body: method === 'POST' ? '{"room":"general"}' : undefined });
      assert.equal(refused.status, 401, `${method} ${pathname} wants a login`);
    }
  }
  for (const pathname of ['/server.mjs', '/sala.yaml', '/package.json', '/../sala.yaml', '/%2e%2e/sala.yaml']) {
    assert.equal((await fetch(url + pathname)).status, 404, pathname);
  }
  const page = await open(t, chromium, url, { locale: 'es-ES', expected: /400/ });
  await page.getByLabel('Nombre').fill(' ');
  assert.ok(await page.getByLabel('Nombre').isVisible());
});

test('after a restart of the broker the page reconnects by itself', async (t) => {
  const ana = await enter(t, 'Ana', 'vuelta', { expected: /ERR_CONNECTION_REFUSED|WebSocket|Failed to load|net::/ });
  const args = ['--config', path.join(CHAT, 'sala.yaml'), '--listen', new URL(sala.url).host,
    '--grpc-listen', sala.grpc, '--http-listen', new URL(sala.http).host];
  await sala.stop();
  await ana.getByText('Sin conexión').waitFor();
  sala = await new Sala().run(args, {});
  await ana.getByText('Conectado', { exact: true }).waitFor();
  await line(ana, 'Ana ha entrado en la sala vuelta.').nth(1).waitFor();
});

test('it fits a phone, in light and in dark', async (t) => {
  for (const [name, scheme] of [['light', LIGHT], ['dark', DARK]]) {
    await t.test(name, async (t) => {
      const first = await open(t, chromium, url, { viewport: PHONE, ...scheme });
      await fits(first);
      await shoot(first, `chat-login-${name}`);
      const page = await enter(t, 'Ana', `móvil ${name}`, { viewport: PHONE, ...scheme });
      await say(page, 'Una palabra muy larga: '.concat('a'.repeat(200)));
      await shows(page, 'Una palabra muy larga');
      await fits(page);
      await shoot(page, `chat-phone-${name}`);
    });
  }
});

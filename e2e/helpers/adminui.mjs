// The published page of the official Socket.IO Admin UI, served as an operator would.
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import { after, before } from 'node:test';

const DIST = path.join(path.dirname(createRequire(import.meta.url).resolve('@socket.io/admin-ui/package.json')), 'ui/dist');
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.png': 'image/png' };

// A font and the icons, which tests don't fetch. Without them the buttons are blank.
const REMOTE = /<link [^>]*href="https:[^>]*>/g;

// adminUI serves the page during the tests of a file. The object has its origin once they run.
export function adminUI() {
  const shared = {};
  let server;
  before(async () => {
    server = createServer(async (request, response) => {
      const { pathname } = new URL(request.url, 'http://localhost');
      const file = path.join(DIST, path.normalize(pathname === '/' ? '/index.html' : pathname));
      try {
        let body = await readFile(file);
        if (file.endsWith('.html')) body = String(body).replace(REMOTE, '');
        response.writeHead(200, { 'content-type': TYPES[path.extname(file)] ?? 'application/octet-stream' });
        response.end(body);
      } catch {
        response.writeHead(404).end();
      }
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    shared.origin = `http://127.0.0.1:${server.address().port}`;
  });
  after(() => server?.close());
  return shared;
}

// signIn fills in the form of the page.
export async function signIn(page, sala, name, key) {
  await page.getByLabel('Server URL').fill(sala.url);
  await page.getByLabel('Username').fill(name);
  await page.getByLabel('Password').fill(key);
  await page.getByRole('button', { name: 'Connect' }).click();
}

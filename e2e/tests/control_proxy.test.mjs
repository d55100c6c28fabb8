// The control API behind an nginx with a generic configuration, not made for Sala.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { login } from '../helpers/client.mjs';
import { Child } from '../helpers/process.mjs';
import { API_KEY, freePort } from '../helpers/sala.mjs';
import { broker, fresh } from '../helpers/suite.mjs';
import { deadline, until } from '../helpers/wait.mjs';

const shared = broker();

// nginx starts an nginx that passes everything on to the control API.
async function nginx(t, options) {
  const dir = mkdtempSync(path.join(tmpdir(), 'sala-e2e-'));
  const port = await freePort();
  const file = path.join(dir, 'nginx.conf');
  const places = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((what) => `${what}_temp_path ${dir}/${what};`).join(' ');
  writeFileSync(file, `events {}
    http { ${places} access_log off;
      server { listen 127.0.0.1:${port}; location / { proxy_pass ${shared.sala.http}; ${options} } } }`);
  const child = new Child('nginx', ['-p', dir, '-c', file, '-e', 'stderr', '-g', `daemon off; pid ${dir}/nginx.pid;`],
    { env: { PATH: `${process.env.PATH}:/usr/sbin:/sbin` } });
  t.after(async () => {
    await child.end('SIGTERM');
    rmSync(dir, { recursive: true, force: true });
  });
  const url = `http://127.0.0.1:${port}`;
  await until(() => {
    if (child.code !== undefined) throw new Error(`nginx ended with ${child.code}:\n${child.output}`);
    return fetch(`${url}/livez`).then(({ status }) => status === 200, () => false);
  }, 'nginx');
  return url;
}

for (const options of ['', 'proxy_http_version 1.1;', 'proxy_http_version 1.1; gzip on; gzip_types *;']) {
  test(`nginx passes acks on as they arrive: ${options || 'default options'}`, async (t) => {
    const url = await nginx(t, options);
    const room = fresh('room');
    const clients = await Promise.all(['ada', 'ben'].map((user) => login(t, shared.sala, user)));
    const asked = [];
    for (const client of clients) {
      await client.join(room);
      asked.push(new Promise((resolve) => client.socket.on('q', resolve)));
    }
    asked[0].then((answer) => answer('at once'));
    const response = await fetch(`${url}/v1/emit:ack`, {
      method: 'POST',
      headers: { authorization: `Bearer ${API_KEY}` },
      body: JSON.stringify({ rooms: [room], event: 'q', timeout: '10s' }),
    });
    assert.equal(response.headers.get('content-type'), 'application/x-ndjson');
    const lines = createInterface({ input: Readable.fromWeb(response.body) })[Symbol.asyncIterator]();
    const next = async (what) => JSON.parse((await deadline(lines.next(), what)).value).result;
    assert.equal((await next('the answer of the first')).ack.user, 'ada');
    (await asked[1])('late'); // only now, so nothing can have waited for it
    assert.equal((await next('the answer of the second')).ack.user, 'ben');
    assert.equal((await next('the summary')).summary.answered, 2);
  });
}

test('errors and HEAD pass through nginx', async (t) => {
  const url = await nginx(t, '');
  const headers = { authorization: `Bearer ${API_KEY}` };
  const wrong = await fetch(`${url}/v1/emit`, { method: 'PUT', headers });
  assert.equal(wrong.status, 405);
  assert.equal(wrong.headers.get('allow'), 'POST');
  assert.equal((await wrong.json()).details[0].reason, 'METHOD_NOT_ALLOWED');
  const head = await fetch(`${url}/v1/rooms`, { method: 'HEAD', headers });
  assert.equal(head.status, 200);
});

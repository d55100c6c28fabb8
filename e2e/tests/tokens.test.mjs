// Tokens of other issuers, changing keys and revoked tokens, with stock clients.
import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { connect, open, refusal } from '../helpers/client.mjs';
import { Sala } from '../helpers/sala.mjs';
import { until } from '../helpers/wait.mjs';

const now = () => Math.floor(Date.now() / 1000);

// Key is an issuer's key for ES256.
class Key {
  constructor(kid) {
    this.kid = kid;
    Object.assign(this, generateKeyPairSync('ec', { namedCurve: 'P-256' }));
  }

  get jwk() {
    return { ...this.publicKey.export({ format: 'jwk' }), kid: this.kid, use: 'sig', alg: 'ES256' };
  }

  token(claims = {}) {
    const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const text = `${encode({ alg: 'ES256', kid: this.kid })}.${encode({ sub: 'ada', exp: now() + 3600, ...claims })}`;
    return `${text}.${sign('sha256', Buffer.from(text), { key: this.privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  }
}

// issuer publishes keys on this machine; the keys can be changed.
async function issuer(t, ...keys) {
  const published = { keys, requests: 0 };
  const server = createServer((_, response) => {
    published.requests++;
    response.end(JSON.stringify({ keys: published.keys.map(({ jwk }) => jwk) }));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  published.url = `http://127.0.0.1:${server.address().port}/jwks.json`;
  return published;
}

const api = { api_key: 'e2e-key-that-opens-everything' };

async function start(t, config, args = []) {
  const sala = await Sala.start({ config: { jwt_secret: null, ...api, ...config }, args });
  t.after(() => sala.stop());
  return sala;
}

test('a broker with only public keys verifies tokens and issues none', async (t) => {
  const [file, fetched, stranger] = [new Key('file'), new Key('fetched'), new Key('file')];
  const idp = await issuer(t, fetched);
  const dir = mkdtempSync(path.join(tmpdir(), 'sala-e2e-'));
  t.after(() => rmSync(dir, { recursive: true }));
  writeFileSync(path.join(dir, 'key.pem'), file.publicKey.export({ type: 'spki', format: 'pem' }));
  const sala = await start(t, {
    jwt_public_key: [`file=${path.join(dir, 'key.pem')}`], jwt_jwks_url: [`https://idp.example/=${idp.url}`], jwt_audience: ['chat'],
    default_permissions: { rooms: ['lobby'] },
  });
  const good = { aud: ['other', 'chat'] };
  await connect(t, sala, { token: file.token(good) });
  await connect(t, sala, { token: fetched.token({ ...good, iss: 'https://idp.example/' }) });
  for (const [name, token] of Object.entries({
    'a stranger': stranger.token(good),
    'another audience': file.token({ aud: 'other' }),
    'another issuer than the keys are of': fetched.token({ ...good, iss: 'https://evil.example/' }),
  })) {
    const err = await refusal(t, sala, { token });
    assert.equal(err.data?.code, 'TOKEN_INVALID', name);
  }
  const answer = await sala.rest('POST', '/v1/tokens', { user: 'ada' });
  assert.equal(answer.status, 400);
  assert.equal(answer.body.details[0].reason, 'NO_SIGNING_KEY');
  assert.match(answer.body.message, /it needs a JWT secret/);
});

test('when an issuer begins to sign with a new key, no client is refused', async (t) => {
  const [before, after] = [new Key('before'), new Key('after')];
  const idp = await issuer(t, before);
  const sala = await start(t, { jwt_jwks_url: [idp.url] });
  let stop = false;
  let connects = 0;
  const churn = async (token) => {
    while (!stop) {
      const client = await connect(t, sala, { token: token(), transports: ['websocket'] }); // throws if refused
      connects++;
      client.close();
    }
  };
  const old = [churn(() => before.token()), churn(() => before.token()), churn(() => before.token({ jti: 'same', exp: 4e9 }))];
  await until(() => connects > 30, 'clients that come and go');
  // The broker fetches keys again after 10 s at the earliest.
  await setTimeout(10_500);
  idp.keys = [before, after];
  const both = [...old, churn(() => after.token()), churn(() => after.token())];
  const so = connects;
  await until(() => connects > so + 100, 'clients with both keys');
  stop = true;
  await Promise.all(both);
  assert.ok(idp.requests <= 3, `${idp.requests} requests`);
});

test('a revoked token disconnects its clients within a second, and none of them can reconnect', async (t) => {
  const sala = await start(t, { jwt_secret: 'e2e=a-secret-of-the-e2e-tests-long-enough-to-sign-with' });
  const issued = await sala.ok('POST', '/v1/tokens', { user: 'eve' });
  const others = await sala.token('ada');
  const clients = [];
  for (let i = 0; i < 20; i++) {
    const token = i % 2 ? others : issued.token;
    // Every other client of eve's reconnects by itself, whatever happens to its connection.
    const client = open(t, sala, { token, reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 50 });
    client.ends = 0;
    client.refused = [];
    client.socket.on('disconnect', () => { client.ends++; client.endedAt = Date.now(); });
    client.socket.on('connect_error', (err) => client.refused.push(err.data?.code));
    clients.push(client);
  }
  await until(() => clients.every(({ socket }) => socket.connected), 'everybody');
  // Some are just reconnecting.
  clients.slice(0, 6).forEach(({ socket }) => socket.io.engine.close());
  const at = Date.now();
  await sala.ok('POST', '/v1/tokens:revoke', { tokenId: issued.tokenId });
  const eve = clients.filter((_, i) => i % 2 === 0);
  await until(() => eve.every(({ socket, refused }) => !socket.connected && (refused.length > 0 || !socket.active)), 'the end of eve');
  for (const { socket, endedAt } of eve) {
    assert.ok(endedAt - at < 1000, `ended ${endedAt - at} ms after it was revoked`);
    socket.connect();
  }
  await until(() => eve.every(({ refused }) => refused.includes('TOKEN_REVOKED')), 'the refusals');
  await until(() => clients.every(({ socket }, i) => socket.connected === (i % 2 === 1)), 'the others, all of whom are there');
});

test('a revocation survives kill -9 with --state-dir', async (t) => {
  const dir = mkdtempSync(path.join(tmpdir(), 'sala-e2e-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const options = { config: { jwt_secret: 'e2e=a-secret-of-the-e2e-tests-long-enough-to-sign-with', ...api, state_dir: path.join(dir, 'state') } };
  const first = await Sala.start(options);
  const [one, user, good] = await Promise.all(['a', 'b', 'c'].map((name) => first.ok('POST', '/v1/tokens', { user: name })));
  await first.ok('POST', '/v1/tokens:revoke', { tokenId: one.tokenId });
  await first.ok('POST', '/v1/tokens:revoke', { user: 'b', issuedBefore: new Date(Date.now() + 5000).toISOString() });
  await first.discard('SIGKILL');
  const second = await Sala.start(options);
  t.after(() => second.stop());
  for (const { token } of [one, user]) {
    assert.equal((await refusal(t, second, { token })).data?.code, 'TOKEN_REVOKED');
  }
  await connect(t, second, { token: good.token });
});

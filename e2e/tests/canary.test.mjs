// Sends tokens, keys and passwords everywhere that a client, a backend or an operator
// can put them, with debug logs: none of them appears anywhere.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import grpc from '@grpc/grpc-js';
import { TRANSPORTS, connect, open, refusal } from '../helpers/client.mjs';
import { Backend } from '../helpers/events.mjs';
import { rawGet } from '../helpers/http.mjs';
import { jwt } from '../helpers/jwt.mjs';
import { Leaks, canary } from '../helpers/leaks.mjs';
import { Child, GRPCURL, SALA, run } from '../helpers/process.mjs';
import { CONFIG, Sala, freePort } from '../helpers/sala.mjs';
import { deadline, until } from '../helpers/wait.mjs';

const now = () => Math.floor(Date.now() / 1000);

// A scene has the secrets of one broker and its surroundings. held are those that must
// never be shown; all also has those that clients put into the wrong places. Clients may
// get these back, but they must not be logged either.
class Scene {
  held = new Leaks();
  all = new Leaks();
  secret = this.#hold('the JWT secret');
  key = this.#hold('an API key');
  few = this.#hold('an API key with few scopes');
  wrongKey = this.#hold('an invalid API key');
  clusterKey = this.#hold('the cluster key');
  password = this.#hold('the password of the Redis');
  good = this.#token('a token', {}, this.secret);
  expired = this.#token('an expired token', { exp: now() - 60 }, this.secret);
  forged = this.#token('a forged token', {}, canary());
  unsigned = this.#token('an unsigned token', {}, '', 'none');
  misplaced = this.all.add('a token in the wrong place', jwt({ sub: canary(), exp: now() + 3600 }, { secret: this.secret }));
  misplacedKey = this.all.add('a key in the wrong place', canary());

  #hold(name, text = canary()) {
    this.all.add(name, text);
    return this.held.add(name, text);
  }

  #token(name, claims, secret, alg = 'HS256') {
    return this.#hold(name, jwt({ sub: `ana-${name}`, exp: now() + 3600, jti: canary(), sala: { join: ['**'], publish: ['**'], broadcast: true }, ...claims }, { secret, alg }));
  }

  get config() {
    return { ...CONFIG, jwt_secret: `canary=${this.secret}`, api_key: [`ops=${this.key}`, `few=${this.few}:rooms:read`], cluster_key: this.clusterKey, redis_url: this.redisURL };
  }

  async startRedis(t) {
    const port = await freePort();
    this.redisURL = `redis://:${this.password}@127.0.0.1:${port}`;
    this.redis = new Child('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--requirepass', this.password]);
    t.after(() => this.redis.end('SIGKILL'));
    await this.redis.see(({ stdout }) => /Ready to accept connections/.test(stdout), 'a Redis');
  }
}

// clients connects with each token in each place; one client sends tokens where
// something else belongs.
async function clients(t, sala, scene) {
  for (const transports of Object.values(TRANSPORTS)) {
    for (const token of [scene.good, scene.expired, scene.forged, scene.unsigned]) {
      for (const place of [{ auth: { token } }, { query: { token } }, { extraHeaders: { Authorization: `Bearer ${token}` } }]) {
        if (token === scene.good) await connect(t, sala, { transports, ...place });
        else assert.match((await refusal(t, sala, { transports, ...place })).data.code, /^TOKEN_/);
      }
    }
  }
  const { misplaced, forged, good } = scene;
  const client = await connect(t, sala, { token: good, extraHeaders: { 'User-Agent': misplaced, Cookie: `token=${misplaced}`, Referer: `http://x/?token=${misplaced}` } });
  for (const args of [['join', { room: misplaced }], ['join', { room: 'a', username: misplaced }], ['join', misplaced], ['my_event', { room: misplaced, token: misplaced }],
    ['leave', { room: misplaced }], [misplaced], ['unheard', { token: misplaced }], ['sala:token', forged], ['sala:token', { token: scene.expired }], ['sala:token', { token: [forged] }], ['shout', misplaced]]) {
    await client.ask(...args);
  }
  await refusal(t, sala, { token: good, namespace: `/${misplaced}` });
  await refusal(t, sala, { auth: { token: { token: good } } });
  for (const packet of [`0{"token":"${good}"`, `2["x",${misplaced}`, misplaced, `51-["x",{"_placeholder":true,"num":${canary()}}]`, Buffer.from(misplaced)]) {
    const broken = await connect(t, sala, { token: good });
    broken.socket.io.engine.write(packet);
    await broken.next('disconnect');
  }
}

// requests sends requests that no Socket.IO client would make.
async function requests(t, sala, { good, misplaced }) {
  const at = `${sala.url}/socket.io/`;
  for (const url of [`${at}?EIO=4&transport=polling&token=${good}`, `${at}?EIO=${good}&transport=polling`, `${at}?EIO=4&transport=${good}`, `${at}?EIO=4&transport=polling&sid=${good}`,
    `${at}?EIO=4&transport=polling;token=${good}`, `${at}?token=${good}&%zz`, `${at}${misplaced}`, `${sala.url}/${misplaced}`, `${sala.url}/?token=${good}`]) {
    for (const method of ['GET', 'POST', 'OPTIONS', 'TRACE']) await rawGet(url, { authorization: `Basic ${good}`, origin: `https://elsewhere.example/?token=${good}` }, method);
  }
  await rawGet(`${at}?EIO=4&transport=websocket&token=${good}`, { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-key': good, 'sec-websocket-version': good });
  for (const text of [`GET /?token=${good} HTTP/9.9\r\n\r\n`, `${good}\r\n\r\n`, `GET / HTTP/1.1\r\nHost: ${good}\x00\r\n\r\n`, `GET / HTTP/1.1\r\nHost: x\r\nContent-Length: ${good}\r\n\r\n`]) {
    for (const address of Object.values(sala.addr)) {
      const [host, port] = address.split(':');
      const socket = net.connect(Number(port), host, () => socket.end(text));
      socket.on('error', () => {}).resume(); // a reset is a normal end
      await deadline(new Promise((resolve) => { socket.on('close', resolve); }), 'the end of an invalid request');
    }
  }
}

// rest tries keys and tokens in every place of a REST call.
async function rest(sala, scene) {
  const { key, wrongKey, good, forged, expired, misplaced, misplacedKey } = scene;
  const answers = [];
  const ask = async (method, pathname, body, options) => answers.push(await sala.rest(method, pathname, body, { key, ...options }));
  for (const authorization of [`Bearer ${wrongKey}`, `Basic ${key}`, `Bearer ${key} ${key}`, key, `Bearer ${good}`]) await ask('GET', '/v1/rooms', undefined, { key: '', headers: { authorization } });
  await ask('POST', '/v1/emit', { rooms: ['a'], event: 'e' }, { key: scene.few });
  for (const token of [good, forged, expired]) await ask('POST', '/v1/tokens:verify', { token });
  for (const body of [`{"token":"${good}"`, `{"token":${good}}`, `{"token":["${good}"]}`, `{"token":{"token":"${good}"}}`]) await ask('POST', '/v1/tokens:verify', body);
  for (const text of [misplaced, misplacedKey]) {
    await ask('POST', '/v1/tokens:verify', { [text]: text });
    await ask('POST', `/v1/${text}`, {});
    await ask('GET', `/v1/rooms/${text}?namespace=/${text}`);
    for (const pathname of ['/v1/rooms:get', '/v1/messages', '/v1/limits']) await ask('GET', `${pathname}?room=${text}&namespace=/${text}`);
    await ask('GET', `/v1/rooms?pageToken=${text}&pageSize=${text}&${text}=1`);
    await ask('POST', `/v1/emit?token=${text}`, { rooms: [text], event: text, args: [text] });
    await ask('POST', '/v1/emit', { rooms: [text], event: text, argsJson: text });
    await ask('POST', '/v1/emit', { rooms: [text], users: [text], event: text, args: [{ _placeholder: true, num: text }], attachments: [text] });
    await ask('POST', '/v1/sockets:disconnect', { selector: { users: [text] }, reason: text });
    await ask('POST', '/v1/tokens', { user: text, data: { text }, ttl: text });
    await ask('POST', '/v1/tokens:revoke', { tokenId: text });
    await ask('GET', '/v1/rooms', undefined, { headers: { 'grpc-metadata-authorization': text, 'x-http-method-override': text, 'user-agent': text, cookie: text, 'x-forwarded-for': text } });
    for (const pathname of ['/metrics', '/readyz', '/livez', '/openapi.json', '/', '/debug/pprof/', '/debug/vars']) await ask('GET', `${pathname}?token=${text}`, undefined, { key: text });
  }
  assert.ok(answers.some(({ status }) => status === 200) && answers.some(({ status }) => status === 401) && answers.some(({ status }) => status === 403));
  for (const { status, body, headers } of answers) scene.held.none('an answer of REST', JSON.stringify([status, body, [...headers]]));
}

// calls does the same over gRPC.
async function calls(t, sala, scene) {
  const { key, wrongKey, good, misplaced } = scene;
  for (const [header, data] of [[`authorization: Bearer ${wrongKey}`, '{}'], [`authorization: Basic ${key}`, '{}'], [`x-token: ${good}`, '{}'], [`authorization: Bearer ${key}`, `{"token":"${good}"}`]]) {
    const { stdout, stderr } = await run(GRPCURL, ['-plaintext', '-H', header, '-d', data, sala.grpc, 'sala.v1.TokenService/VerifyToken']);
    scene.held.none('an answer of gRPC', (stdout + stderr).replaceAll(header, ''));
  }
  const client = new grpc.Client(sala.grpc, grpc.credentials.createInsecure());
  t.after(() => client.close());
  const metadata = new grpc.Metadata();
  metadata.set('authorization', `Bearer ${key}`);
  for (const method of [`/sala.v1.TokenService/${misplaced}`, `/${misplaced}/x`, '/sala.v1.TokenService/VerifyToken', '/sala.v1.MessageService/Emit']) {
    const err = await deadline(new Promise((resolve) => { client.makeUnaryRequest(method, () => Buffer.from(good), (body) => body, {}, metadata, resolve); }), `an answer to ${method}`);
    scene.held.none('an answer of gRPC', `${err?.details}`);
  }
  const backend = new Backend(sala.grpc, { group: misplaced, credits: 10, namespaces: [`/${misplaced}`] }, { key });
  scene.held.none('the end of a subscription', (await deadline(backend.ended, 'the end of a subscription')).details);
  backend.close();
}

// commands runs the commands of an operator, some of which fail.
async function commands(t, sala, scene) {
  const { key, wrongKey, good, expired, secret, password } = scene;
  const dir = mkdtempSync(path.join(tmpdir(), 'sala-e2e-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const file = path.join(dir, 'sala.yaml');
  const quiet = async (args, { yaml, ...options } = {}) => {
    if (yaml !== undefined) writeFileSync(file, yaml);
    const { code, stdout, stderr } = await run(SALA, yaml === undefined ? args : [...args, '--config', file], options);
    scene.all.none(`sala ${args[0]} ${yaml ?? ''}`, stdout + stderr);
    return code;
  };
  const env = { SALA_SERVER: sala.grpc, SALA_API_KEY: `ops=${key}` };
  assert.equal(await quiet(['rooms'], { env }), 0);
  assert.equal(await quiet(['limits'], { env }), 0);
  assert.equal(await quiet(['token', 'verify', good], { env }), 0);
  assert.equal(await quiet(['token', 'verify', expired], { env }), 1);
  assert.equal(await quiet(['token', 'verify', '-'], { env, input: `${expired}\n` }), 1);
  assert.equal(await quiet(['rooms', '--api-key', wrongKey], { env }), 1);
  assert.equal(await quiet(['sockets', '--server', '127.0.0.1:1', '--api-key', wrongKey], { env }), 1);
  const check = ['config', 'check'];
  assert.equal(await quiet(check, { yaml: JSON.stringify(scene.config) }), 0);
  assert.equal(await quiet([...check, '-o', 'json'], { yaml: JSON.stringify(scene.config) }), 0);
  assert.equal(await quiet(check, { env: { SALA_API_KEY: `ops=${key} few=${scene.few}`, SALA_JWT_SECRET: secret, SALA_REDIS_URL: scene.redisURL, SALA_CLUSTER_KEY: scene.clusterKey } }), 0);
  for (const args of [['--api-key', `ops=${key}`, `few=${scene.few}`], ['--api-key', `ops=x:${key}`], ['--api-key', `a b=${key}`], ['--api-keys', key], ['--jwt-secret', `a b=${secret}`],
    ['--api-key', `${key}:emit`], ['--redis-url', password], ['--redis-url', `http://u:${password}@h`], ['--redis-url', `redis://u:${password}/x@h`], ['--cluster-name', 'a:b', '--redis-url', `redis://${password}@h`]]) {
    assert.equal(await quiet([...check, '--dev', ...args]), 2, args[0]);
    assert.equal(await quiet(['serve', '--dev', ...args]), 2, args[0]);
  }
  for (const yaml of [`jwt_secret: "${secret}\n`, `jwt_secret: [${secret}\n`, `api_key:\nops=${key}: emit\n`, `api_key: ops=${key}: emit\n`, `jwt_secret:\n${secret}\n`, `rooms: {${secret}: x}\n`,
    `redis_url: redis://u:${password}@h:x:y\n`, `jwt_secret: {canary: ${secret}}\n`, `anonymous: [${secret}]\n`, `jwt_secret: &${secret}\n`, `jwt_secret: ${secret}\n  api_key: ${key}\n`]) {
    assert.equal(await quiet(check, { yaml }), 2, yaml);
  }
}

// reloads has the broker read keys that are wrong, then those that it has.
async function reloads(sala, { key, few, secret, config }) {
  const wrong = [`api_key: [${key}\n`, `api_key: {ops: ${key}}\n`, `api_key: [ops=${key}, "few=${few}:dance"]\n`, `api_key: [ops=${key}, two=${key}]\n`, `jwt_secret: ${secret}\n`, `${key}: 1\n`];
  for (const [i, yaml] of wrong.entries()) {
    writeFileSync(sala.file, yaml);
    sala.child.process.kill('SIGHUP');
    await sala.child.see(({ stderr }) => stderr.split("can't reload the API keys").length > i + 1, `the refusal of ${yaml}`);
  }
  await sala.reconfigure({ ...config, api_key: [`ops=${key}`, `few=${few}:rooms:read,emit`] });
}

for (const format of ['json', 'text']) {
  test(`no token, key or password is in a log, an answer, a metric or an error (${format})`, async (t) => {
    const scene = new Scene();
    await scene.startRedis(t);
    const sala = await Sala.start({ config: scene.config, args: ['--log-format', format, '--drain-spread', '0s'] });
    t.after(() => sala.discard('SIGKILL'));
    await until(async () => (await sala.rest('GET', '/readyz', undefined, { key: '' })).status === 200, 'the Redis to be reached');
    const tail = new Child(SALA, ['tail', '-o', 'json'], { env: { SALA_SERVER: sala.grpc, SALA_API_KEY: scene.key } });
    t.after(() => tail.end('SIGKILL'));
    const events = new Child('curl', ['-sSN', '-H', `Authorization: Bearer ${scene.key}`, '-H', 'Accept: text/event-stream', `${sala.http}/v1/events?problems=true`]);
    t.after(() => events.end('SIGKILL'));
    await events.see(({ stdout }) => stdout.includes('"status"'), 'the stream of events');
    await until(async () => /^sala_subscriptions 1$/m.test((await sala.rest('GET', '/metrics')).body), 'the tail');

    await clients(t, sala, scene);
    await requests(t, sala, scene);
    await rest(sala, scene);
    await calls(t, sala, scene);
    await commands(t, sala, scene);
    await reloads(sala, scene);
    await tail.see(({ stdout }) => stdout.includes('MESSAGE'), 'events');
    scene.held.none('sala tail', tail.output);
    await events.see(({ stdout }) => ['REFUSED', 'EMIT', 'MESSAGE'].every((kind) => stdout.includes(`"kind":"EVENT_KIND_${kind}"`)), 'refused clients, emits and events');
    scene.held.none('the stream of events', events.stdout);
    for (const user of ['ana-a token', 'ana-an expired token']) {
      for (const output of ['text', 'json']) {
        const { code, stdout, stderr } = await run(SALA, ['explain', '--user', user, '--room', 'a', '-o', output], { env: { SALA_SERVER: sala.grpc, SALA_API_KEY: scene.key } });
        assert.equal(code, 0, stderr);
        scene.held.none('sala explain', stdout + stderr);
      }
    }

    await scene.redis.end('SIGKILL');
    await until(async () => (await sala.rest('GET', '/readyz')).status === 503, 'the loss of the Redis');
    for (const pathname of ['/metrics', '/readyz', '/openapi.json']) scene.all.none(pathname, JSON.stringify((await sala.rest('GET', pathname)).body));
    const last = open(t, sala, { token: scene.good });
    await deadline(once(last.socket, 'connect'), 'a last client');
    await sala.stop();
    for (const words of ['client refused', 'TOKEN_INVALID', 'client cut', 'API_KEY_INVALID', 'Redis']) assert.ok(sala.log.includes(words), `the log has ${words}`);
    scene.all.none('the log', sala.log);
  });
}

test('the search finds a secret that is present', () => {
  const leaks = new Leaks();
  const secret = leaks.add('a canary', `${canary()}.${canary()}`);
  leaks.none('nothing', canary());
  for (const text of [secret, secret.split('.')[1], Buffer.from(secret).toString('base64'), Buffer.from(secret).toString('hex')]) {
    assert.throws(() => leaks.none('a text', `before ${text} after`), /a text shows a canary/);
  }
});

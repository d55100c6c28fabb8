// Backends ask clients for acks and receive them as they arrive.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WAYS, login } from '../helpers/client.mjs';
import { Child } from '../helpers/process.mjs';
import { API_KEY, WHOLE } from '../helpers/sala.mjs';
import { broker, fresh } from '../helpers/suite.mjs';
import { deadline } from '../helpers/wait.mjs';

const shared = broker();

// ask sends an event with curl and returns the answers and the summary.
async function ask(sala, request) {
  const curl = curlAck(sala, request);
  assert.equal(await deadline(curl.exited, 'the end of curl'), 0, curl.output);
  const lines = messages(curl);
  return { acks: lines.slice(0, -1).map(({ ack }) => ack), summary: lines.at(-1).summary };
}

const curlAck = (sala, request) => new Child('curl', ['-sSN', '-H', `Authorization: Bearer ${API_KEY}`, `${sala.http}/v1/emit:ack`, '-d', JSON.stringify(request)]);

// messages parses the lines received so far.
const messages = (curl) => curl.output.split('\n').slice(0, -1).map((line) => JSON.parse(line).result);

const counts = (summary) => ({ expected: 0, answered: 0, timedOut: 0, disconnected: 0, dropped: 0, ...WHOLE, ...summary });

for (const { name, options } of WAYS) {
  test(`acks of every shape ${name}`, async (t) => {
    const { sala } = shared;
    const user = fresh('ada');
    const client = await login(t, sala, user, options);
    const answers = { none: [], one: ['yes'], many: [1, { b: [null] }, 'é'], nothing: [null], binary: [Buffer.from([0, 255]), 'and', Buffer.from('x')] };
    for (const [event, args] of Object.entries(answers)) client.socket.on(event, (question, answer) => answer(...args));
    for (const [event, args] of Object.entries(answers)) {
      const { acks, summary } = await ask(sala, { users: [user], event, args: ['?'] });
      assert.deepEqual(summary, counts({ expected: 1, answered: 1 }));
      const [ack] = acks;
      assert.equal(ack.socket, client.id);
      assert.equal(ack.user, user);
      assert.match(ack.latency, /^0\.\d+s$/);
      if (event === 'binary') {
        assert.deepEqual(ack.args, [{ _placeholder: true, num: 0 }, 'and', { _placeholder: true, num: 1 }]);
        assert.deepEqual(ack.attachments, ['AP8=', 'eA==']);
      } else {
        assert.deepEqual(ack.args, args);
      }
    }
    client.socket.on('exact', (answer) => answer(0.5));
    const { acks } = await ask(sala, { users: [user], event: 'exact', argsAsJson: true });
    assert.equal(acks[0].argsJson, '[0.5]');
    assert.equal(acks[0].args, null);
  });
}

test('curl prints each ack as it arrives', async (t) => {
  const { sala } = shared;
  const room = fresh('room');
  const clients = [await login(t, sala, 'ada', {}, { rooms: [room] }), await login(t, sala, 'ben', {}, { rooms: [room] })];
  const asked = clients.map((client) => new Promise((resolve) => client.socket.on('q', resolve)));
  const curl = curlAck(sala, { rooms: [room], event: 'q' });
  const [first, second] = await Promise.all(asked);
  first('first');
  await curl.see((child) => messages(child).length === 1, 'the first answer alone');
  second('second');
  assert.equal(await deadline(curl.exited, 'the end of curl'), 0);
  const lines = messages(curl);
  assert.deepEqual(lines.slice(0, 2).map(({ ack }) => [ack.user, ...ack.args]), [['ada', 'first'], ['ben', 'second']]);
  assert.deepEqual(lines[2].summary, counts({ expected: 2, answered: 2 }));
});

test('sockets that stay silent, disconnect or are not needed are counted separately', async (t) => {
  const { sala } = shared;
  const room = fresh('room');
  const clients = [];
  for (const user of ['quick', 'silent', 'gone']) clients.push(await login(t, sala, user, {}, { rooms: [room] }));
  const [quick, silent, gone] = clients;
  quick.socket.on('q', (answer) => answer());
  let late;
  silent.socket.on('q', (answer) => { late = answer; });
  gone.socket.on('q', () => gone.close());
  const { acks, summary } = await ask(sala, { rooms: [room], event: 'q', timeout: '1s' });
  assert.deepEqual(acks.map(({ user, args }) => [user, args]), [['quick', []]]);
  assert.deepEqual(summary, counts({ expected: 3, answered: 1, timedOut: 1, disconnected: 1 }));

  late('too late'); // has no effect
  const enough = await ask(sala, { rooms: [room], event: 'q', timeout: '60s', minAcks: 1 });
  assert.deepEqual(enough.summary, counts({ expected: 2, answered: 1 }));
  assert.deepEqual(await ask(sala, { rooms: [fresh('empty')], event: 'q' }), { acks: [], summary: counts({}) });
});

test('an invalid request gets an ordinary error', async () => {
  const { sala } = shared;
  for (const [request, field] of [
    [{ event: 'q' }, 'rooms'],
    [{ rooms: ['a'], event: 'q', timeout: '61s' }, 'timeout'],
    [{ rooms: ['a'], event: 'q', timeout: '0s' }, 'timeout'],
    [{ rooms: ['a'], event: 'q', argsJson: '{}' }, 'argsJson'],
  ]) {
    const { status, body } = await sala.rest('POST', '/v1/emit:ack', request);
    assert.equal(status, 400, JSON.stringify(body));
    assert.deepEqual(body.details[1].fieldViolations.map(({ field: name }) => name), [field]);
  }
});

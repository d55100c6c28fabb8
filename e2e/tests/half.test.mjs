// Half an emoji, which JavaScript leaves when it cuts a string: neither an answer nor
// a client ends a backend's stream with it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { login } from '../helpers/client.mjs';
import { MESSAGES, subscribe } from '../helpers/events.mjs';
import { broker, fresh } from '../helpers/suite.mjs';
import { deadline, until } from '../helpers/wait.mjs';

const shared = broker();
const HALF = 'abcd👍👍'.slice(0, 5);
const LONG = `${'x'.repeat(100)}${HALF}`; // protobufjs encodes long text differently

const acked = (client, event, ...args) => deadline(new Promise((resolve) => client.emit(event, ...args, (...answer) => resolve(answer))), `the ack of ${event}`);
const value = (text) => ({ values: [{ stringValue: text }] });

test('an answer with half an emoji is rejected, and nothing else is affected', async (t) => {
  const event = fresh('half');
  const group = { group: event, kinds: MESSAGES, events: [event] };
  const members = [await subscribe(t, shared.sala, group), await subscribe(t, shared.sala, group)];
  const ada = await login(t, shared.sala, 'ada');
  const receivedBy = async (n) => {
    const member = await until(() => members.find(({ received }) => received.length > 0), `event ${n} at a member`);
    const received = await member.next();
    assert.ok(members.every((other) => other.received.length === 0), `event ${n} reached one member, once`);
    return { member, received };
  };
  for (const [n, bad] of [
    { args: value(HALF) },
    { args: { values: [{ structValue: { fields: { text: { stringValue: HALF } } } }] } },
    { argsJson: `["${HALF}"]` },
    { error: { code: HALF, message: 'no' } },
    { error: { code: 'NO', message: HALF } },
  ].entries()) {
    const ack = acked(ada, event, n);
    const { member, received } = await receivedBy(n);
    assert.equal(received.redelivered, false);
    member.send({ reply: { deliveryId: received.deliveryId, ...bad } });
    const rejected = await member.next('rejected');
    assert.equal(rejected.deliveryId, received.deliveryId);
    assert.equal(rejected.reason, 'INVALID_ARGUMENT');
    assert.match(rejected.message, /^reply\.(args|args_json|error\.code|error\.message): isn't UTF-8/);
    member.reply(received, ['better']);
    assert.deepEqual(await ack, ['better']);
  }
  // In a longer text, this client itself replaces it with U+FFFD.
  const ack = acked(ada, event);
  const { member, received } = await receivedBy('long');
  member.send({ reply: { deliveryId: received.deliveryId, args: value(LONG) } });
  assert.deepEqual(await ack, [`${'x'.repeat(100)}abcd\uFFFD`]);
});

test('an event with half an emoji is delivered, and its echo ends no stream', async (t) => {
  const event = fresh('echo');
  const backend = await subscribe(t, shared.sala, { group: event, kinds: MESSAGES });
  const ada = await login(t, shared.sala, 'ada');
  ada.emit(`${event}${HALF}`, HALF);
  const odd = await backend.next();
  assert.equal(odd.event, `${event}abcd\uFFFD`);
  const ack = acked(ada, event, HALF, { [HALF]: HALF });
  const received = await backend.next();
  const args = JSON.parse(received.argsJson);
  backend.send({ reply: { deliveryId: received.deliveryId, args: value(args[0]) } });
  const first = await Promise.race([backend.next('rejected'), ack]);
  if (!Array.isArray(first)) backend.reply(received, args); // JSON.stringify escapes the half emoji
  const [echo] = await ack;
  assert.ok([HALF, 'abcd\uFFFD'].includes(echo), `the echo is ${JSON.stringify(echo)}`);
});

test('a client\'s large list, echoed as protobuf values, ends no stream', async (t) => {
  const event = fresh('large');
  const backend = await subscribe(t, shared.sala, { kinds: MESSAGES, events: [event] });
  const ada = await login(t, shared.sala, 'ada');
  const zeros = new Array(450_000).fill(0);
  const ack = acked(ada, event, zeros);
  const received = await backend.next();
  const values = JSON.parse(received.argsJson)[0].map((numberValue) => ({ numberValue }));
  backend.send({ reply: { deliveryId: received.deliveryId, args: { values } } });
  const rejected = await backend.next('rejected');
  assert.equal(rejected.deliveryId, received.deliveryId);
  assert.equal(rejected.reason, 'REQUEST_TOO_LARGE');
  backend.send({ reply: { deliveryId: received.deliveryId, argsJson: received.argsJson } });
  assert.deepEqual(await ack, [zeros]);
});

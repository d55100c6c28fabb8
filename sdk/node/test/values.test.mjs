// Addresses, arguments and memory: what needs no broker.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAddress } from '../dist/address.js';
import { decodeArgs, encodeArgs } from '../dist/args.js';
import { backoff } from '../dist/backoff.js';
import { Deliveries } from '../dist/deliveries.js';
import { connect } from '../dist/index.js';
import { Lanes } from '../dist/lanes.js';

test('an address says where the broker is, and plaintext to other machines must be asked for', () => {
  for (const [address, tls, want] of [
    ['127.0.0.1:9090', undefined, { target: '127.0.0.1:9090', tls: false }],
    ['127.9.9.9:9090', undefined, { target: '127.9.9.9:9090', tls: false }],
    ['localhost:9090', undefined, { target: 'localhost:9090', tls: false }],
    ['[::1]:9090', undefined, { target: '[::1]:9090', tls: false }],
    ['sala.example.org:9090', undefined, { target: 'sala.example.org:9090', tls: true }],
    ['localhost.example.org:9090', undefined, { target: 'localhost.example.org:9090', tls: true }],
    ['10.0.0.1:9090', undefined, { target: '10.0.0.1:9090', tls: true }],
    ['[2001:db8::1]:9090', undefined, { target: '[2001:db8::1]:9090', tls: true }],
    ['10.0.0.1:9090', false, { target: '10.0.0.1:9090', tls: false }],
    ['127.0.0.1:9090', true, { target: '127.0.0.1:9090', tls: true }],
    ['http://10.0.0.1:9090', undefined, { target: '10.0.0.1:9090', tls: false }],
    ['https://localhost:9090/', undefined, { target: 'localhost:9090', tls: true }],
  ]) assert.deepEqual(parseAddress(address, tls), want, `${address} ${tls}`);
  for (const [address, tls] of [['', undefined], ['localhost', undefined], [':9090', undefined], ['localhost:99999', undefined], ['ftp://localhost:1', undefined], ['http://localhost:1/path', undefined], ['http://localhost:1', true], ['https://localhost:1', false]]) {
    assert.throws(() => parseAddress(address, tls), TypeError, `${address} ${tls}`);
  }
});

test('an API key that no header can hold is refused without being shown', () => {
  for (const apiKey of ['', 'two words', 'secret\n', 'secrét', undefined]) {
    assert.throws(() => connect('127.0.0.1:1', { apiKey }), (err) => err instanceof TypeError && !/secr|words/.test(err.message));
  }
});

test('binary values at any depth travel as attachments', () => {
  const bytes = Buffer.from([0, 1, 255]);
  const args = ['a', bytes, { deep: [new Uint8Array([7]), { at: new Date(0) }] }, bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + 2), undefined];
  const { argsJson, attachments } = encodeArgs(args);
  assert.equal(argsJson, '["a",{"_placeholder":true,"num":0},{"deep":[{"_placeholder":true,"num":1},{"at":"1970-01-01T00:00:00.000Z"}]},{"_placeholder":true,"num":2},null]');
  assert.deepEqual(attachments, [bytes, Buffer.from([7]), Buffer.from([0, 1])]);
  assert.deepEqual(decodeArgs(argsJson, attachments), ['a', bytes, { deep: [Buffer.from([7]), { at: '1970-01-01T00:00:00.000Z' }] }, Buffer.from([0, 1]), null]);
  assert.deepEqual(decodeArgs('', []), []);
  assert.deepEqual(decodeArgs('[{"_placeholder":true,"num":5}]', [bytes]), [{ _placeholder: true, num: 5 }]);
});

test('arguments that JSON cannot hold are a TypeError', () => {
  const loop = {};
  loop.self = loop;
  for (const args of ['text', undefined, [1n], [loop]]) assert.throws(() => encodeArgs(args), TypeError);
});

test('the pause grows up to five seconds, with full jitter', () => {
  for (const [failures, longest] of [[0, 100], [3, 800], [6, 5000], [60, 5000]]) {
    for (let n = 0; n < 100; n++) {
      const ms = backoff(failures);
      assert.ok(ms >= 0 && ms <= longest, `${ms} after ${failures} failures`);
    }
  }
});

test('lanes take turns, keep their order and respect the limit', async () => {
  const lanes = new Lanes(2);
  const done = [];
  let running = 0;
  for (let n = 0; n < 30; n++) {
    const lane = `${n % 3}`;
    lanes.push(lane, async () => {
      assert.ok(++running <= 2);
      await new Promise((resolve) => setImmediate(resolve));
      running--;
      done.push([lane, n]);
    });
  }
  assert.equal(lanes.pending, 30);
  await lanes.idle();
  await lanes.idle();
  assert.equal(lanes.pending, 0);
  for (const lane of ['0', '1', '2']) {
    const order = done.filter(([of]) => of === lane).map(([, n]) => n);
    assert.deepEqual(order, order.toSorted((a, b) => a - b));
  }
  // The first lane doesn't run to its end before the last begins.
  assert.ok(done.findIndex(([lane]) => lane === '2') < done.findLastIndex(([lane]) => lane === '0'));
});

test('the newest answers are remembered, up to a number and a size', () => {
  const reply = (deliveryId, argsJson = '[]', attachments = []) => ({ $case: 'reply', value: { deliveryId, argsJson, attachments } });
  const deliveries = new Deliveries();
  const answer = (id, ...args) => {
    deliveries.begin(id, undefined);
    deliveries.end(id, reply(id, ...args));
  };
  deliveries.begin('running', undefined);
  for (let n = 0; n < 10_001; n++) answer(`${n}`);
  assert.equal(deliveries.answer('0'), undefined);
  assert.equal(deliveries.answer('1').value.deliveryId, '1');
  assert.equal(deliveries.answer('10000').value.deliveryId, '10000');
  assert.ok(deliveries.handling('running'));
  assert.equal(deliveries.handling('1'), undefined);
  const large = Buffer.alloc(33 << 20);
  answer('a', '[]', [large]);
  answer('a', '[]', [large]); // counts once
  assert.ok(deliveries.answer('10000'));
  answer('b', '[]', [large]);
  assert.equal(deliveries.answer('a'), undefined);
  assert.ok(deliveries.answer('b'));
});

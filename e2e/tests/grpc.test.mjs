// The control API over gRPC, as grpcurl sees it through reflection.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { login } from '../helpers/client.mjs';
import { GRPCURL, run } from '../helpers/process.mjs';
import { API_KEY, WHOLE } from '../helpers/sala.mjs';
import { broker, fresh } from '../helpers/suite.mjs';

const shared = broker();

function grpcurl(args, { key = API_KEY, input } = {}) {
  const header = key ? ['-H', `authorization: Bearer ${key}`] : [];
  return run(GRPCURL, ['-plaintext', ...header, ...args], { input });
}

// call makes one call and returns the messages of the response.
async function call(method, ...messages) {
  const input = messages.map((message) => JSON.stringify(message)).join('\n');
  const { code, stdout, stderr } = await grpcurl(['-d', '@', '-emit-defaults', shared.sala.grpc, method], { input });
  assert.equal(code, 0, stderr);
  return stdout.split(/\n(?=\{)/).map((text) => JSON.parse(text));
}

test('reflection lists and describes everything', async () => {
  const { code, stdout, stderr } = await grpcurl([shared.sala.grpc, 'list']);
  assert.equal(code, 0, stderr);
  for (const service of ['TokenService', 'RoomService', 'MessageService', 'SocketService', 'ClusterService']) assert.match(stdout, new RegExp(`^sala\\.v1\\.${service}$`, 'm'));
  assert.match(stdout, /^grpc\.health\.v1\.Health$/m);
  const described = await grpcurl([shared.sala.grpc, 'describe', 'sala.v1.MessageService.EmitStream']);
  assert.match(described.stdout, /stream \.sala\.v1\.EmitStreamRequest/);
});

test('health says SERVING', async () => {
  const [{ status }] = await call('grpc.health.v1.Health/Check', {});
  assert.equal(status, 'SERVING');
});

test('EmitStream: results and deliveries come one by one and in order', async (t) => {
  const { sala } = shared;
  const room = fresh('stream');
  const ada = await login(t, sala, 'ada');
  await ada.join(room);
  const count = 200;
  const requests = Array.from({ length: count }, (_, n) => ({ sequence: n + 1000, emit: n === 7 ? { event: 'for nobody' } : { rooms: [room], event: 'n', args: [n] } }));
  const answers = await call('sala.v1.MessageService/EmitStream', ...requests);
  assert.deepEqual(answers.map(({ sequence }) => Number(sequence)), requests.map(({ sequence }) => sequence));
  assert.equal(answers[7].result.error.reason, 'INVALID_ARGUMENT');
  for (let n = 0; n < count; n++) if (n !== 7) assert.deepEqual(await ada.next('n'), [n]);
});

test('unary calls', async (t) => {
  const { sala } = shared;
  const room = fresh('unary');
  const ada = await login(t, sala, 'ada');
  await ada.join(room);
  const selector = { sockets: [ada.id] };
  assert.deepEqual((await call('sala.v1.RoomService/GetRoom', { room }))[0], { name: room, namespace: '/', sockets: 1, users: 1, ...WHOLE });
  assert.equal((await call('sala.v1.RoomService/ListRooms', { prefix: room }))[0].rooms.length, 1);
  assert.equal((await call('sala.v1.MessageService/Broadcast', { event: 'b', args: [1] }))[0].queued, 1);
  assert.equal((await call('sala.v1.MessageService/EmitBatch', { emits: [{ rooms: [room], event: 'c' }] }))[0].results[0].queued, 1);
  assert.equal((await call('sala.v1.SocketService/GetSocket', { id: ada.id }))[0].socket.user, 'ada');
  assert.equal((await call('sala.v1.SocketService/ListSockets', { room }))[0].sockets.length, 1);
  assert.equal((await call('sala.v1.SocketService/Join', { selector, rooms: [`${room}:2`] }))[0].matched, 1);
  assert.equal((await call('sala.v1.SocketService/Leave', { selector, rooms: [`${room}:2`] }))[0].matched, 1);
  assert.equal((await call('sala.v1.RoomService/ClearRoom', { room }))[0].removed, 1);
  assert.equal((await call('sala.v1.ClusterService/ListNodes', {}))[0].nodes.length, 1);
  assert.equal((await call('sala.v1.SocketService/Update', { selector, data: [1] }))[0].matched, 1);
  assert.equal((await call('sala.v1.TokenService/RevokeTokens', { token_id: 'none' }))[0].disconnected, 0);
  assert.equal((await call('sala.v1.MessageService/EmitWithAck', { rooms: ['none'], event: 'q' }))[0].summary.expected, 0);
  assert.equal((await call('sala.v1.TokenService/VerifyToken', { token: ada.socket.auth.token }))[0].valid, true);
  assert.equal((await call('sala.v1.SocketService/Disconnect', { selector, reason: 'bye' }))[0].matched, 1);
  assert.equal((await ada.next('sala:disconnect'))[0].reason, 'bye');
  await ada.next('disconnect');
});

test('errors carry a code, a reason and the field', async (t) => {
  for (const [key, method, message, code, words] of [
    ['', 'RoomService/ListRooms', {}, 'Unauthenticated', /API_KEY_REQUIRED/],
    ['wrong', 'RoomService/ListRooms', {}, 'Unauthenticated', /API_KEY_INVALID/],
    [API_KEY, 'MessageService/Emit', { event: 'x' }, 'InvalidArgument', /"field": "rooms"/],
    [API_KEY, 'RoomService/GetRoom', { room: 'empty' }, 'NotFound', /ROOM_NOT_FOUND/],
  ]) {
    await t.test(`${method} ${code}`, async () => {
      const answer = await grpcurl(['-d', JSON.stringify(message), shared.sala.grpc, `sala.v1.${method}`], { key });
      assert.notEqual(answer.code, 0);
      assert.match(answer.stderr, new RegExp(`Code: ${code}`));
      assert.match(answer.stderr, words);
    });
  }
});

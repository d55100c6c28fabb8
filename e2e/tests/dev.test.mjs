// Pastes what `sala serve --dev` prints into a shell, unchanged.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { connect } from '../helpers/client.mjs';
import { Child, GRPCURL, SALA, run } from '../helpers/process.mjs';
import { Sala } from '../helpers/sala.mjs';

const BLOCK_END = /^ +export SALA_SERVER=.*\n/m;
const PATH = [path.dirname(SALA), path.dirname(GRPCURL), process.env.PATH].join(path.delimiter);

async function dev(t) {
  const sala = await Sala.dev();
  t.after(() => sala.stop());
  await sala.child.see(({ stdout }) => BLOCK_END.test(stdout), 'the block to paste');
  const commands = sala.child.stdout.split('\n').map((line) => line.trim()).filter((line) => /^(curl|grpcurl|export) /.test(line));
  return { sala, commands, find: (...words) => commands.find((line) => words.every((word) => line.includes(word))) };
}

const bash = (command) => run('bash', ['-euo', 'pipefail', '-c', command], { env: { PATH } });

// waitForMessage waits for that text among the messages; announcements may precede it.
async function waitForMessage(client, text) {
  for (;;) if ((await client.next('message'))[0] === text) return;
}

async function pasted(command) {
  const { code, stdout, stderr } = await bash(command);
  assert.equal(code, 0, `${command}\n${stderr}`);
  return JSON.parse(stdout);
}

test('every command that --dev prints works as pasted', async (t) => {
  const { sala, commands, find } = await dev(t);
  assert.ok(commands.length >= 6, commands.join('\n'));

  const { token } = await pasted(find('curl', '/v1/tokens'));
  const ana = await connect(t, sala, { token });
  await ana.join('lobby', 'ana');

  assert.equal((await pasted(find('curl', '/v1/emit'))).queued, 1);
  await waitForMessage(ana, 'hello from curl');
  assert.equal((await pasted(find('grpcurl', 'MessageService/Emit'))).queued, 1);
  await waitForMessage(ana, 'hello from grpcurl');
  const list = commands.find((line) => /\/v1\/rooms$/.test(line));
  assert.deepEqual((await pasted(list)).rooms, [{ name: 'lobby', namespace: '/', sockets: 1 }]);
  assert.equal((await pasted(find('curl', ':clear'))).removed, 1);
  await waitForMessage(ana, 'the room is closed');

  const { code, stdout, stderr } = await bash(`${find('export')}; sala rooms -o json; sala token ana`);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /"rooms": \[\]/);

  // Each command again, in any order and with nothing pasted before it.
  for (const command of [...commands].reverse()) {
    const again = await bash(command);
    assert.equal(again.code, 0, `${command}\n${again.stderr}`);
    assert.ok(!/"code":/.test(again.stdout), `${command}\n${again.stdout}`);
  }
});

test('--dev relays my_event and shout, which the console uses', async (t) => {
  const { sala, find } = await dev(t);
  const { token } = await pasted(find('curl', '/v1/tokens'));
  const [ana, ben] = [await connect(t, sala, { token }), await connect(t, sala, { token })];
  for (const client of [ana, ben]) await client.join('lobby', 'ana');
  assert.deepEqual(await ana.ask('my_event', { room: 'lobby', n: 1 }), { ok: true });
  assert.deepEqual(await ben.next('my_response'), [{ room: 'lobby', n: 1 }]);
  assert.deepEqual(await ana.ask('shout', { n: 2 }), { ok: true });
  assert.deepEqual(await ben.next('my_response'), [{ n: 2 }]);
});

test('two --dev brokers have different secrets and keys', async (t) => {
  const [one, two] = [await dev(t), await dev(t)];
  const { token } = await pasted(one.find('curl', '/v1/tokens'));
  await assert.rejects(connect(t, two.sala, { token }), /./);
  assert.notEqual(one.find('export').split('SALA_API_KEY=')[1], two.find('export').split('SALA_API_KEY=')[1]);
});

test('the key is printed once to stdout and never to the log', async (t) => {
  const { sala, find } = await dev(t);
  const key = /SALA_API_KEY='([^']+)'/.exec(find('export'))[1];
  assert.ok(sala.child.stdout.includes(key));
  assert.ok(!sala.child.stderr.includes(key));
});

test('--dev explains that a default port is taken', async (t) => {
  const sala = await Sala.dev();
  t.after(() => sala.stop());
  const second = new Child(SALA, ['serve', '--dev', '--listen', new URL(sala.url).host, '--grpc-listen', '127.0.0.1:0', '--http-listen', '127.0.0.1:0']);
  t.after(() => second.end('SIGKILL'));
  assert.equal(await second.exited, 1);
  assert.match(second.stderr, /in use|taken/i);
});

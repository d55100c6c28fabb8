// Runs every command of docs/troubleshooting.md. Those that watch have something to see meanwhile.
import assert from 'node:assert/strict';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import { login, refusal } from '../helpers/client.mjs';
import { Backend } from '../helpers/events.mjs';
import { Child, SALA } from '../helpers/process.mjs';
import { API_KEY, CONFIG, Sala } from '../helpers/sala.mjs';
import { blocksOf } from '../helpers/snippets.mjs';
import { deadline } from '../helpers/wait.mjs';

const commands = blocksOf('docs/troubleshooting.md').filter(({ language, why }) => language === 'sh' && !why).flatMap(({ text }) => text.trim().split('\n'));
const watches = (command) => /sala tail|v1\/events/.test(command);

test('the commands of docs/troubleshooting.md show what the page says', async (t) => {
  const sala = await Sala.start({ config: CONFIG, args: ['--recovery', 'always', '--max-joins-per-second', '1'] });
  t.after(() => sala.stop());
  const grants = { rooms: ['chat:42'], join: ['chat:*'], publish: [] };
  await login(t, sala, 'ana', {}, grants);
  const backend = new Backend(sala.grpc, { credits: 1000, events: ['order'] });
  t.after(() => backend.close());
  await backend.next('started');
  const token = await sala.token('ana');

  // everything makes each of the things happen that the page is about. A client that is over a limit for long is cut, so each
  // time there is a new one.
  const everything = async () => {
    const ana = await login(t, sala, 'ana', {}, grants);
    for (let i = 0; i < 12; i++) ana.emit('join', { room: 'secret' });
    ana.emit('my_event', { room: 'chat:42' });
    ana.emit('order', 1);
    await sala.emit(['chat:42'], 'news', 1);
    await refusal(t, sala, { token: sala.foreignToken({ sub: 'ana', exp: 1 }) });
    await ana.ask('unheard');
    ana.close();
  };
  assert.ok(commands.length >= 18, `${commands.length} commands`);
  for (const command of new Set(commands)) {
    await t.test(command, async () => {
      const here = command.replaceAll('127.0.0.1:9091', new URL(sala.http).host);
      const child = new Child('bash', ['-euo', 'pipefail', '-c', `exec ${here}`], {
        env: { auth: `Authorization: Bearer ${API_KEY}`, token, SALA_SERVER: sala.grpc, SALA_API_KEY: API_KEY, PATH: [path.dirname(SALA), process.env.PATH].join(path.delimiter) },
      });
      if (!watches(command)) {
        assert.equal(await deadline(child.exited, `the end of ${command}`), 0, child.output);
        assert.notEqual(child.stdout, '');
        return;
      }
      t.after(() => child.end('SIGKILL'));
      const shown = child.see(({ stdout }) => /EVENT_KIND|^\d\d:\d\d:\d\d\.\d{3} /m.test(stdout), 'something that happened');
      let seen = false;
      shown.then(() => { seen = true; }, () => { seen = true; });
      while (!seen) {
        await everything();
        await sleep(100);
      }
      await shown;
      await child.end('SIGTERM');
      assert.ok(!child.output.includes(token) && !child.output.includes('eyJ'), 'no token is shown');
    });
  }
  assert.match(sala.log, /"msg":"outcome","kind":"message","namespace":"\/","socket":"\w+","user":"ana","room":"secret","event":"join","result":"refused","code":"JOIN_DENIED"/);
});

// The business logic of a small chat. It connects to Sala and needs no port of its own.
// Over one stream it receives what clients do: it decides who may connect, and
// moderates, stores, forwards and answers what they send.
//
//   npm ci && SALA_API_KEY=… node main.mjs
import { setTimeout as pause } from 'node:timers/promises';
import { Chat } from './chat.mjs';
import { Sala, explain, isFinal } from './sala.mjs';
import { Store } from './store.mjs';

const { CHAT_FILE = 'chat.jsonl', CHAT_BANNED = 'mallory', CHAT_UNWANTED = 'spam,scam', SALA_SERVER = '127.0.0.1:9090', SALA_API_KEY = '' } = process.env;
const FIRST_PAUSE = 200; // ms; the pause doubles each time
const LONGEST_PAUSE = 5000;
const words = (list) => new Set(list.toLowerCase().split(/[ ,]+/).filter(Boolean));

if (!SALA_API_KEY) {
  console.error('set SALA_API_KEY to an API key with the scopes events, emit and sockets:read; sala serve --dev prints one');
  process.exit(1);
}

const leaving = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => leaving.abort());

const sala = new Sala(SALA_SERVER, SALA_API_KEY);
const store = await Store.open(CHAT_FILE);
const chat = new Chat({ sala, store, banned: words(CHAT_BANNED), unwanted: words(CHAT_UNWANTED) });
const start = {
  group: 'chat', // programs that subscribe with the same group share the work
  kinds: ['EVENT_KIND_CONNECT', 'EVENT_KIND_MESSAGE'],
  events: ['say', 'history', 'avatar'],
  decide: true,
};

for (let wait = FIRST_PAUSE; !leaving.signal.aborted; wait = Math.min(2 * wait, LONGEST_PAUSE)) {
  const began = Date.now();
  try {
    await sala.listen(start, (event) => chat.handle(event), leaving.signal);
  } catch (err) {
    console.error('the stream has ended:', explain(err));
    if (isFinal(err)) {
      process.exitCode = 1;
      break;
    }
  }
  if (Date.now() - began > LONGEST_PAUSE) wait = FIRST_PAUSE;
  await pause(wait * (0.5 + Math.random()), undefined, { signal: leaving.signal }).catch(() => {}); // aborted: leave
}
await store.close();
sala.close();
console.log('bye');

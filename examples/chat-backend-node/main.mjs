// The business logic of a small chat. It connects to Sala and needs no port of its own.
// Over one stream it receives what clients do: it decides who may connect, and
// moderates, stores, forwards and answers what they send.
//
//   npm ci && SALA_API_KEY=… node main.mjs
import { connect } from '@salabroker/sala';
import { Chat } from './chat.mjs';
import { Store } from './store.mjs';

const { CHAT_FILE = 'chat.jsonl', CHAT_BANNED = 'mallory', CHAT_UNWANTED = 'spam,scam', SALA_SERVER = '127.0.0.1:9090', SALA_API_KEY } = process.env;
const words = (list) => new Set(list.toLowerCase().split(/[ ,]+/).filter(Boolean));

if (!SALA_API_KEY) {
  console.error('set SALA_API_KEY to an API key with the scopes events, emit and sockets:read; sala serve --dev prints one');
  process.exit(1);
}

const leaving = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => leaving.abort());

// The timeout of calls is shorter than the deadline of the ack that waits for the result.
const sala = connect(SALA_SERVER, { apiKey: SALA_API_KEY, timeout: 5000 });
const store = await Store.open(CHAT_FILE);
const chat = new Chat({ sala, store, banned: words(CHAT_BANNED), unwanted: words(CHAT_UNWANTED) });

const subscription = sala.subscribe({ group: 'chat' }); // programs that subscribe with the same group share the work
subscription.decide((event) => chat.decide(event));
subscription.on('say', (event) => chat.say(event));
subscription.on('history', (event) => chat.history(event));
subscription.on('avatar', (event) => event.args[0]); // return the binary data unchanged
subscription.onStarted(() => console.log('listening'));
try {
  await subscription.run({ signal: leaving.signal });
  console.log('bye');
} catch (err) {
  console.error('the broker refuses the subscription:', err.message);
  process.exitCode = 1;
}
await sala.close();
await store.close();

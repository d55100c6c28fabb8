// A group member in its own process, to be killed: it answers each event that needs
// it after a delay, and prints every event that it receives.
//
//   node member.mjs ADDRESS GROUP NAME DELAY
import { Backend, MESSAGES } from './events.mjs';

const [address, group, name, delay] = process.argv.slice(2);
const backend = new Backend(address, { group, kinds: MESSAGES, credits: 500 });
backend.onResponse = ({ started, event }) => {
  if (started) console.log('started');
  if (!event) return;
  const [n] = JSON.parse(event.argsJson);
  console.log(`event ${event.socket.id} ${n} ${event.needsAck} ${event.redelivered}`);
  setTimeout(() => {
    if (event.needsAck) backend.reply(event, [name, n]);
    backend.send({ credit: { credits: 1 } });
  }, Number(delay));
};
const { code } = await backend.ended;
console.log(`ended ${code}`);
backend.close();

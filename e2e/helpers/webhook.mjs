// A webhook that handles events, as a process that a test can kill: node webhook.mjs PORT SECRET DELAY [CERT KEY].
// It prints a line for each event: its id, socket and arguments. With a certificate it speaks TLS.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';

const [port, secret, delay, cert, key] = process.argv.slice(2);

// verified checks a signature in the manner of Standard Webhooks.
function verified(headers, body) {
  const { 'webhook-id': id, 'webhook-timestamp': time, 'webhook-signature': signatures = '' } = headers;
  if (Math.abs(Date.now() / 1000 - Number(time)) > 300) return false;
  const expected = createHmac('sha256', secret).update(`${id}.${time}.${body}`).digest();
  return signatures.split(' ').some((signature) => {
    const [version, text] = signature.split(',');
    const given = Buffer.from(text ?? '', 'base64');
    return version === 'v1' && given.length === expected.length && timingSafeEqual(given, expected);
  });
}

function answer({ data }) {
  if (data.needsDecision) return data.socket.user === 'banned' ? { refuse: { code: 'BANNED', message: 'not here' } } : { accept: { rooms: ['decided'] } };
  switch (data.event) {
    case 'wrong': return { error: { code: 'WRONG', message: 'no' } };
    case 'nonsense': return 'no answer';
    default: return { args: [data.args?.[0], 'handled'] };
  }
}

async function handle(request, response) {
  let body = '';
  for await (const chunk of request.setEncoding('utf8')) body += chunk;
  if (!verified(request.headers, body)) return response.writeHead(401).end();
  const event = JSON.parse(body);
  if (event.data.event === 'redirected') return response.writeHead(307, { location: '/elsewhere' }).end();
  console.log(JSON.stringify({ path: request.url, type: event.type, id: event.id, subject: event.subject, args: event.data.args }));
  await sleep(Number(delay));
  return response.end(JSON.stringify(answer(event)));
}

const server = cert ? createSecureServer({ cert: readFileSync(cert), key: readFileSync(key) }, handle) : createServer(handle);
server.listen(Number(port), '127.0.0.1', () => console.log('"listening"'));

// A client in TypeScript with the types that openapi-typescript generates from /openapi.json.
import createClient from 'openapi-fetch';
import type { components, paths } from './sala.js';

type Status = components['schemas']['Status'];
type Line = components['schemas']['EmitWithAckLine'];

const { SALA_URL = '', SALA_API_KEY = '', ROOM = '' } = process.env;
const sala = createClient<paths>({ baseUrl: SALA_URL, headers: { authorization: `Bearer ${SALA_API_KEY}` } });

// reason returns the stable reason of an error.
function reason(error: Status): string {
  for (const detail of error.details) {
    if (detail['@type'] === 'type.googleapis.com/google.rpc.ErrorInfo') return detail.reason;
  }
  return '';
}

const emitted = await sala.POST('/v1/emit', { body: { rooms: [ROOM], event: 'news', args: [{ text: 'hello from TypeScript' }] } });
if (emitted.error) throw new Error(reason(emitted.error));
console.log(`queued for ${emitted.data.queued} of ${emitted.data.matched}`);

const { response } = await sala.POST('/v1/emit:ack', { body: { rooms: [ROOM], event: 'ready?', args: [1] }, parseAs: 'stream' });
for (const text of (await response.text()).trim().split('\n')) {
  const line: Line = JSON.parse(text);
  if ('error' in line) throw new Error(reason(line.error));
  if ('ack' in line.result) console.log(`${line.result.ack.user} answers ${JSON.stringify(line.result.ack.args)}`);
  else console.log(`${line.result.summary.answered} of ${line.result.summary.expected} answered`);
}

const missing = await sala.GET('/v1/rooms/{room}', { params: { path: { room: 'nobody' } } });
if (missing.error) console.log(`no room nobody: ${reason(missing.error)}`);

// @ts-expect-error: an event without a name doesn't compile
const refused = await sala.POST('/v1/emit', { body: { rooms: [ROOM] } });
for (const detail of refused.error?.details ?? []) {
  if ('fieldViolations' in detail) console.log(`is required: ${detail.fieldViolations.map(({ field }) => field).join()}`);
}

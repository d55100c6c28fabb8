// A backend that calls Sala over gRPC: it issues a token for a user and sends
// an event to a room.
//
//   npm ci && SALA_API_KEY=… node backend.mjs
import { fileURLToPath } from 'node:url';
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';

const protos = ['token', 'message'].map((name) => `sala/v1/${name}.proto`);
const definition = protoLoader.loadSync(protos, {
  includeDirs: [fileURLToPath(new URL('../../proto', import.meta.url))],
  defaults: true, // without it, a count of 0 would be undefined
});
const { sala } = grpc.loadPackageDefinition(definition);

const { SALA_SERVER: address = '127.0.0.1:9090', SALA_API_KEY: key } = process.env;
const credentials = grpc.credentials.createInsecure();
const metadata = new grpc.Metadata();

// call turns a unary method into a promise.
function call(client, method, request) {
  return new Promise((resolve, reject) => {
    const deadline = Date.now() + 10_000;
    client[method](request, metadata, { deadline }, (err, response) => (err ? reject(err) : resolve(response)));
  });
}

// explain describes err to the person who runs this program.
function explain(err) {
  if (err.code === grpc.status.UNAVAILABLE) return `nobody answers at ${address}; start Sala, or set SALA_SERVER to its gRPC address`;
  return err.details ?? err.message;
}

try {
  if (!key) throw new Error('set SALA_API_KEY to an API key; sala serve --dev prints one');
  metadata.set('authorization', `Bearer ${key}`);

  const tokens = new sala.v1.TokenService(address, credentials);
  const { token } = await call(tokens, 'IssueToken', { user: 'ana', join: ['chat:*'] });
  console.log('token for ana:', token);

  const messages = new sala.v1.MessageService(address, credentials);
  const sent = await call(messages, 'Emit', {
    rooms: ['chat:42'],
    event: 'news',
    argsJson: JSON.stringify([{ text: 'hello from Node' }]),
  });
  console.log(`queued for ${sent.queued} of ${sent.matched} sockets`);
} catch (err) {
  console.error(explain(err));
  process.exit(1);
}

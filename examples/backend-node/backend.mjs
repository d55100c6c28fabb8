// A backend that calls Sala: it issues a token for a user and sends an event to a room.
//
//   npm ci && SALA_API_KEY=… node backend.mjs
import { connect } from '@salabroker/sala';

const { SALA_SERVER: address = '127.0.0.1:9090', SALA_API_KEY: apiKey } = process.env;
if (!apiKey) {
  console.error('set SALA_API_KEY to an API key; sala serve --dev prints one');
  process.exit(1);
}

const sala = connect(address, { apiKey, timeout: 5000 });
try {
  const { token } = await sala.tokens.issue({ user: 'ana', join: 'chat:*' });
  console.log('token for ana:', token);

  const sent = await sala.emit('news', [{ text: 'hello from Node' }], { rooms: 'chat:42' });
  console.log(`queued for ${sent.queued} of ${sent.matched} sockets`);
} catch (err) {
  console.error(err.code === 'UNAVAILABLE' ? `nobody answers at ${address}; start Sala, or set SALA_SERVER to its gRPC address` : err.message);
  process.exitCode = 1;
} finally {
  await sala.close();
}

// Certificates for tests of TLS.
import assert from 'node:assert/strict';
import path from 'node:path';
import { run } from './process.mjs';

// certificates makes a CA, and two certificates of it for 127.0.0.1: server and client. It returns a function that names
// their files: server.pem, server.key.
export async function certificates(dir) {
  const file = (its) => path.join(dir, its);
  const make = async (its, ...more) => {
    const { code, stderr } = await run('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
      '-keyout', file(`${its}.key`), '-out', file(`${its}.pem`), '-subj', `/CN=${its}`, ...more]);
    assert.equal(code, 0, stderr);
  };
  await make('ca');
  for (const its of ['server', 'client']) await make(its, '-CA', file('ca.pem'), '-CAkey', file('ca.key'), '-addext', 'subjectAltName=IP:127.0.0.1');
  return file;
}

// What grpc-js says when it can't reach a broker on 127.0.0.1:9090, and what the library makes of it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { SalaError } from '../dist/index.js';
import { explain } from '../dist/unreachable.js';

const NOT_CONNECTED = 'No connection established. Last error: ';
const PREFIX = "can't reach the broker at 127.0.0.1:9090: ";

test('errors say why the broker can’t be reached', () => {
  for (const [tls, code, text, want] of [
    [false, 'UNAVAILABLE', `${NOT_CONNECTED}Error: connect ECONNREFUSED 127.0.0.1:9090. Resolution note: `, `${PREFIX}connection refused; is it running, and is this the address of its gRPC listener?`],
    [false, 'UNAVAILABLE', 'Name resolution failed for target dns:127.0.0.1:9090', `${PREFIX}the name 127.0.0.1 doesn't resolve; check the address`],
    [false, 'UNAVAILABLE', `${NOT_CONNECTED}Error: connect ETIMEDOUT 192.0.2.1:9090. Resolution note: `, `${PREFIX}it doesn't answer; check the address, and the firewalls on the way`],
    [false, 'UNAVAILABLE', `${NOT_CONNECTED}Failed to connect (2026-11-26T19:34:21.837Z). Resolution note: `, `${PREFIX}it closes the connection; if it uses TLS, connect to https://127.0.0.1:9090`],
    [false, 'UNAVAILABLE', `${NOT_CONNECTED}Error: read ECONNRESET. Resolution note: `, `${PREFIX}it closes the connection; if it uses TLS, connect to https://127.0.0.1:9090`],
    [false, 'UNAVAILABLE', `${NOT_CONNECTED}Protocol error (2026-11-26T19:34:21.837Z). Resolution note: `, `${PREFIX}it speaks HTTP/1 there, not gRPC; connect to the port of --grpc-listen, 9090 by default`],
    [true, 'UNAVAILABLE', `${NOT_CONNECTED}Error: error:0A000460:SSL routines:ssl3_read_bytes:tlsv1 alert no application protocol:record.c:1601:SSL alert number 120\n. Resolution note: `, `${PREFIX}it speaks HTTP/1 there, not gRPC; connect to the port of --grpc-listen, 9090 by default`],
    [true, 'UNAVAILABLE', `${NOT_CONNECTED}Error: error:0A00010B:SSL routines:ssl3_get_record:wrong version number:record.c:350:\n. Resolution note: `, `${PREFIX}it doesn't speak TLS there; connect to http://127.0.0.1:9090, or give the broker a certificate`],
    [true, 'UNAVAILABLE', `${NOT_CONNECTED}error:0A00045C:SSL routines:ssl3_read_bytes:tlsv13 alert certificate required:record.c:1601:SSL alert number 116\n`, `${PREFIX}it ends the TLS connection; does it ask for a client certificate?`],
    [true, 'UNAVAILABLE', `${NOT_CONNECTED}Failed to connect (2026-11-26T19:34:21.837Z). Resolution note: `, `${PREFIX}it ends the TLS connection; does it ask for a client certificate?`],
    [true, 'UNAVAILABLE', `${NOT_CONNECTED}Error: unable to verify the first certificate. Resolution note: `, `${PREFIX}its certificate isn't trusted; give the client that of the CA which signed it, and check its dates`],
    [true, 'UNAVAILABLE', `${NOT_CONNECTED}Error: self-signed certificate in certificate chain. Resolution note: `, `${PREFIX}its certificate isn't trusted; give the client that of the CA which signed it, and check its dates`],
    [true, 'UNAVAILABLE', `${NOT_CONNECTED}Error [ERR_TLS_CERT_ALTNAME_INVALID]: Hostname/IP does not match certificate's altnames. Resolution note: `, `${PREFIX}its certificate isn't for 127.0.0.1; connect to a name that the certificate has`],
    [false, 'UNIMPLEMENTED', 'Received HTTP status code 404', `${PREFIX}what answers there is no gRPC listener: Received HTTP status code 404`],
    [false, 'UNAVAILABLE', 'something else', `${PREFIX}something else`],
    [false, 'UNAVAILABLE', 'Connection dropped', 'the connection to the broker at 127.0.0.1:9090 broke'],
    [false, 'UNAVAILABLE', 'read ECONNRESET', 'the connection to the broker at 127.0.0.1:9090 broke'],
    [false, 'DEADLINE_EXCEEDED', 'Deadline exceeded after 1.2s', "the broker at 127.0.0.1:9090 didn't answer in time"],
    [false, 'UNIMPLEMENTED', 'The server does not implement the method', 'The server does not implement the method'],
  ]) assert.equal(explain('127.0.0.1:9090', tls, code, text), want, text);
});

test('an error prints what it has to say, and no more', () => {
  const [line] = inspect(new SalaError('nobody answers', 'UNAVAILABLE')).split('\n');
  assert.equal(line, 'SalaError: nobody answers');
  assert.match(inspect(new SalaError('nobody answers', 'UNAVAILABLE')), /\{\n {2}code: 'UNAVAILABLE'\n\}$/);
  const details = { reason: 'NO', fieldViolations: [{ field: 'f', description: 'd' }], metadata: {}, retryDelay: 0 };
  const err = new SalaError('no', 'INVALID_ARGUMENT', details);
  assert.deepEqual(Object.keys(err).filter((name) => name !== 'name'), ['code', 'reason', 'fieldViolations', 'retryDelay']);
  assert.deepEqual(err.metadata, {});
});

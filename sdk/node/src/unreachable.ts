import type { Code } from './errors.js';

/**
 * Why the broker can't be reached, in the words that all client libraries use. `{at}` is the address,
 * `{host}` its first part, and `{why}` what grpc-js says.
 */
const UNREACHABLE = "can't reach the broker at {at}: ";
const REFUSED = `${UNREACHABLE}connection refused; is it running, and is this the address of its gRPC listener?`;
const UNRESOLVED = `${UNREACHABLE}the name {host} doesn't resolve; check the address`;
const SILENT = `${UNREACHABLE}it doesn't answer; check the address, and the firewalls on the way`;
const NO_TLS = `${UNREACHABLE}it doesn't speak TLS there; connect to http://{at}, or give the broker a certificate`;
const NO_GRPC = `${UNREACHABLE}it speaks HTTP/1 there, not gRPC; connect to the port of --grpc-listen, 9090 by default`;
const CLOSED = `${UNREACHABLE}it closes the connection; if it uses TLS, connect to https://{at}`;
const NO_CLIENT_CERT = `${UNREACHABLE}it ends the TLS connection; does it ask for a client certificate?`;
const UNTRUSTED = `${UNREACHABLE}its certificate isn't trusted; give the client that of the CA which signed it, and check its dates`;
const OTHER_NAME = `${UNREACHABLE}its certificate isn't for {host}; connect to a name that the certificate has`;
const ELSEWHERE = `${UNREACHABLE}what answers there is no gRPC listener: {why}`;
const UNKNOWN_CAUSE = `${UNREACHABLE}{why}`;
const BROKEN = 'the connection to the broker at {at} broke';
const LATE = "the broker at {at} didn't answer in time";

/** What grpc-js, Node and OpenSSL say, and what it means. The first one that matches counts. */
const CAUSES: readonly [RegExp, string][] = [
  [/ECONNREFUSED/, REFUSED],
  [/Name resolution failed|ENOTFOUND|EAI_AGAIN/, UNRESOLVED],
  [/ETIMEDOUT|EHOSTUNREACH|ENETUNREACH/, SILENT],
  [/wrong version number|packet length too long/, NO_TLS],
  [/no application protocol|^No connection established.*Protocol error/, NO_GRPC],
  [/certificate required|bad certificate/, NO_CLIENT_CERT],
  [/ERR_TLS_CERT_ALTNAME_INVALID/, OTHER_NAME],
  [/unable to (?:verify|get)|self-signed certificate|certificate has expired|certificate is not yet valid/, UNTRUSTED],
  [/Received HTTP status code/, ELSEWHERE],
  [/^No connection established.*(?:Failed to connect|ECONNRESET|disconnected before|hang up)/, CLOSED],
  [/^No connection established/, UNKNOWN_CAUSE],
  [/Connection dropped|ECONNRESET|EPIPE|Stream closed|RST_STREAM|GOAWAY/, BROKEN],
];

/** The codes of errors that grpc-js makes itself. */
const CODES: ReadonlySet<Code> = new Set(['UNAVAILABLE', 'INTERNAL', 'UNKNOWN', 'UNIMPLEMENTED', 'UNAUTHENTICATED', 'PERMISSION_DENIED']);

/**
 * A sentence for what grpc-js itself reports, without the broker: that it can't be reached, for example.
 * Other errors keep their text.
 * @internal
 */
export function explain(target: string, encrypted: boolean, code: Code, why: string): string {
  let sentence = code === 'DEADLINE_EXCEEDED' ? LATE : CODES.has(code) ? CAUSES.find(([pattern]) => pattern.test(why))?.[1] : undefined;
  if (sentence === undefined && code === 'UNAVAILABLE') sentence = UNKNOWN_CAUSE;
  if (sentence === undefined) return why;
  if (sentence === CLOSED && encrypted) sentence = NO_CLIENT_CERT;
  const values: Record<string, string> = { at: target, host: target.slice(0, target.lastIndexOf(':')), why };
  return sentence.replaceAll(/\{(\w+)\}/g, (_, name: string) => values[name] ?? '');
}

// Calls about the tokens with which clients connect.
import type { Call, Partial } from './call';

export interface NewToken {
  user: string;
  ttl: string; // such as 3600s
  namespaces: string[];
  rooms: string[];
  join: string[];
  publish: string[];
  history: string[];
  presence: string[];
  broadcast: boolean;
  data: unknown; // undefined for none
}

export interface IssuedToken {
  token: string;
  tokenId: string;
  expireTime: string;
}

export function issueToken(token: NewToken): Call<IssuedToken> {
  const body = Object.fromEntries(Object.entries(token).filter(([, value]) => (Array.isArray(value) ? value.length > 0 : value !== undefined && value !== false)));
  const flag = (name: string, values: readonly string[]) => values.flatMap((value) => [`--${name}`, value]);
  return {
    method: 'POST',
    path: 'tokens',
    body,
    rpc: 'TokenService/IssueToken',
    message: body,
    cli: [
      'token', 'issue', '--ttl', token.ttl, ...flag('namespace', token.namespaces), ...flag('room', token.rooms), ...flag('join', token.join),
      ...flag('publish', token.publish), ...flag('history', token.history), ...flag('presence', token.presence),
      ...(token.broadcast ? ['--broadcast'] : []), ...(token.data === undefined ? [] : ['--data', JSON.stringify(token.data)]), '--', token.user,
    ],
  };
}

export interface Claims {
  user: string;
  tokenId: string;
  issueTime: string | null;
  expireTime: string | null;
  namespaces: string[];
  rooms: string[];
  join: string[];
  publish: string[];
  history: string[];
  presence: string[];
  broadcast: boolean;
  data: unknown;
}

export interface Verdict {
  valid: boolean;
  claims: Claims | null;
  reason: string;
  message: string;
}

export function verifyToken(token: string): Call<Verdict> {
  return { method: 'POST', path: 'tokens:verify', body: { token }, rpc: 'TokenService/VerifyToken', message: { token }, cli: ['token', 'verify', '--', token] };
}

export interface Revoked extends Partial {
  disconnected: number;
  notStored: boolean;
}

/** Revokes one token by its id, or those of a user that were issued before a time (ISO 8601; empty means now). */
export function revokeTokens(which: { tokenId: string } | { user: string; issuedBefore: string }): Call<Revoked> {
  const body = 'tokenId' in which ? which : { user: which.user, ...(which.issuedBefore && { issuedBefore: which.issuedBefore }) };
  const cli = 'tokenId' in which
    ? ['token', 'revoke', '--', which.tokenId]
    : ['token', 'revoke', '--user', which.user, ...(which.issuedBefore ? ['--issued-before', which.issuedBefore] : [])];
  return { method: 'POST', path: 'tokens:revoke', body, rpc: 'TokenService/RevokeTokens', message: body, cli };
}

// Calls about the tokens with which clients connect.
import type { Call, Partial } from './call';
import { cli, compactObject, flag, flagFor } from './command';

export interface NewToken {
  user: string;
  ttl: string; // such as 3600s
  namespaces?: string[];
  rooms?: string[];
  join?: string[];
  publish?: string[];
  history?: string[];
  presence?: string[];
  broadcast?: boolean;
  data?: unknown;
}

export interface IssuedToken {
  token: string;
  tokenId: string;
  expireTime: string;
}

export function issueToken(token: NewToken): Call<IssuedToken> {
  const body = compactObject({ ...token });
  return {
    method: 'POST', path: 'tokens', body, rpc: 'TokenService/IssueToken', message: body,
    cli: cli('token issue', [token.user], [
      ...flag('ttl', token.ttl), ...flagFor('namespace', token.namespaces), ...flagFor('room', token.rooms), ...flagFor('join', token.join),
      ...flagFor('publish', token.publish), ...flagFor('history', token.history), ...flagFor('presence', token.presence),
      ...(token.broadcast ? ['--broadcast'] : []), ...(token.data === undefined ? [] : flag('data', JSON.stringify(token.data))),
    ]),
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
  return { method: 'POST', path: 'tokens:verify', body: { token }, rpc: 'TokenService/VerifyToken', message: { token }, cli: cli('token verify', [token]) };
}

export interface Revoked extends Partial {
  disconnected: number;
  notStored: boolean;
}

/** Revokes one token by its id, or those of a user that were issued before a time (ISO 8601; now if it is left out). */
export function revokeTokens(which: { tokenId: string } | { user: string; issuedBefore?: string }): Call<Revoked> {
  const body = compactObject({ ...which });
  const command = 'tokenId' in which
    ? cli('token revoke', [which.tokenId])
    : cli('token revoke', [], [...flag('user', which.user), ...flag('issued-before', which.issuedBefore)]);
  return { method: 'POST', path: 'tokens:revoke', body, rpc: 'TokenService/RevokeTokens', message: body, cli: command };
}

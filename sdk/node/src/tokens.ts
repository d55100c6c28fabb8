import type { CallOptions, Connection } from './connection.js';
import { TokenServiceService as methods, type RevokeTokensResponse, type TokenClaims as ProtoTokenClaims } from './gen/sala/v1/token.js';
import { toOptionalJson } from './json.js';
import { toArray, type Names } from './target.js';
import { toDuration } from './time.js';

/** Who a token is for and what it allows. A permission that is left out isn't granted. */
export interface TokenRequest {
  /** The user, 1 to 255 bytes. */
  user: string;
  /** How long the token is valid, in milliseconds: 1 s to 30 days. One hour by default. */
  ttl?: number;
  /** The namespaces that the client may connect to. All by default. */
  namespaces?: Names;
  /** The rooms that the client joins when it connects. */
  rooms?: Names;
  /** Patterns of the rooms that the client may join itself, such as `chat:*`. */
  join?: Names;
  /** Patterns of the rooms that the client may relay events into. */
  publish?: Names;
  /** Patterns of the rooms whose history the client may read when it joins them. */
  history?: Names;
  /** Patterns of the rooms in which the client may see who else is there. */
  presence?: Names;
  /** Whether the client may relay events to everyone in its namespace. */
  broadcast?: boolean;
  /** Data that backends see with the client's sockets and events: any JSON, at most 4 KiB. The client can read it. */
  data?: unknown;
}

/** A new token. */
export interface IssuedToken {
  /** The token, which a client sends in `auth: {token}`. */
  token: string;
  /** The token's id, its `jti` claim. */
  tokenId: string;
  /** When the token expires. */
  expireTime: Date;
}

/** What a token says. */
export type TokenClaims = ProtoTokenClaims;

/** Whether a client could connect with a token. */
export type TokenVerdict =
  | { valid: true; claims: TokenClaims }
  | {
      valid: false;
      /** The code that the client would receive, such as `TOKEN_EXPIRED`. */
      reason: string;
      /** A description of the reason. */
      message: string;
    };

/** Which tokens to revoke: one by its id, or those of a user. */
export type RevokeRequest =
  | { /** The id of one token. */ tokenId: string }
  | {
      /** The user whose tokens are revoked. */
      user: string;
      /** Revoke only tokens that were issued before this time. Now by default. */
      issuedBefore?: Date;
    };

/** What a revocation has done. */
export type RevokeResult = RevokeTokensResponse;

/** Issues, verifies and revokes the tokens with which clients connect. Scope: `tokens:issue`. */
export class Tokens {
  readonly #connection: Connection;

  /** @internal */
  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Makes a token for one user. Fails with the reason `NO_SIGNING_KEY` if the broker has no secret to sign with. */
  async issue(request: TokenRequest, options: CallOptions = {}): Promise<IssuedToken> {
    const { user, ttl, broadcast = false } = request;
    const { token, tokenId, expireTime } = await this.#connection.call(
      methods.issueToken,
      {
        user,
        ttl: ttl === undefined ? undefined : toDuration(ttl),
        namespaces: toArray(request.namespaces),
        rooms: toArray(request.rooms),
        join: toArray(request.join),
        publish: toArray(request.publish),
        history: toArray(request.history),
        presence: toArray(request.presence),
        broadcast,
        data: toOptionalJson(request.data),
      },
      options,
    );
    return { token, tokenId, expireTime: expireTime as Date };
  }

  /** Says what a token grants, or why a client that connects with it would be refused. An invalid token is no error. */
  async verify(token: string, options: CallOptions = {}): Promise<TokenVerdict> {
    const { valid, claims, reason, message } = await this.#connection.call(methods.verifyToken, { token }, options);
    return valid && claims ? { valid, claims } : { valid: false, reason, message };
  }

  /** Invalidates tokens before they expire. Sockets that use them are disconnected within a second. */
  async revoke(request: RevokeRequest, options: CallOptions = {}): Promise<RevokeResult> {
    return this.#connection.call(methods.revokeTokens, { tokenId: '', user: '', issuedBefore: undefined, ...request }, options);
  }
}

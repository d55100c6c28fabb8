import { Client as GrpcClient, InterceptingCall, Metadata, credentials, Channel, type ChannelCredentials, type ChannelOptions, type ClientDuplexStream, type ClientOptions, type ClientReadableStream, type Interceptor, type ServiceError } from '@grpc/grpc-js';
import { parseAddress, type Address } from './address.js';
import { backoff, pause } from './backoff.js';
import { SalaError, toSalaError } from './errors.js';
import { explain } from './unreachable.js';

/** How long a call may take if the caller doesn't say, in milliseconds. */
const DEFAULT_TIMEOUT = 10_000;

/** No attempt of a call is given up earlier, in milliseconds, unless the whole call has less. */
const SHORTEST_ATTEMPT = 1000;

/** What to trust and what to present when connecting with TLS. All are PEM. */
export interface TlsOptions {
  /** The certificates of the authorities to trust, instead of those that Node trusts. */
  ca?: string | Buffer;
  /** The client's certificate, for a broker that asks for one. */
  cert?: string | Buffer;
  /** The private key of `cert`. */
  key?: string | Buffer;
  /** The name that the broker's certificate must have, if it isn't the host of the address. */
  serverName?: string;
}

/** How to connect to a broker. */
export interface ConnectOptions {
  /** The API key. Its scopes decide which calls succeed. */
  apiKey: string;
  /**
   * How to use TLS. `true` uses it with the authorities that Node trusts, `false` asks for plaintext,
   * also to other machines. Without it the scheme of the address decides. An address without a scheme
   * is plaintext if it is a loopback address, and TLS otherwise.
   */
  tls?: boolean | TlsOptions;
  /** How long a call may take, in milliseconds, unless the call says otherwise. 10,000 by default. */
  timeout?: number;
  /** Options of grpc-js that override those of the SDK, such as `grpc.max_receive_message_length`. */
  channelOptions?: ChannelOptions;
}

/** What any call takes. */
export interface CallOptions {
  /** How long the call may take with all its attempts, in milliseconds. */
  timeout?: number;
  /** Ends the call: it rejects with the signal's reason. Whether it was carried out is unknown then. */
  signal?: AbortSignal;
  /** `false` makes one attempt only. By default, calls that are safe to repeat are repeated. */
  retry?: boolean;
}

/** What a method of a service is to grpc-js. @internal */
export interface Method<Request, Response> {
  path: string;
  requestSerialize(request: Request): Buffer;
  responseDeserialize(bytes: Buffer): Response;
}

/** The class of a generated stub. */
export type StubConstructor<Stub> = new (address: string, credentials: ChannelCredentials, options: Partial<ClientOptions>) => Stub;

/**
 * The one connection of a client: an HTTP/2 connection that grpc-js makes again whenever it breaks.
 * @internal
 */
export class Connection {
  readonly #address: Address;
  readonly #credentials: ChannelCredentials;
  readonly #options: Partial<ClientOptions>;
  readonly #channel: Channel;
  readonly #grpc: GrpcClient;
  readonly #timeout: number;
  #closed = false;

  constructor(address: string, options: ConnectOptions) {
    const { apiKey, tls, timeout = DEFAULT_TIMEOUT, channelOptions } = options;
    this.#address = parseAddress(address, tls === undefined ? undefined : tls !== false);
    const { target, tls: encrypted } = this.#address;
    const tlsOptions = typeof tls === 'object' ? tls : {};
    this.#timeout = timeout;
    this.#credentials = encrypted ? tlsCredentials(tlsOptions) : credentials.createInsecure();
    this.#channel = new Channel(target, this.#credentials, { ...channelDefaults(tlsOptions.serverName), ...channelOptions });
    this.#options = { channelOverride: this.#channel, interceptors: [authorize(apiKey)] };
    this.#grpc = new GrpcClient(target, this.#credentials, this.#options);
  }

  /** Makes a generated stub that shares the connection and the API key. */
  stub<Stub>(Constructor: StubConstructor<Stub>): Stub {
    return new Constructor(this.#address.target, this.#credentials, this.#options);
  }

  /** Closes the connection. Calls that are under way fail with CANCELLED or UNAVAILABLE. */
  close(): void {
    this.#closed = true;
    this.#channel.close();
  }

  /** Makes one attempt of a call. */
  callOnce<Request, Response>(method: Method<Request, Response>, request: Request, options: CallOptions): Promise<Response> {
    return this.#attempt(method, request, options.timeout ?? this.#timeout, options.signal);
  }

  /**
   * Makes a call that is safe to repeat. It is repeated while the broker can't be reached or doesn't
   * answer, until the caller's time is up.
   */
  async call<Request, Response>(method: Method<Request, Response>, request: Request, options: CallOptions): Promise<Response> {
    const { timeout = this.#timeout, signal, retry = true } = options;
    if (!retry) return this.callOnce(method, request, options);
    const end = performance.now() + timeout;
    const longestAttempt = Math.max(timeout / 3, SHORTEST_ATTEMPT);
    let unavailable: SalaError | undefined;
    for (let failures = 0; ; failures++) {
      try {
        return await this.#attempt(method, request, Math.min(longestAttempt, end - performance.now()), signal);
      } catch (err) {
        const wait = err instanceof SalaError ? waitAfter(err, failures) : undefined;
        if (wait === undefined) throw err;
        if ((err as SalaError).code === 'UNAVAILABLE') unavailable = err as SalaError;
        // That nobody answers says more than that the last attempt had no time left.
        if (performance.now() + wait >= end) throw unavailable ?? err;
        await pause(wait, signal);
      }
    }
  }

  /** Opens a stream of responses. It ends with an error for `toError`. */
  serverStream<Request, Response>(method: Method<Request, Response>, request: Request, timeout: number): ClientReadableStream<Response> {
    this.#requireOpen();
    return this.#grpc.makeServerStreamRequest(method.path, method.requestSerialize, method.responseDeserialize, request, new Metadata(), { deadline: Date.now() + timeout });
  }

  /** Opens a stream in both directions, without a deadline. */
  duplexStream<Request, Response>(method: Method<Request, Response>): ClientDuplexStream<Request, Response> {
    this.#requireOpen();
    return this.#grpc.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize, new Metadata());
  }

  /** How long a call may take if the caller doesn't say, in milliseconds. */
  get timeout(): number {
    return this.#timeout;
  }

  /** The error of something that the broker hasn't answered in time. */
  late(): SalaError {
    return new SalaError(explain(this.#address.target, this.#address.tls, 'DEADLINE_EXCEEDED', ''), 'DEADLINE_EXCEEDED');
  }

  /** Turns what grpc-js reports into a SalaError. Other errors stay as they are. */
  toError(err: Error): Error {
    return toSalaError(err, this.#address);
  }

  /** grpc-js would connect again. */
  #requireOpen(): void {
    if (this.#closed) throw new SalaError('the client is closed', 'CANCELLED');
  }

  async #attempt<Request, Response>(method: Method<Request, Response>, request: Request, timeout: number, signal: AbortSignal | undefined): Promise<Response> {
    try {
      return await this.#request(method, request, timeout, signal);
    } catch (err) {
      if (signal?.aborted) throw signal.reason;
      throw this.toError(err as Error); // here, its stack names the caller
    }
  }

  #request<Request, Response>(method: Method<Request, Response>, request: Request, timeout: number, signal: AbortSignal | undefined): Promise<Response> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      this.#requireOpen();
      const done = (err: ServiceError | null, response?: Response): void => {
        signal?.removeEventListener('abort', abort);
        if (err) reject(err);
        else resolve(response as Response);
      };
      const call = this.#grpc.makeUnaryRequest(method.path, method.requestSerialize, method.responseDeserialize, request, new Metadata(), { deadline: Date.now() + timeout }, done);
      const abort = (): void => call.cancel();
      signal?.addEventListener('abort', abort, { once: true });
    });
  }
}

/** How long to wait before a call is repeated, or undefined if another attempt would fail as well. */
function waitAfter(err: SalaError, failures: number): number | undefined {
  switch (err.code) {
    case 'UNAVAILABLE':
    case 'DEADLINE_EXCEEDED': // of the attempt: the call's own time is checked by the caller
      return Math.max(backoff(failures), err.retryDelay ?? 0);
    case 'RESOURCE_EXHAUSTED':
      return err.retryDelay === undefined ? undefined : err.retryDelay + backoff(failures);
    default:
      return undefined;
  }
}

function tlsCredentials({ ca, cert, key }: TlsOptions): ChannelCredentials {
  return credentials.createSsl(pem(ca), pem(key), pem(cert));
}

function pem(text: string | Buffer | undefined): Buffer | null {
  return text === undefined ? null : Buffer.from(text);
}

function channelDefaults(serverName: string | undefined): ChannelOptions {
  return {
    'grpc.keepalive_time_ms': 30_000,
    'grpc.keepalive_timeout_ms': 10_000,
    // Retries are the SDK's; without these, grpc-js itself would wait up to two minutes.
    'grpc.enable_retries': 0,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 1000,
    // Closing one client must not depend on another one of the same process.
    'grpc.use_local_subchannel_pool': 1,
    ...(serverName === undefined ? {} : { 'grpc.ssl_target_name_override': serverName, 'grpc.default_authority': serverName }),
  };
}

/** Adds the API key to each call, also to those of the stubs. */
function authorize(apiKey: string): Interceptor {
  // The metadata's own check would show the key in its error.
  if (apiKey === undefined || apiKey === '') throw new TypeError('an API key is needed; sala serve --dev prints one');
  if (typeof apiKey !== 'string' || !/^[\x21-\x7e]+$/.test(apiKey)) throw new TypeError('the API key has a character that no key has; copy it as it was printed');
  const authorization = `Bearer ${apiKey}`;
  return (options, nextCall) =>
    new InterceptingCall(nextCall(options), {
      start(metadata, listener, next) {
        metadata.set('authorization', authorization);
        next(metadata, listener);
      },
    });
}

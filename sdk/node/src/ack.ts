/**
 * Return this in a handler of `on` to answer the client's ack with several arguments:
 * `return new Ack(null, { id })`.
 */
export class Ack {
  /** The arguments. */
  readonly args: readonly unknown[];

  constructor(...args: unknown[]) {
    this.args = args;
  }
}

/** Return this in a handler of `decide` to say more about a client that may connect. */
export interface Accept {
  /** Rooms that the socket joins in addition to those of its token, at most 100. */
  rooms?: readonly string[];
  /** The data that backends see with the socket: any JSON, at most 4 KiB. By default, the data of its token. */
  data?: unknown;
}

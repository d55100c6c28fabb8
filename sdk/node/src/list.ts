/** One page of a list. */
export interface Page<T> {
  /** The items of the page, perhaps none although more pages follow. */
  items: T[];
  /** Whether a node didn't answer, so that what it knows is missing. Always false on a single node. */
  partial: boolean;
  /** The ids of the nodes that didn't answer. */
  missingNodes: string[];
  /** Whether more items match than the list has. */
  truncated: boolean;
}

/** A page, and the token of the one after it. @internal */
export interface TokenPage<T> extends Page<T> {
  nextPageToken: string;
}

/**
 * A list that is read page by page as you iterate, from the beginning for each iteration:
 *
 * ```js
 * for await (const room of sala.rooms.list()) console.log(room.name, room.sockets);
 * ```
 *
 * In a cluster, `pages()` also says whether a node is missing.
 */
export class List<T> implements AsyncIterable<T> {
  readonly #fetch: (pageToken: string) => Promise<TokenPage<T>>;

  /** @internal */
  constructor(fetch: (pageToken: string) => Promise<TokenPage<T>>) {
    this.#fetch = fetch;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for await (const { items } of this.pages()) yield* items;
  }

  /** Iterates over the pages instead of their items. */
  async *pages(): AsyncGenerator<Page<T>, void, undefined> {
    let pageToken = '';
    do {
      const { nextPageToken, ...page } = await this.#fetch(pageToken);
      yield page;
      pageToken = nextPageToken;
    } while (pageToken !== '');
  }

  /** Reads the whole list into an array. */
  async toArray(): Promise<T[]> {
    const all: T[] = [];
    for await (const item of this) all.push(item);
    return all;
  }
}

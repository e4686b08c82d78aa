/** A search under way: to be awaited as a whole, or gone through hit by hit. */
import type { Hit, SearchResult } from './reads.js';

/**
 * What `Collection.search` returns. It is sent once, when `search` is called, as all calls are:
 * several searches run side by side, `timeoutMs` counts from the call, and awaiting it again, or
 * going through it again, sends nothing.
 *
 * One that fails and is never looked at is no unhandled rejection. What `then`, `catch` and
 * `finally` return are promises like any other.
 *
 * @example
 *     const search = notes.search({ vector: [0.1, 0.2, 0.3], k: 3 });
 *     const { hits, degraded } = await search;
 *     for await (const hit of search) console.log(hit.id, hit.distance);
 *     console.log(hits.length, degraded);
 */
export class SearchCall<M extends object>
  implements Promise<SearchResult<M>>, AsyncIterable<Hit<M>>
{
  readonly [Symbol.toStringTag] = 'SearchCall';
  readonly #result: Promise<SearchResult<M>>;

  /** @internal */
  constructor(result: Promise<SearchResult<M>>) {
    this.#result = result;
    // Whoever looks at the call later is told; if nobody does, nobody missed the answer.
    result.catch(() => undefined);
  }

  // biome-ignore lint/suspicious/noThenProperty: to be awaited is what it is for.
  then<Fulfilled = SearchResult<M>, Rejected = never>(
    onFulfilled?: ((result: SearchResult<M>) => Fulfilled | PromiseLike<Fulfilled>) | null,
    onRejected?: ((reason: unknown) => Rejected | PromiseLike<Rejected>) | null,
  ): Promise<Fulfilled | Rejected> {
    return this.#result.then(onFulfilled, onRejected);
  }

  catch<Rejected = never>(
    onRejected?: ((reason: unknown) => Rejected | PromiseLike<Rejected>) | null,
  ): Promise<SearchResult<M> | Rejected> {
    return this.#result.catch(onRejected);
  }

  finally(onFinally?: (() => void) | null): Promise<SearchResult<M>> {
    return this.#result.finally(onFinally);
  }

  /** The hits, nearest first; throws what the search rejects with. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Hit<M>, void, undefined> {
    const { hits } = await this.#result;
    yield* hits;
  }
}

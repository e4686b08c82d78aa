/** What a node measures of the ways in which its router goes beyond asking each shard once. */
import { Counter, Gauge, type Registry } from 'prom-client';

export class RouterMetrics {
  readonly #retries: Counter;
  readonly #hedges: Counter;
  readonly #cacheHits: Counter;
  readonly #cacheMisses: Counter;
  readonly #cacheEvictions: Counter;
  readonly #cacheBytes: Gauge;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#retries = new Counter({
      name: 'flotilla_router_retries_total',
      help:
        'Repeats of calls to shards, by why and by what the retry budget said: free, paid, or ' +
        'spent, where there was none.',
      labelNames: ['reason', 'budget'],
      registers,
    });
    this.#hedges = new Counter({
      name: 'flotilla_router_hedged_reads_total',
      help:
        'Reads that took longer than most: whether a second replica won, lost, or was not asked ' +
        '(denied) to spare the cluster.',
      labelNames: ['result'],
      registers,
    });
    this.#cacheHits = new Counter({
      name: 'flotilla_router_cache_hits_total',
      help: 'Searches that were answered from the cache, without asking a shard.',
      registers,
    });
    this.#cacheMisses = new Counter({
      name: 'flotilla_router_cache_misses_total',
      help: 'Searches that the cache could have answered, had it held a fresh answer.',
      registers,
    });
    this.#cacheEvictions = new Counter({
      name: 'flotilla_router_cache_evictions_total',
      help: 'Answers that left the cache to make room for others.',
      registers,
    });
    this.#cacheBytes = new Gauge({
      name: 'flotilla_router_cache_bytes',
      help: 'What the answers in the cache take, of router.searchCacheBytes.',
      registers,
    });
  }

  /** A shard was to be asked again after this error. */
  shardRetried(reason: string, budget: 'free' | 'paid' | 'spent'): void {
    this.#retries.inc({ reason, budget });
  }

  /** A read has taken longer than most. */
  readHedged(result: 'won' | 'lost' | 'denied'): void {
    this.#hedges.inc({ result });
  }

  /** A search was looked up that the cache may answer. */
  cacheLookedUp(isHit: boolean): void {
    (isHit ? this.#cacheHits : this.#cacheMisses).inc();
  }

  /** Answers came into the cache or left it, `evicted` of them to make room. */
  cacheChanged(sizeBytes: number, evicted: number): void {
    this.#cacheBytes.set(sizeBytes);
    if (evicted > 0) this.#cacheEvictions.inc(evicted);
  }
}

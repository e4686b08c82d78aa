// Goal: kept answers are young enough, show what the router knows, and fit their bytes.
// Method: the cache alone on a virtual clock, with answers made up; then random use of it.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeHits } from '../../../src/replica/rpc-reads.js';
import type { SearchHit, SearchRequestQuery } from '../../../src/router/requests.js';
import { entrySizeBytes, type Question, SearchCache } from '../../../src/router/search-cache.js';
import type { SearchedScope } from '../../../src/router/search-key.js';
import type { Consistency, ServedShard } from '../../../src/shared/consistency.js';
import { LIMITS } from '../../../src/shared/limits.js';
import { VirtualEnvironment } from '../../support/virtual-environment.js';

const DRIFT = 1.05;
const HIT: SearchHit = {
  tenant: 'acme',
  id: 'a',
  version: 7n,
  distance: 0.5,
  metadata: Uint8Array.of(1, 2, 3),
};

const scope = (more: Partial<SearchedScope['selection']> = {}, ownershipVersion = 1) =>
  ({
    collection: { collectionId: 1 },
    shardIds: [0, 1],
    selection: { tenant: '', ...more },
    document: { shards: [0, 1].map((shardId) => ({ shardId, ownershipVersion })) },
  }) as unknown as SearchedScope;

const query = (more: Partial<SearchRequestQuery> = {}): SearchRequestQuery => ({
  target: { kind: 'vector', values: Float32Array.of(1, 2) },
  limit: 3,
  includeValues: false,
  includeMetadata: true,
  ...more,
});

const untold = (appliedIndex: number, shardId = 0): ServedShard => {
  return { shardId, nodeId: 1, ownershipVersion: 1, appliedIndex };
};
const served = (appliedIndex: number, ageMs: number, shardId = 0) => {
  return { ...untold(appliedIndex, shardId), ageMs };
};

class Bench {
  readonly environment = new VirtualEnvironment();
  readonly looks: boolean[] = [];
  readonly changes: { sizeBytes: number; evicted: number }[] = [];
  readonly cache: SearchCache;

  constructor(sizeMaxBytes = 1_000_000) {
    this.cache = new SearchCache({
      sizeMaxBytes,
      clock: this.environment.clock,
      hooks: {
        onCacheLookup: ({ isHit }) => this.looks.push(isHit),
        onCacheChange: (change) => this.changes.push(change),
      },
    });
  }

  ask(consistency: Consistency, of = query(), where = scope()): Question {
    const question = this.cache.question(where, [of], consistency);
    if (question === undefined) throw new Error('the cache may not be asked');
    return question;
  }

  /** Keeps an answer as if shards had given it at once. */
  keep(sources: readonly ServedShard[] = [served(5, 0), served(9, 0, 1)], of = query()): void {
    for (const source of sources) this.cache.noteAnswer(source);
    const answer = { results: [[HIT]], cutQueries: [], served: sources };
    this.cache.keep(this.ask('eventual', of), answer, sources);
  }

  finds(consistency: Consistency, of = query()): boolean {
    return this.cache.find(this.ask(consistency, of)) !== undefined;
  }
}

describe('what is kept', () => {
  it('answers bounded and eventual reads only (V1)', () => {
    const { cache } = new Bench();
    const seen = { session: [{ shardId: 0, ownershipVersion: 1, appliedIndex: 1 }] };
    for (const level of ['strong', 'leased', seen] as const) {
      expect(cache.question(scope(), [query()], level)).toBeUndefined();
    }
  });

  it('is answered as it was, with ages grown by the time since it was asked (V2)', async () => {
    const bench = new Bench();
    bench.keep([served(5, 40), served(9, 7, 1)]);
    await bench.environment.advance(100);
    const answer = bench.cache.find(bench.ask({ boundedMs: 1_000 }));
    expect(answer?.results).toEqual([[HIT]]);
    expect(answer?.served).toEqual([served(5, 40 + 100 * DRIFT), served(9, 7 + 100 * DRIFT, 1)]);
  });

  it('counts the time that shards took to answer as time in the cache (V2)', async () => {
    const bench = new Bench();
    const question = bench.ask({ boundedMs: 1_000 });
    await bench.environment.advance(300);
    const sources = [served(5, 10)];
    bench.cache.keep(question, { results: [[HIT]], cutQueries: [], served: sources }, sources);
    const answer = bench.cache.find(bench.ask({ boundedMs: 1_000 }));
    expect(answer?.served[0]?.ageMs).toBe(10 + 300 * DRIFT);
  });

  it.each([99, 100, 101])('is %i ms old by the oldest part, and may be 100 (V2)', (ageMs) => {
    const bench = new Bench();
    bench.keep([served(5, 0), served(9, ageMs, 1)]);
    expect(bench.finds({ boundedMs: 100 })).toBe(ageMs <= 100);
  });

  it('is eventual for a second after it was asked, drift included (V2)', async () => {
    const bench = new Bench();
    bench.keep();
    const mostMs = LIMITS.cachedEventualMsMax.value / DRIFT;
    await bench.environment.advance(mostMs - 1);
    expect(bench.finds('eventual')).toBe(true);
    await bench.environment.advance(2);
    expect(bench.finds('eventual')).toBe(false);
    expect(bench.finds({ boundedMs: 60_000 })).toBe(true);
  });

  it('is of no use once a newer index of a shard is heard of (V3)', async () => {
    const bench = new Bench();
    bench.keep();
    await bench.environment.advance(10);
    bench.cache.noteAnswer(untold(9, 1));
    expect(bench.finds('eventual')).toBe(true);
    bench.cache.noteAnswer(untold(10, 1));
    expect(bench.finds('eventual')).toBe(false);
    expect(bench.cache.sizeBytes).toBe(0);
  });

  it('is of no use after an own write, although its index covers that (V3)', async () => {
    const bench = new Bench();
    bench.keep([served(12, 0)]);
    await bench.environment.advance(10);
    bench.cache.noteWrite(untold(12));
    expect(bench.finds('eventual')).toBe(false);
  });

  it('after an own write has to be complete up to a later moment (V3)', async () => {
    const bench = new Bench();
    bench.cache.noteWrite(untold(5));
    await bench.environment.advance(50);
    bench.keep([served(5, 50)]);
    expect(bench.finds('eventual')).toBe(false);
    bench.keep([served(5, 49)]);
    expect(bench.finds('eventual')).toBe(true);
  });

  it('is no answer of unknown age, and none that something has overtaken (V3, V4)', () => {
    const bench = new Bench();
    bench.keep([served(5, 0), untold(9, 1)]);
    bench.cache.noteAnswer(untold(6));
    bench.keep([served(5, 0)]);
    expect(bench.cache.sizeBytes).toBe(0);
  });

  it('knows one search from every other, and tenants apart (V1)', () => {
    const { cache } = new Bench();
    const keyOf = (where: SearchedScope, queries: readonly SearchRequestQuery[]) =>
      cache.question(where, queries, 'eventual')?.key;
    const keys = [
      keyOf(scope(), [query()]),
      keyOf(scope({ tenant: 'acme' }), [query()]),
      keyOf({ ...scope(), selection: {} }, [query()]),
      keyOf(scope({ shardKeys: ['a'] }), [query()]),
      keyOf(scope({ shardKeys: ['a', 'b'] }), [query()]),
      keyOf(scope({}, 2), [query()]),
      keyOf({ ...scope(), shardIds: [0] }, [query()]),
      keyOf(scope(), [query(), query()]),
      keyOf(scope(), [query({ limit: 4 })]),
      keyOf(scope(), [query({ offset: 1 })]),
      keyOf(scope(), [query({ shardK: 4 })]),
      keyOf(scope(), [query({ ef: 9 })]),
      keyOf(scope(), [query({ scoreThreshold: 1 })]),
      keyOf(scope(), [query({ filter: Uint8Array.of(1) })]),
      keyOf(scope(), [query({ includeValues: true })]),
      keyOf(scope(), [query({ includeMetadata: false })]),
      keyOf(scope(), [query({ target: { kind: 'record', id: 'a' } })]),
      keyOf(scope(), [query({ target: { kind: 'record', id: 'a', shardKey: 'b' } })]),
      keyOf(scope(), [query({ target: { kind: 'vector', values: Float32Array.of(1, 3) } })]),
    ];
    expect(new Set(keys).size).toBe(keys.length);
    expect(keyOf(scope(), [query({ shardK: 3, offset: 0, ef: 0 })])).toBe(keys[0]);
  });
});

const SIZE_MAX_BYTES = 4_000;

const of = (at: number): SearchRequestQuery => query({ limit: at + 1 });

type Action =
  | { readonly kind: 'keep'; readonly at: number; readonly hits: number }
  | { readonly kind: 'find'; readonly at: number }
  | { readonly kind: 'news'; readonly shardId: number };

const action: fc.Arbitrary<Action> = fc.oneof(
  fc.record({ kind: fc.constant('keep' as const), at: fc.nat(5), hits: fc.nat(4) }),
  fc.record({ kind: fc.constant('find' as const), at: fc.nat(5) }),
  fc.record({ kind: fc.constant('news' as const), shardId: fc.nat(1) }),
);

/** Does to the cache what an action says, and notes the sizes of what should be in it. */
class SizeModel {
  readonly #bench: Bench;
  /** By key, what was used longest ago first. */
  readonly #sizes = new Map<string, number>();
  readonly #indexes = [1, 1];

  constructor(bench: Bench) {
    this.#bench = bench;
  }

  get sizeBytes(): number {
    return [...this.#sizes.values()].reduce((sum, size) => sum + size, 0);
  }

  run(one: Action): void {
    if (one.kind === 'news') this.#news(one.shardId);
    else if (one.kind === 'find') this.#find(this.#bench.ask('eventual', of(one.at)));
    else this.#keep(this.#bench.ask('eventual', of(one.at)), one.hits);
  }

  #news(shardId: number): void {
    const index = (this.#indexes[shardId] ?? 0) + 1;
    this.#indexes[shardId] = index;
    this.#bench.cache.noteAnswer(untold(index, shardId));
  }

  #find(question: Question): void {
    const sizeBytes = this.#sizes.get(question.key) ?? 0;
    this.#sizes.delete(question.key);
    const isFound = this.#bench.cache.find(question) !== undefined;
    if (isFound) this.#sizes.set(question.key, sizeBytes);
  }

  #keep(question: Question, count: number): void {
    const sources = this.#indexes.map((index, shardId) => served(index, 0, shardId));
    const results = [Array.from({ length: count }, () => HIT)];
    this.#bench.cache.keep(question, { results, cutQueries: [], served: sources }, sources);
    const parts = { cutQueries: [], served: sources, sources };
    const hits = encodeHits({ value: results });
    this.#sizes.delete(question.key);
    this.#sizes.set(question.key, entrySizeBytes(question.key, { ...parts, hits }));
    for (const key of this.#sizes.keys()) {
      if (this.sizeBytes > SIZE_MAX_BYTES) this.#sizes.delete(key);
    }
  }
}

describe('the bytes of the cache (V4)', () => {
  it('make room for the newest, and what was used longest ago goes', async () => {
    const probe = new Bench();
    probe.keep();
    const entryBytes = probe.cache.sizeBytes;
    const bench = new Bench(3 * entryBytes);
    for (const at of [0, 1, 2]) bench.keep(undefined, of(at));
    expect(bench.cache.sizeBytes).toBe(3 * entryBytes);
    expect(bench.finds('eventual', of(0))).toBe(true);
    bench.keep(undefined, of(3));
    expect([0, 1, 2, 3].map((at) => bench.finds('eventual', of(at)))).toEqual([
      true,
      false,
      true,
      true,
    ]);
    expect(bench.changes.at(-1)).toEqual({ sizeBytes: 3 * entryBytes, evicted: 1 });
    expect(bench.looks).toEqual([true, true, false, true, true]);
  });

  it('hold no answer that takes more than all of them', () => {
    const probe = new Bench();
    probe.keep();
    const entryBytes = probe.cache.sizeBytes;
    for (const [sizeMaxBytes, isKept] of [
      [entryBytes - 1, false],
      [entryBytes, true],
    ] as const) {
      const bench = new Bench(sizeMaxBytes);
      bench.keep();
      expect(bench.finds('eventual')).toBe(isKept);
    }
  });

  it('are counted as exactly as entries come and go', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 60 }), async (actions) => {
        const bench = new Bench(SIZE_MAX_BYTES);
        const model = new SizeModel(bench);
        for (const one of actions) {
          await bench.environment.advance(1);
          model.run(one);
          expect(bench.cache.sizeBytes).toBe(model.sizeBytes);
          expect(bench.cache.sizeBytes).toBeLessThanOrEqual(SIZE_MAX_BYTES);
        }
      }),
      { numRuns: 100 },
    );
  });

  it('are those of the key, the hits and the parts', () => {
    const parts = { hits: new Uint8Array(10), cutQueries: [], served: [], sources: [] };
    const empty = entrySizeBytes('', { ...parts, hits: new Uint8Array(0) });
    expect(entrySizeBytes('key', parts)).toBe(empty + 13);
    const shards = { served: [served(1, 0)], sources: [served(1, 0)] };
    expect(entrySizeBytes('key', { ...parts, ...shards })).toBeGreaterThan(empty + 13);
  });
});

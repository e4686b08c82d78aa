/**
 * Answers of searches over shards, kept for the same search again. Only for reads that need not be
 * the newest: bounded ones, within their bound, and eventual ones, for a second (V1 to V3).
 */
import { FreshnessMark, type Moment } from '../replica/freshness-mark.js';
import { decodeHits, encodeHits } from '../replica/rpc-reads.js';
import type { Consistency, SeenShard, ServedShard } from '../shared/consistency.js';
import type { Clock } from '../shared/environment.js';
import { LIMITS } from '../shared/limits.js';
import type { RouterHooks } from './hooks.js';
import type { CacheVerdict, SearchHit, SearchRequestQuery } from './requests.js';
import { type SearchedScope, searchKey } from './search-key.js';

export interface SearchCacheOptions {
  /** What all entries may take, see `entrySizeBytes`. */
  readonly sizeMaxBytes: number;
  readonly clock: Clock;
  readonly hooks: Pick<RouterHooks, 'onCacheLookup' | 'onCacheChange'>;
}

/** A search that may be answered from here, and the moment at which it was asked. */
export interface Question {
  readonly key: string;
  readonly asked: Moment;
  readonly consistency: CachedConsistency;
}

type CachedConsistency = 'eventual' | { readonly boundedMs: number };

/** What all shards together have answered. */
export interface WholeAnswer {
  /** Of each query, as shards know their records. */
  readonly results: readonly (readonly SearchHit[])[];
  readonly cutQueries: readonly number[];
  /** Where each shard's part comes from. */
  readonly served: readonly ServedShard[];
}

interface Entry {
  readonly asked: Moment;
  /** The hits in the form in which they travel: views of messages would keep these whole. */
  readonly hits: Uint8Array;
  readonly cutQueries: readonly number[];
  readonly served: readonly ServedShard[];
  /** All parts that went into the answer, vectors of queries by id among them, with their ages. */
  readonly sources: readonly AgedShard[];
  readonly sizeBytes: number;
}

type AgedShard = ServedShard & { readonly ageMs: number };

/** What this router has heard of a shard's log. */
interface Heard {
  appliedIndex: number;
  /** When it last heard, by the monotonic clock, that a write of its own was applied. */
  writtenMs: number;
}

/** Objects of an entry and its place in the map, and of each part that it names. */
const ENTRY_BYTES = 512;
const PART_BYTES = 112;
const NUMBER_BYTES = 8;

/**
 * Least recently used answers make room. Finding one costs its key, a look at each of its shards
 * and a copy of its hits; keeping one costs its key and its bytes.
 *
 * What is kept is of no use from the moment on at which the router hears, by any answer or write,
 * of a newer index of one of the shards (V3). So where shards are written to all the time nothing
 * is found, and after a write by this router nothing is kept until replicas answer that are sure
 * to show it.
 */
export class SearchCache {
  readonly #options: SearchCacheOptions;
  readonly #mark: FreshnessMark;
  /** The least recently used first. */
  readonly #entries = new Map<string, Entry>();
  /** By shard; of at most as many as a cluster has. */
  readonly #heard = new Map<number, Heard>();
  #sizeBytes = 0;

  constructor(options: SearchCacheOptions) {
    this.#options = options;
    this.#mark = new FreshnessMark(options.clock);
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** The search, as of now; `undefined` where it has to be fresher than what is kept here (V1). */
  question(
    scope: SearchedScope,
    queries: readonly SearchRequestQuery[],
    consistency: Consistency,
  ): Question | undefined {
    if (!isCached(consistency)) return undefined;
    return { key: searchKey(scope, queries), asked: this.#mark.now(), consistency };
  }

  /** The answer to an equal search, where it is young enough, its ages grown by the time here. */
  find(question: Question): WholeAnswer | undefined {
    const entry = this.#entries.get(question.key);
    const isHit = entry !== undefined && this.#faultOf(entry, question) === undefined;
    if (entry !== undefined) this.#touch(question.key, entry);
    this.#options.hooks.onCacheLookup?.({ isHit });
    return isHit ? this.#answerOf(entry) : undefined;
  }

  /** Whether `find` would find something, and why not otherwise. Changes nothing. */
  verdict(question: Question): CacheVerdict {
    const entry = this.#entries.get(question.key);
    if (entry === undefined) return { verdict: 'miss', reason: 'nothing is kept of this search' };
    const fault = this.#faultOf(entry, question);
    if (fault !== undefined) return { verdict: 'miss', reason: fault };
    const keptMs = Math.round(this.#mark.ageMs(entry.asked));
    return { verdict: 'hit', reason: `an answer is kept, since ${keptMs} ms` };
  }

  /**
   * Keeps the answer to a question of which all shards have answered. `sources` are all parts that
   * went into it. Does nothing where the age of one is not known, where something newer was heard
   * of meanwhile, and where it takes more than all entries may.
   */
  keep(question: Question, answer: WholeAnswer, sources: readonly ServedShard[]): void {
    const { asked } = question;
    const aged = sources.filter(isAged);
    const isOfUse = this.#overtakenBy({ asked, sources: aged }) === undefined;
    if (aged.length < sources.length || !isOfUse) return;
    const { served, cutQueries, results } = answer;
    const hits = encodeHits({ value: results }).slice();
    const parts = { asked, hits, cutQueries, served, sources: aged };
    const entry = { ...parts, sizeBytes: entrySizeBytes(question.key, parts) };
    if (entry.sizeBytes > this.#options.sizeMaxBytes) return;
    const before = this.#entries.get(question.key);
    this.#entries.delete(question.key);
    this.#entries.set(question.key, entry);
    this.#sizeBytes += entry.sizeBytes - (before?.sizeBytes ?? 0);
    this.#makeRoom();
  }

  /** A replica has answered, whatever it was asked. */
  noteAnswer({ shardId, appliedIndex }: SeenShard): void {
    const heard = this.#heardOf(shardId);
    heard.appliedIndex = Math.max(heard.appliedIndex, appliedIndex);
  }

  /** A write of this router was applied. */
  noteWrite(written: SeenShard): void {
    this.noteAnswer(written);
    this.#heardOf(written.shardId).writtenMs = this.#options.clock.monotonicMs();
  }

  #heardOf(shardId: number): Heard {
    const known = this.#heard.get(shardId);
    if (known !== undefined) return known;
    const heard = { appliedIndex: 0, writtenMs: Number.NEGATIVE_INFINITY };
    this.#heard.set(shardId, heard);
    return heard;
  }

  /** What is too old for one bound may do for another; what is overtaken is of no use to any. */
  #touch(key: string, entry: Entry): void {
    this.#entries.delete(key);
    if (this.#overtakenBy(entry) === undefined) {
      this.#entries.set(key, entry);
      return;
    }
    this.#sizeBytes -= entry.sizeBytes;
    this.#options.hooks.onCacheChange?.({ sizeBytes: this.#sizeBytes, evicted: 0 });
  }

  #faultOf(entry: Entry, { consistency }: Question): string | undefined {
    const shardId = this.#overtakenBy(entry);
    if (shardId !== undefined) return `shard ${shardId} has entries that it may not show`;
    const keptMs = this.#mark.ageMs(entry.asked);
    if (consistency === 'eventual') {
      const mostMs = LIMITS.cachedEventualMsMax.value;
      if (keptMs <= mostMs) return undefined;
      return `it is kept since ${Math.round(keptMs)} ms, and may be for ${mostMs}`;
    }
    // The age counts until the answer leaves here (V2), drift added as for replicas (R11).
    const ageMs = keptMs + Math.max(0, ...entry.sources.map((source) => source.ageMs));
    if (ageMs <= consistency.boundedMs) return undefined;
    return `it is ${Math.round(ageMs)} ms old, and may be ${consistency.boundedMs}`;
  }

  /**
   * The shard of which the router knows something that the answer may not show (V3): a newer index,
   * or a write of its own later than the moment up to which the part is complete. The index of an
   * answer is only an upper bound of what it shows: it alone does not prove that it shows a write.
   */
  #overtakenBy({ asked, sources }: Pick<Entry, 'asked' | 'sources'>): number | undefined {
    return sources.find(({ shardId, appliedIndex, ageMs }) => {
      const heard = this.#heard.get(shardId);
      if (heard === undefined) return false;
      const isOld = heard.appliedIndex > appliedIndex;
      return isOld || heard.writtenMs >= asked.monotonicMs - ageMs;
    })?.shardId;
  }

  #answerOf({ asked, hits, cutQueries, served }: Entry): WholeAnswer {
    const keptMs = this.#mark.ageMs(asked);
    return {
      results: decodeHits(hits).value,
      cutQueries,
      served: served.map(({ ageMs = 0, ...part }) => ({ ...part, ageMs: ageMs + keptMs })),
    };
  }

  #makeRoom(): void {
    let evicted = 0;
    for (const [key, entry] of this.#entries) {
      if (this.#sizeBytes <= this.#options.sizeMaxBytes) break;
      this.#entries.delete(key);
      this.#sizeBytes -= entry.sizeBytes;
      evicted++;
    }
    this.#options.hooks.onCacheChange?.({ sizeBytes: this.#sizeBytes, evicted });
  }
}

/** What an entry takes, and counts for: its key, its hits, and what stands for the objects. */
export function entrySizeBytes(
  key: string,
  { hits, cutQueries, served, sources }: Pick<Entry, 'hits' | 'cutQueries' | 'served' | 'sources'>,
): number {
  const parts = served.length + sources.length;
  return (
    ENTRY_BYTES + key.length + hits.length + PART_BYTES * parts + NUMBER_BYTES * cutQueries.length
  );
}

function isCached(consistency: Consistency): consistency is CachedConsistency {
  return (
    consistency === 'eventual' || (typeof consistency === 'object' && 'boundedMs' in consistency)
  );
}

function isAged(source: ServedShard): source is AgedShard {
  return source.ageMs !== undefined;
}

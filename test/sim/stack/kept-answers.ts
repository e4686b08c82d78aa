/**
 * Goal: what a node answers from its cache of searches is what the rules of kept answers allow.
 *
 * Method: what one process has answered by asking shards is remembered, as is what it was told of
 * their logs and what it has written. An answer that comes from the cache has to be one of those,
 * to an equal search (V1), to tell an age that fits and is allowed (V2), to be overtaken by nothing
 * that the process had heard of (V3), and to show what was complete as long ago as it says.
 */
import type { BackendQuery, SearchAnswer, SearchOptions } from '../../../src/server/backend.js';
import type { Consistency, SeenShard } from '../../../src/shared/consistency.js';
import { crc32c } from '../../../src/shared/crc32c.js';
import { LIMITS } from '../../../src/shared/limits.js';
import type { Version } from '../../../src/shared/types.js';
import { describeScope, keyOf, type Scope } from './address.js';
import type { Findings } from './findings.js';
import { authorsRead } from './record-content.js';
import type { Floor, Observed, RegisterOracle } from './register-oracle.js';

export interface KeptAnswersOptions {
  readonly findings: Findings;
  readonly oracle: RegisterOracle;
  /** The true time. */
  readonly nowMs: () => number;
  /** Of all processes of a run. */
  readonly counts: CacheCounts;
}

export interface CacheCounts {
  /** Searches that the cache has answered, and those that it might have. */
  hits: number;
  misses: number;
  /** Answers that made room for others. */
  evictions: number;
}

export interface AskedSearch {
  readonly collection: string;
  readonly queries: readonly BackendQuery[];
  readonly options: Pick<SearchOptions, 'tenant' | 'allTenants' | 'shardKeys' | 'consistency'>;
}

/** An answer for which shards were asked. */
interface Source {
  readonly content: string;
  readonly ageMs: number;
  readonly endMs: number;
}

/** What the process knew when its cache had an answer. */
interface Hit {
  readonly atMs: number;
  readonly heard: ReadonlyMap<number, number>;
  readonly written: ReadonlyMap<string, Floor>;
}

/** Longer than any read of these runs may be old. */
const REMEMBERED_MS = 10_000;

export class KeptAnswers {
  readonly #options: KeptAnswersOptions;
  /** By what was asked, the newest at the end. */
  readonly #sources = new Map<string, Source[]>();
  /** The newest index that the process was told, by shard. */
  readonly #heard = new Map<number, number>();
  /** What the process has written, by key. */
  readonly #written = new Map<string, Floor>();
  #hit: Hit | undefined;
  /** What was found when a newer table had come. */
  #lateHits = 0;
  #isSending = false;

  constructor(options: KeptAnswersOptions) {
    this.#options = options;
  }

  /** The process's router has looked a search up. */
  lookedUp(isHit: boolean): void {
    const { counts, nowMs } = this.#options;
    counts[isHit ? 'hits' : 'misses']++;
    if (!isHit) return;
    if (!this.#isSending) this.#lateHits++;
    const [heard, written] = [new Map(this.#heard), new Map(this.#written)];
    this.#hit = { atMs: nowMs(), heard, written };
  }

  evicted(count: number): void {
    this.#options.counts.evictions += count;
  }

  /** An answer of the process, to whatever, tells how far logs are. */
  told(shards: readonly SeenShard[]): void {
    for (const { shardId, appliedIndex } of shards) {
      this.#heard.set(shardId, Math.max(appliedIndex, this.#heard.get(shardId) ?? 0));
    }
  }

  /** The process has answered that a write of its own is applied. */
  wrote(key: string, kind: Floor['kind'], version: Version): void {
    const before = this.#written.get(key);
    if (before !== undefined && before.version > version) return;
    const serial = this.#options.oracle.serialAt(key, version) ?? 0;
    this.#written.set(key, { kind, version, serial });
  }

  /**
   * Carries a search out. The cache is looked up before `send` returns: whatever is found there
   * later, when a newer table has come, passes unjudged, and is no source of others.
   */
  async search(asked: AskedSearch, send: () => Promise<SearchAnswer>): Promise<SearchAnswer> {
    this.#hit = undefined;
    const lateBefore = this.#lateHits;
    this.#isSending = true;
    const sent = send();
    this.#isSending = false;
    const hit = this.#hit;
    const answer = await sent;
    if (hit !== undefined) this.#judge(asked, answer, hit);
    else if (this.#lateHits === lateBefore) this.#remember(asked, answer);
    return answer;
  }

  #remember(asked: AskedSearch, answer: SearchAnswer): void {
    if (mostMs(asked.options.consistency) === undefined || answer.degraded) return;
    const name = nameOf(asked);
    const endMs = this.#options.nowMs();
    const known = this.#sources.get(name) ?? [];
    const young = known.filter((source) => endMs - source.endMs <= REMEMBERED_MS);
    const source = { content: contentOf(answer), ageMs: ageOf(answer), endMs };
    this.#sources.set(name, [...young, source]);
  }

  #judge(asked: AskedSearch, answer: SearchAnswer, hit: Hit): void {
    const { findings } = this.#options;
    const limitMs = mostMs(asked.options.consistency);
    const what = `an answer kept of ${describeScope(scopeOf(asked))}`;
    const content = contentOf(answer);
    const same = this.#sources.get(nameOf(asked))?.filter((one) => one.content === content) ?? [];
    if (limitMs === undefined || same.length === 0) {
      findings.report('kept for the same search', `${what} was never given to this one`);
      return;
    }
    const ageMs = ageOf(answer);
    const isTrue = (source: Source): boolean => source.ageMs + hit.atMs - source.endMs <= ageMs;
    const isYoung = (source: Source): boolean => this.#isAllowed(asked, ageMs, hit, source);
    if (!same.some((source) => isTrue(source) && isYoung(source))) {
      findings.report('kept answers are young', `${what} says that it is ${ageMs} ms old`);
    }
    for (const { shardId, appliedIndex } of answer.served) {
      const heard = hit.heard.get(shardId) ?? 0;
      if (appliedIndex >= heard) continue;
      const message = `${what} is of index ${appliedIndex} of shard ${shardId}, not of ${heard}`;
      findings.report('kept answers make way', message);
    }
    this.#judgeRecords(asked, answer, hit);
  }

  #isAllowed(
    { options: { consistency } }: AskedSearch,
    ageMs: number,
    hit: Hit,
    source: Source,
  ): boolean {
    const limitMs = mostMs(consistency) ?? 0;
    // For an eventual one it is the time in the cache that counts, however old it was before.
    return (consistency === 'eventual' ? hit.atMs - source.endMs : ageMs) <= limitMs;
  }

  /** Of a search for a part of the records only those that it finds can be judged. */
  #judgeRecords(asked: AskedSearch, answer: SearchAnswer, hit: Hit): void {
    const { oracle } = this.#options;
    const scope = scopeOf(asked);
    const [query] = asked.queries;
    const found = observedIn(scope, answer);
    for (const key of oracle.keysIn(scope)) {
      const observed = found.get(key);
      if (observed === undefined && query?.filter !== undefined) continue;
      const complete = oracle.floorAt(key, hit.atMs - ageOf(answer));
      for (const floor of [complete, hit.written.get(key)]) oracle.endRead(key, floor, observed);
    }
  }
}

/** How long what is kept may serve such a read; `undefined` where it may not at all. */
function mostMs(consistency: Consistency): number | undefined {
  if (consistency === 'eventual') return LIMITS.cachedEventualMsMax.value;
  if (typeof consistency !== 'object' || !('boundedMs' in consistency)) return undefined;
  return consistency.boundedMs;
}

function scopeOf({ collection, options: { tenant, allTenants } }: AskedSearch): Scope {
  return { collection, tenant: allTenants === true ? undefined : (tenant ?? '') };
}

/** All that is asked for but how fresh it has to be. */
function nameOf({ collection, queries, options }: AskedSearch): string {
  const { tenant, allTenants, shardKeys } = options;
  return JSON.stringify([collection, tenant, allTenants, shardKeys, queries], inText);
}

/** All that is answered but how old it is. */
function contentOf({ results, cutQueries, served }: SearchAnswer): string {
  const hits = results.flat().map(({ id, tenant, version, distance, values, metadata }) => {
    return [id, tenant, version, distance, sumOf(values), sumOf(metadata)];
  });
  const parts = served.map(({ ageMs, ...part }) => part);
  return JSON.stringify([hits, cutQueries, parts], inText);
}

function sumOf(bytes: Uint8Array | undefined): number | undefined {
  return bytes && crc32c(bytes);
}

/** Of the oldest part. */
function ageOf({ served }: SearchAnswer): number {
  return Math.max(0, ...served.map(({ ageMs = Number.POSITIVE_INFINITY }) => ageMs));
}

function observedIn(
  { collection, tenant: asked }: Scope,
  { results }: SearchAnswer,
): ReadonlyMap<string, Observed> {
  const [hits = []] = results;
  return new Map(
    hits.map(({ id, tenant = asked ?? '', version, values, metadata }) => {
      return [keyOf({ collection, tenant }, id), { ...authorsRead(values, metadata), version }];
    }),
  );
}

/** For JSON, which knows neither bytes nor versions. */
function inText(_name: string, value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  return typeof value === 'bigint' ? value.toString() : value;
}

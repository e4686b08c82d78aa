/**
 * What ingest costs the searches beside it. Pairs of slices with searches one at a time: alone,
 * then with entries of few records coming as fast as the engine takes them.
 */
import { createHistogram } from 'node:perf_hooks';
import { atMost } from '../harness/bars.js';
import { inTurn, NEIGHBOURS } from '../harness/dataset.js';
import { type ShardWrite, searchQuery } from '../harness/engine-shard.js';
import type { Quantity } from '../harness/scenario.js';
import { median, perSecond, quantilesMs, round } from '../harness/statistics.js';
import type { Findings } from './findings.js';
import type { Subject } from './subject.js';

const RECORDS_PER_ENTRY = 32;
const EF = 64;
/** The p99 may grow by so many inserts. */
const INSERTS_MAX = 3;
const INSERTS_TIMED = 32;
const APPLIES_TIMED = 9;
/** How far a new vector lies from one that is there, in each coordinate. */
const SHIFT = 0.02;
/** More than the engine takes. */
const RECORDS_PER_MS_MAX = 4;

interface Pair {
  readonly idle: Searches;
  readonly mixed: Searches;
  /** Records a second that were taken meanwhile. */
  readonly ingested: number;
  /** Milliseconds of an insert into the bare library, and of an apply with nothing beside it. */
  readonly insertMs: number;
  readonly applyMs: number;
}

interface Searches {
  readonly p50: number;
  readonly p99: number;
}

export async function measureMixedLoad(subject: Subject): Promise<Partial<Findings>> {
  const load = new MixedLoad(subject);
  const pairs: Pair[] = [];
  for (let pair = 0; pair < subject.effort.pairs; pair++) {
    subject.progress(`searches beside writes, pair ${pair + 1} of ${subject.effort.pairs}`);
    pairs.push(await load.pair(pair % 2 === 0));
  }
  const middle = (of: (pair: Pair) => number): number => round(median(pairs.map(of)), 3);
  const quantity = (name: string, value: number, unit = 'ms'): Quantity => ({
    name: `${subject.name} mixed load: ${name}`,
    value,
    unit,
  });
  const insertsMs = INSERTS_MAX * middle(({ insertMs }) => insertMs);
  const applyMs = middle(({ applyMs }) => applyMs);
  const growth = middle(({ idle, mixed }) => mixed.p99 - idle.p99);
  return {
    quantities: [
      quantity(
        'search alone, p50',
        middle(({ idle }) => idle.p50),
      ),
      quantity(
        'search alone, p99',
        middle(({ idle }) => idle.p99),
      ),
      quantity(
        'search beside writes, p50',
        middle(({ mixed }) => mixed.p50),
      ),
      quantity(
        'search beside writes, p99',
        middle(({ mixed }) => mixed.p99),
      ),
      quantity(
        'records written meanwhile',
        middle(({ ingested }) => ingested),
        '/s',
      ),
      quantity(`${INSERTS_MAX} inserts into the bare library`, insertsMs),
      quantity(`an apply of ${RECORDS_PER_ENTRY} records, alone`, applyMs),
    ],
    bars: [
      atMost(quantity('p99 beside writes less p99 alone', growth), Math.max(insertsMs, applyMs)),
    ],
  };
}

class MixedLoad {
  readonly #subject: Subject;
  #vectors: readonly Float32Array[] = [];
  #searches = 0;
  #made = 0;
  #written = 0;

  constructor(subject: Subject) {
    this.#subject = subject;
  }

  /** Begins and ends with all records in the graph. */
  async pair(isIdleFirst: boolean): Promise<Pair> {
    const { shard, effort } = this.#subject;
    // Before the clock runs: a node's main thread, which takes the answers, makes no vectors.
    const needed = RECORDS_PER_MS_MAX * effort.pairMs + APPLIES_TIMED * RECORDS_PER_ENTRY;
    this.#vectors = Array.from({ length: needed }, () => this.#newVector());
    const insertMs = this.#timeInserts();
    const applyMs = await this.#timeApply();
    await shard.settled();
    const idleBefore = isIdleFirst ? await this.#searchFor(effort.pairMs) : undefined;
    const beside = await this.#searchBesideWrites();
    const idle = idleBefore ?? (await this.#searchFor(effort.pairMs));
    return { idle, ...beside, insertMs, applyMs };
  }

  async #searchBesideWrites(): Promise<Pick<Pair, 'mixed' | 'ingested'>> {
    const { shard, effort } = this.#subject;
    let isOver = false;
    const writing = this.#writeUntil(() => isOver);
    const searching = this.#searchFor(effort.pairMs).finally(() => {
      isOver = true;
    });
    const [mixed, ingested] = await Promise.all([searching, writing]);
    await shard.settled();
    return { mixed, ingested };
  }

  async #searchFor(durationMs: number): Promise<Searches> {
    const { dataset, shard } = this.#subject;
    const histogramUs = createHistogram();
    const endMs = performance.now() + durationMs;
    let sentMs = performance.now();
    while (sentMs < endMs) {
      const vector = inTurn(dataset.queries, this.#searches++);
      await shard.search(searchQuery(vector, { k: NEIGHBOURS, ef: EF }));
      const answeredMs = performance.now();
      histogramUs.record(Math.max(1, Math.round((answeredMs - sentMs) * 1_000)));
      sentMs = answeredMs;
    }
    return quantilesMs(histogramUs);
  }

  /** One entry after the other; returns records a second. */
  async #writeUntil(isOver: () => boolean): Promise<number> {
    const startMs = performance.now();
    let written = 0;
    while (!isOver()) {
      await this.#subject.shard.write(this.#nextEntry());
      written += RECORDS_PER_ENTRY;
    }
    return perSecond(written, performance.now() - startMs);
  }

  /** The median, each with nothing else to do. */
  async #timeApply(): Promise<number> {
    const { shard } = this.#subject;
    const timesMs: number[] = [];
    for (let apply = 0; apply < APPLIES_TIMED; apply++) {
      await shard.settled();
      const entry = this.#nextEntry();
      const startMs = performance.now();
      await shard.write(entry);
      timesMs.push(performance.now() - startMs);
    }
    return median(timesMs);
  }

  #timeInserts(): number {
    const vectors = this.#vectors.slice(0, INSERTS_TIMED);
    return this.#subject.bare.insertAll(vectors) / INSERTS_TIMED;
  }

  #nextEntry(): ShardWrite {
    const upserts = Array.from({ length: RECORDS_PER_ENTRY }, () => {
      const sequence = this.#written++;
      const values = inTurn(this.#vectors, sequence);
      return { id: `new-${sequence}`, values, metadata: { rank: 0.5 } };
    });
    return { upserts };
  }

  /** Near one that is there. */
  #newVector(): Float32Array {
    const sequence = this.#made++;
    const vector = inTurn(this.#subject.dataset.base, sequence * 7);
    return vector.map((value, at) => value + SHIFT * (((at + sequence) % 3) - 1));
  }
}

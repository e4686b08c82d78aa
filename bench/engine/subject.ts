/** The same vectors in an engine in its thread and in the bare library: what most parts compare. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seededRandom } from '../../test/support/vectors.js';
import { BareIndex, plainArray } from '../harness/bare-index.js';
import { type Dataset, idOfRow } from '../harness/dataset.js';
import { EngineShard } from '../harness/engine-shard.js';
import type { Figure } from '../harness/scenario.js';
import { median, pairedRatio, perSecond, round } from '../harness/statistics.js';
import { type Effort, GRAPH } from './findings.js';

const BUILD_TURNS = 10;
const RECORDS_PER_ENTRY = 100;
/** Vectors that may be added to the bare index when it is built. */
const SPARE_CAPACITY = 10_000;

export interface SubjectOptions {
  /** Begins the names of all figures. */
  readonly name: string;
  readonly dataset: Dataset;
  readonly effort: Effort;
  readonly progress: (line: string) => void;
}

export class Subject {
  readonly name: string;
  readonly dataset: Dataset;
  readonly effort: Effort;
  readonly progress: (line: string) => void;
  /** A number in [0, 1) a row, in the declared field `rank`: filters select by it. */
  readonly ranks: readonly number[];
  /** The queries as the library takes them. */
  readonly plainQueries: readonly number[][];
  readonly bare: BareIndex;
  readonly shard: EngineShard;
  readonly #directory = mkdtempSync(join(tmpdir(), 'flotilla-bench-'));

  constructor({ name, dataset, effort, progress }: SubjectOptions) {
    this.name = name;
    this.dataset = dataset;
    this.effort = effort;
    this.progress = (line) => progress(`${name}: ${line}`);
    const random = seededRandom(5);
    this.ranks = dataset.base.map(() => random());
    this.plainQueries = dataset.queries.map(plainArray);
    const { dimension, base } = dataset;
    this.bare = new BareIndex({ dimension, ...GRAPH, capacity: base.length + SPARE_CAPACITY });
    this.shard = EngineShard.inThread(join(this.#directory, 'points'));
  }

  /** Fills both, a part each in turns; the engine's part ends when all of it is in the graph. */
  async build(): Promise<Figure[]> {
    const { base, dimension } = this.dataset;
    await this.shard.open();
    const indexedFields = [{ path: 'rank', type: 'float' as const }];
    await this.shard.createCollection({ dimension, ...GRAPH, indexedFields });
    const rates: { bare: number[]; engine: number[] } = { bare: [], engine: [] };
    const size = Math.ceil(base.length / BUILD_TURNS);
    for (let first = 0; first < base.length; first += size) {
      const part = base.slice(first, first + size);
      this.progress(`building, ${first} of ${base.length} records`);
      rates.bare.push(perSecond(part.length, this.bare.insertAll(part)));
      rates.engine.push(perSecond(part.length, await this.#ingest(part, first)));
    }
    const bare = `${this.name} bare insert`;
    const ratio = { of: bare, value: round(pairedRatio(rates.engine, rates.bare), 4) };
    return [
      { name: bare, perSecond: Math.round(median(rates.bare)) },
      {
        name: `${this.name} ingest, entries of ${RECORDS_PER_ENTRY}`,
        perSecond: Math.round(median(rates.engine)),
        ratios: [ratio],
      },
    ];
  }

  async close(): Promise<void> {
    await this.shard.close();
    rmSync(this.#directory, { recursive: true });
  }

  /** Milliseconds until all of it is in the graph. */
  async #ingest(vectors: readonly Float32Array[], first: number): Promise<number> {
    const records = vectors.map((values, at) => ({
      id: idOfRow(first + at),
      values,
      metadata: { rank: this.ranks[first + at] ?? 0 },
    }));
    const startMs = performance.now();
    await this.shard.writeAll(records, RECORDS_PER_ENTRY);
    await this.shard.settled();
    return performance.now() - startMs;
  }
}

/** What a search of a collection's index asks, how it reads, and what it finds. */
import type { RowHit } from './graph.js';
import type { RecordView } from './record-view.js';
import type { Row } from './rows.js';
import type { Slices } from './slices.js';

/** What a search of graph and head found. */
export interface NearHits {
  /** In `hitOrder`. */
  readonly hits: RowHit[];
  /** Whether the graph gave fewer than `k`, although it covers as many: it may have missed some. */
  readonly isShort: boolean;
}

export interface NearQuery {
  readonly vector: Float32Array;
  readonly k: number;
  /** Candidates of the graph; at least `k` are used. */
  readonly ef: number;
  /** Which rows may be hits. @default all */
  readonly accept?: (row: Row) => boolean;
  /** What the points of the graph are asked in its place. @default `accept` */
  readonly acceptPoint?: (row: Row) => boolean;
}

/** How a search that may take long reads. */
export interface ScanMeans {
  /** Where vectors are read that are not in memory. */
  readonly records: RecordView;
  readonly slices: Slices;
}

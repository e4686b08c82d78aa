/**
 * A process that writes to an engine and is killed: started with what `KilledWrites` says as its
 * one argument, it tells its parent when all is applied and in the graph, and does nothing more.
 */
import { argv } from 'node:process';
import { defined } from '../../src/shared/assert.js';
import { clusteredVectors } from '../../test/support/vectors.js';
import { idOfRow } from '../harness/dataset.js';
import { EngineShard } from '../harness/engine-shard.js';

export interface KilledWrites {
  /** Of a store with a collection of the dimension. */
  readonly path: string;
  readonly dimension: number;
  /** Records that are new, under the ids of the rows from `firstRow` on. */
  readonly records: number;
  readonly firstRow: number;
  readonly recordsPerEntry: number;
}

const { path, dimension, records, firstRow, recordsPerEntry } = JSON.parse(
  defined(argv[2], 'what is written'),
) as KilledWrites;

// Nobody would kill it any more.
process.once('disconnect', () => process.exit(1));

const shard = EngineShard.inThread(path);
await shard.open();
await shard.settled();
const vectors = clusteredVectors({ count: records, dimension, seed: firstRow });
await shard.writeAll(
  vectors.map((values, at) => ({ id: idOfRow(firstRow + at), values })),
  recordsPerEntry,
);
await shard.settled();
process.send?.('written');

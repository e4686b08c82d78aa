/** Loads the graph of a collection from its checkpoint, beside the requests. */
import type { Disk } from '../../shared/environment.js';
import { FlotillaError } from '../../shared/errors.js';
import type { Collection } from '../collection.js';
import type { CollectionIndex } from '../collection-index.js';
import type { Graph } from '../graph.js';
import type { Slices } from '../slices.js';
import type { Checkpoint, CheckpointFiles } from './checkpoint-files.js';
import { type LabelEntry, LabelTableReader } from './label-table.js';
import { thawInSlices } from './thaw.js';

/** Rows that are looked at in one go. */
const ROWS_AT_ONCE = 4_096;

export interface RestoreOptions {
  readonly disk: Disk;
  readonly files: CheckpointFiles;
  readonly checkpoint: Checkpoint;
  readonly slices: Slices;
}

/**
 * Puts the saved graph in the place of the empty one of an index that awaits it. A label is taken
 * for a row only while its record has the version that the table says; every other label becomes a
 * tombstone, and every other record stays in the head (H6). Searches are exact until all of it is
 * there, which they see in one turn.
 *
 * Rejects, with the empty graph in its place, where the files are not what was saved (LOG_DAMAGED),
 * or are of another collection or index (SETTINGS_MISMATCH), or of another format
 * (UNSUPPORTED_VERSION); also when `slices` is aborted.
 */
export async function restoreGraph(
  { collectionId, index }: Collection,
  { disk, files, checkpoint, slices }: RestoreOptions,
): Promise<void> {
  const graph = index.beginRestore();
  let table: LabelTableReader | undefined;
  let isRestored = false;
  try {
    table = await LabelTableReader.open(disk, files.pathOf(checkpoint, 'labels'));
    if (table.header.collectionId !== collectionId) {
      const message = `the labels are of collection ${table.header.collectionId}`;
      throw new FlotillaError('SETTINGS_MISMATCH', message);
    }
    for await (const page of slices.between(table.pages())) adoptPage(graph, index, page);
    if (index.disposed) return;
    await graph.load(disk, files.pathOf(checkpoint, 'graph'), table.saved);
    await thawInSlices(graph, slices);
    isRestored = true;
  } finally {
    index.endRestore(isRestored);
    await table?.close();
  }
  if (index.keepsVectors) return;
  for (let row = 0; row < index.rows.limit; row += ROWS_AT_ONCE) {
    index.releaseCovered(row, row + ROWS_AT_ONCE);
    if (slices.isOver) await slices.pause();
  }
}

/** Of two labels that say the same record the table would be wrong: the first is taken. */
function adoptPage(graph: Graph, index: CollectionIndex, page: readonly LabelEntry[]): void {
  const { rows } = index;
  for (const { label, record } of page) {
    const row = record && rows.rowOf(record.name);
    const isSame = row !== undefined && rows.versionOf(row) === record?.version;
    if (isSame && !graph.covers(row)) graph.adopt(label, row);
    else graph.reject(label);
  }
}

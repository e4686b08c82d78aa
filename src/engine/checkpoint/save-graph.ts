/** Writes the graph of a collection into a checkpoint, beside the requests. */
import type { Disk } from '../../shared/environment.js';
import type { Collection } from '../collection.js';
import type { CollectionIndex } from '../collection-index.js';
import type { Graph } from '../graph.js';
import type { SavedIndex } from '../index/vector-index.js';
import type { Slices } from '../slices.js';
import type { Checkpoint, CheckpointFiles } from './checkpoint-files.js';
import { type LabelEntry, writeLabelTable } from './label-table.js';

/** Labels that are looked up in one go: a fraction of a millisecond. */
const LABELS_PER_PAGE = 512;
/** Tombstones that are made in one go. */
export const THAWED_AT_ONCE = 1_024;

export interface SaveOptions {
  readonly disk: Disk;
  readonly files: CheckpointFiles;
  /** Begun, and nothing written. */
  readonly checkpoint: Checkpoint;
  readonly appliedIndex: number;
  readonly slices: Slices;
}

/**
 * Saves the graph as it is, and which records its labels stand for, and then removes the checkpoint
 * before it. Nothing goes into the graph until it is done. Where it rejects, or the collection is
 * dropped meanwhile, the checkpoint before is still there.
 *
 * The labels are looked up while the graph is written, each in the turn in which its page is made:
 * a label that was not dropped by then has the vector of its record's version of that turn.
 */
export async function saveGraph(
  { collectionId, index }: Collection,
  { disk, files, checkpoint, appliedIndex, slices }: SaveOptions,
): Promise<SavedIndex | undefined> {
  if (!index.canSave(disk)) return undefined;
  const graph = index.beginSave();
  let isSaved = false;
  try {
    const saving = graph.save(disk, files.pathOf(checkpoint, 'graph'));
    const listing = writeLabelTable(
      disk,
      files.unfinishedPathOf(checkpoint),
      { collectionId, appliedIndex },
      slices.between(labelPages(graph, index)),
      saving,
    );
    const saved = await bothDone(saving, listing);
    if (index.disposed) {
      await files.discard(checkpoint);
      return undefined;
    }
    await files.publish(checkpoint);
    isSaved = true;
    return saved;
  } catch (error) {
    await discardQuietly(files, checkpoint);
    throw error;
  } finally {
    while (!graph.thaw(THAWED_AT_ONCE)) await slices.pause();
    index.endSave(isSaved);
  }
}

async function* labelPages(graph: Graph, index: CollectionIndex): AsyncGenerator<LabelEntry[]> {
  for (let first = 0; !index.disposed; ) {
    const page = graph.liveLabels(first, LABELS_PER_PAGE);
    const last = page.at(-1);
    if (last === undefined) return;
    first = last.label + 1;
    yield page.map(({ label, row }) => {
      if (row === undefined) return { label, record: undefined };
      const [name, version] = [index.rows.nameOf(row), index.rows.versionOf(row)];
      return { label, record: { name, version } };
    });
  }
}

/** Neither is under way any more when it settles: the addon must not be left alone with a file. */
async function bothDone(saving: Promise<SavedIndex>, listing: Promise<void>): Promise<SavedIndex> {
  await Promise.allSettled([saving, listing]);
  await listing;
  return saving;
}

/** What stays is removed at the next open. */
async function discardQuietly(files: CheckpointFiles, checkpoint: Checkpoint): Promise<void> {
  await files.discard(checkpoint).catch(() => undefined);
}

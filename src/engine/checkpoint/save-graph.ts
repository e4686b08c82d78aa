/** Writes the graph of a collection into a checkpoint, beside the requests. */
import type { Clock, Disk } from '../../shared/environment.js';
import type { Collection } from '../collection.js';
import type { GraphToSave } from '../collection-graphs.js';
import type { CollectionIndex } from '../collection-index.js';
import type { SavedIndex, WrittenIndex } from '../index/vector-index.js';
import type { Slices } from '../slices.js';
import type { Checkpoint, CheckpointFiles } from './checkpoint-files.js';
import { type LabelEntry, writeLabelTable } from './label-table.js';
import { thawInSlices } from './thaw.js';

/** Labels that are looked up in one go: a fraction of a millisecond. */
const LABELS_PER_PAGE = 512;

export interface SaveOptions {
  readonly disk: Disk;
  readonly files: CheckpointFiles;
  /** Begun, and nothing written. */
  readonly checkpoint: Checkpoint;
  readonly appliedIndex: number;
  readonly slices: Slices;
  readonly clock: Clock;
  /** Called when rows go into the graph again. */
  readonly onThaw: () => void;
}

/** What was saved, and for how long nothing went into the graph meanwhile. */
export interface SavedGraph {
  readonly saved: SavedIndex;
  readonly frozenMs: number;
}

/**
 * Saves the graph as it is, and which records its labels stand for, and then removes the checkpoint
 * before it. Nothing goes into the graph while the library writes it; while its labels are listed
 * and the files checked and synced, it goes on. Where it rejects, or the collection is dropped
 * meanwhile, the checkpoint before is still there.
 *
 * Each label is looked up in the turn in which its page is made: one that was not dropped by then
 * has the vector of its record's version of that turn.
 */
export async function saveGraph(
  collection: Collection,
  options: SaveOptions,
): Promise<SavedGraph | undefined> {
  const { index } = collection;
  const { disk, files, checkpoint, clock } = options;
  if (!index.canSave(disk)) return undefined;
  const startMs = clock.monotonicMs();
  const { graph, labels } = index.beginSave();
  let isSaved = false;
  try {
    const written = await writeFrozen(graph, index, options);
    const frozenMs = clock.monotonicMs() - startMs;
    const saved = await sealBoth(collection, written, labels, options);
    if (index.disposed) {
      await files.discard(checkpoint);
      return undefined;
    }
    await files.publish(checkpoint);
    isSaved = true;
    return { saved, frozenMs };
  } catch (error) {
    // What stays is removed at the next open.
    await files.discard(checkpoint).catch(() => undefined);
    throw error;
  } finally {
    index.endSave(isSaved);
  }
}

/** The graph is thawed when it settles. */
async function writeFrozen(
  graph: GraphToSave['graph'],
  index: CollectionIndex,
  { disk, files, checkpoint, slices, onThaw }: SaveOptions,
): Promise<WrittenIndex> {
  try {
    return await graph.write(disk, files.pathOf(checkpoint, 'graph'));
  } finally {
    await thawInSlices(graph, slices);
    index.endWriting();
    onThaw();
  }
}

/** Neither is under way any more when it settles. */
async function sealBoth(
  { collectionId, index }: Collection,
  written: WrittenIndex,
  labels: GraphToSave['labels'],
  { disk, files, checkpoint, appliedIndex, slices }: SaveOptions,
): Promise<SavedIndex> {
  const sealing = written.seal();
  const listing = writeLabelTable(
    disk,
    files.unfinishedPathOf(checkpoint),
    { collectionId, appliedIndex },
    slices.between(labelPages(labels, index)),
    sealing,
  );
  await Promise.allSettled([sealing, listing]);
  await listing;
  return sealing;
}

async function* labelPages(
  labels: GraphToSave['labels'],
  index: CollectionIndex,
): AsyncGenerator<LabelEntry[]> {
  for (let first = 0; !index.disposed; ) {
    const page = labels.page(first, LABELS_PER_PAGE);
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

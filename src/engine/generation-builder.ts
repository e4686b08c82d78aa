/** Makes the store of a new generation from a snapshot file, beside the store that is in use. */
import { unreachable } from '../shared/assert.js';
import type { Disk } from '../shared/environment.js';
import { SnapshotFileReader, type SnapshotPart } from '../shared/snapshot-file.js';
import { UnpackedFiles } from './checkpoint/unpacked-files.js';
import type { AppliedState } from './engine.js';
import type { Generations, NewGeneration } from './generations.js';
import { PointStore } from './point-store.js';
import type { Slices } from './slices.js';
import { StoreFiller } from './store-filler.js';

export interface BuildOptions {
  readonly generations: Generations;
  readonly disk: Disk;
  /** Of the snapshot file. */
  readonly path: string;
  /** Whose state the file must hold. */
  readonly machine: string;
  readonly slices: Slices;
}

export type BuiltGeneration = NewGeneration & AppliedState;

/**
 * An open and durable store of the file's state, which does not count yet, and the checkpoints that
 * came with it where an open looks for them. Leaves nothing where it rejects.
 */
export async function buildGeneration(options: BuildOptions): Promise<BuiltGeneration> {
  const { generations, disk, path, machine, slices } = options;
  const reader = await SnapshotFileReader.open(disk, path, machine);
  try {
    const generation = await generations.create();
    const files = new UnpackedFiles(disk, generations.graphsPath(generation.number));
    const store = new PointStore(generation.kv);
    const filler = new StoreFiller(store);
    try {
      for await (const part of slices.between(reader.parts())) await take(part, filler, files);
      await filler.finish();
      await files.finish();
      const { appliedIndex } = reader.header;
      return { ...generation, appliedIndex, lastVersion: store.lastVersion() };
    } catch (error) {
      await files.close();
      await filler.stop();
      await generation.kv.close();
      await generations.discard(generation.number);
      throw error;
    }
  } finally {
    await reader.close();
  }
}

async function take(part: SnapshotPart, filler: StoreFiller, files: UnpackedFiles): Promise<void> {
  switch (part.kind) {
    case 'page':
      return filler.add(part.entries);
    case 'file':
      return files.begin(part.name);
    case 'bytes':
      return files.write(part.bytes);
    default:
      return unreachable(part);
  }
}

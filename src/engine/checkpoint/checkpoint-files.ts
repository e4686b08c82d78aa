/**
 * The files of the checkpoints that belong to one generation of the point store, in a directory of
 * their own:
 *
 *     C-S.graph     the points of the graph of collection C
 *     C-S.labels    which records they stand for
 *
 * S grows with each checkpoint. A checkpoint counts from the moment at which its
 * labels have their name, which they get last, and until it loses it, which it does first: a graph
 * without labels is nothing.
 */
import type { Disk } from '../../shared/environment.js';

export type FileKind = 'graph' | 'labels';

/** Names a checkpoint, and is the newest of its collection or on its way to be. */
export interface Checkpoint {
  readonly collectionId: number;
  readonly serial: number;
}

const NAME = /^(\d+)-(\d+)\.(graph|labels)$/;
const UNFINISHED_SUFFIX = '.tmp';

export class CheckpointFiles {
  readonly #disk: Disk;
  readonly #directory: string;
  /** Of all checkpoints that there are or were: a name is used once. */
  #lastSerial = 0;
  /** By collection. */
  readonly #newest = new Map<number, Checkpoint>();
  /** How often each is held. */
  readonly #holds = new Map<Checkpoint, number>();
  /** To be removed when nobody holds them any more. */
  readonly #unwanted = new Set<Checkpoint>();

  constructor(disk: Disk, directory: string) {
    this.#disk = disk;
    this.#directory = directory;
  }

  /** Finds the newest checkpoint of each collection, and removes all else. */
  async open(): Promise<void> {
    const names = await this.#disk.list(this.#directory);
    for (const name of names) {
      const found = checkpointOf(name);
      if (found === undefined) continue;
      const { collectionId, serial, kind } = found;
      this.#lastSerial = Math.max(this.#lastSerial, serial);
      if (kind !== 'labels') continue;
      const other = this.#newest.get(collectionId);
      if (other !== undefined && other.serial > serial) continue;
      this.#newest.set(collectionId, { collectionId, serial });
    }
    // Labels come after graphs in the list: a crash leaves no labels whose graph is gone.
    for (const name of names.toReversed()) {
      const found = checkpointOf(name);
      const newest = found && this.#newest.get(found.collectionId);
      if (newest === undefined || newest.serial !== found?.serial) {
        await this.#disk.remove(`${this.#directory}/${name}`);
      }
    }
  }

  get directory(): string {
    return this.#directory;
  }

  /** Of all collections that have one. */
  all(): Iterable<Checkpoint> {
    return this.#newest.values();
  }

  newestOf(collectionId: number): Checkpoint | undefined {
    return this.#newest.get(collectionId);
  }

  pathOf({ collectionId, serial }: Checkpoint, kind: FileKind): string {
    return `${this.#directory}/${collectionId}-${serial}.${kind}`;
  }

  /** Where the labels of a checkpoint are written before it counts. */
  unfinishedPathOf(checkpoint: Checkpoint): string {
    return this.pathOf(checkpoint, 'labels') + UNFINISHED_SUFFIX;
  }

  /** The name of the collection's next checkpoint; the directory is there afterwards. */
  async begin(collectionId: number): Promise<Checkpoint> {
    await this.#disk.makeDirectory(this.#directory);
    return { collectionId, serial: ++this.#lastSerial };
  }

  /** From here on the checkpoint, whose files are written and synced, is the newest. */
  async publish(checkpoint: Checkpoint): Promise<void> {
    await this.#disk.rename(this.unfinishedPathOf(checkpoint), this.pathOf(checkpoint, 'labels'));
    const older = this.#newest.get(checkpoint.collectionId);
    this.#newest.set(checkpoint.collectionId, checkpoint);
    // What stays of it is removed at the next open.
    if (older !== undefined) await this.#removeUnlessHeld(older).catch(() => undefined);
  }

  /** Removes what there is of a checkpoint, finished or not; if it is held, when it is let go. */
  async discard(checkpoint: Checkpoint): Promise<void> {
    const { collectionId } = checkpoint;
    if (this.#newest.get(collectionId) === checkpoint) this.#newest.delete(collectionId);
    await this.#removeUnlessHeld(checkpoint);
  }

  /** Keeps the files of the checkpoint until the function that it returns is called. */
  hold(checkpoint: Checkpoint): () => Promise<void> {
    this.#holds.set(checkpoint, 1 + (this.#holds.get(checkpoint) ?? 0));
    return async () => {
      const holds = (this.#holds.get(checkpoint) ?? 0) - 1;
      if (holds > 0) {
        this.#holds.set(checkpoint, holds);
        return;
      }
      this.#holds.delete(checkpoint);
      if (this.#unwanted.delete(checkpoint)) await this.#remove(checkpoint);
    };
  }

  async #removeUnlessHeld(checkpoint: Checkpoint): Promise<void> {
    if (this.#holds.has(checkpoint)) this.#unwanted.add(checkpoint);
    else await this.#remove(checkpoint);
  }

  async #remove(checkpoint: Checkpoint): Promise<void> {
    await this.#disk.remove(this.pathOf(checkpoint, 'labels'));
    await this.#disk.remove(this.unfinishedPathOf(checkpoint));
    await this.#disk.remove(this.pathOf(checkpoint, 'graph'));
  }
}

/** The name under which a snapshot takes a file of a checkpoint along. */
export function attachedName({ collectionId }: Checkpoint, kind: FileKind): string {
  return `${collectionId}.${kind}`;
}

/**
 * Where such a file goes in a directory that has no checkpoints yet; `undefined` for a name that is
 * none of these.
 */
export function placeOfAttached(directory: string, name: string): string | undefined {
  const [, collectionId, kind] = /^(\d{1,10})\.(graph|labels)$/.exec(name) ?? [];
  return collectionId && `${directory}/${collectionId}-1.${kind}`;
}

function checkpointOf(name: string): (Checkpoint & { readonly kind: string }) | undefined {
  const [, collectionId, serial, kind = ''] = NAME.exec(name) ?? [];
  if (collectionId === undefined) return undefined;
  return { collectionId: Number(collectionId), serial: Number(serial), kind };
}

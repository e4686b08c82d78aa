/**
 * The snapshot files of a node's groups: complete ones, and those that are arriving.
 *
 * A file is listed from the rename on that completes it, when its bytes are on disk already (S4).
 * What a crash has left of anything else is removed at the next open, but for what had arrived.
 */
import { assert } from '../shared/assert.js';
import type { Disk } from '../shared/environment.js';
import { FlotillaError } from '../shared/errors.js';
import {
  nameOf,
  parseName,
  type SnapshotId,
  type SnapshotName,
  sameSnapshot,
} from './snapshot-name.js';
import { checksumOfAll, openStaging, SnapshotStaging } from './staged-snapshot.js';

/** A complete snapshot on this disk. */
export interface SnapshotFile extends SnapshotId {
  readonly path: string;
}

export type { SnapshotId } from './snapshot-name.js';

/** A place for the state machine to write a snapshot to. */
export interface NewSnapshotFile {
  /** Nothing is there yet. */
  readonly path: string;
  /** Syncs the file, gives it its name and lists it (S4). LOG_DAMAGED for one of another size. */
  publish(written: Pick<SnapshotId, 'sizeBytes' | 'crc32c'>): Promise<SnapshotFile>;
  /** Removes what was written. Nothing happens once it is published. */
  discard(): Promise<void>;
}

/** A snapshot that arrives (P3). One at a time for each group. */
export interface StagedSnapshot {
  readonly id: SnapshotId;
  /** Bytes that are here for good: also after a restart, the next piece is the one from here. */
  readonly nextOffset: number;
  /**
   * Durable when it resolves; `bytes`, whose checksum is `checksum`, are read until then. Anything
   * but the piece at `nextOffset` is ignored.
   */
  write(offset: number, bytes: Uint8Array, checksum: number): Promise<void>;
  /**
   * Lists the file, all of whose bytes are here. LOG_DAMAGED, with everything dropped, when its
   * checksum is not the one that was announced: staging it again starts anew.
   */
  finish(): Promise<SnapshotFile>;
  /** Drops what has arrived. */
  discard(): Promise<void>;
  /** Stops; what has arrived stays for `stage`. Idempotent. */
  close(): Promise<void>;
}

const LOCAL = /^\d+\.local$/;

export class SnapshotFiles {
  readonly #disk: Disk;
  readonly #directory: string;
  #complete: readonly SnapshotFile[] = [];
  /** What has begun to arrive, by group; it is opened only once the rest comes. */
  readonly #arriving = new Map<number, SnapshotId>();
  readonly #staging = new Map<number, SnapshotStaging>();
  /** What changes the directory happens in the order of the calls. */
  #tail: Promise<unknown> = Promise.resolve();
  #locals = 0;

  private constructor(disk: Disk, directory: string) {
    this.#disk = disk;
    this.#directory = directory;
  }

  /** Opens the directory, and makes it where there is none. It belongs to the caller alone. */
  static async open(disk: Disk, directory: string): Promise<SnapshotFiles> {
    await disk.makeDirectory(directory);
    const files = new SnapshotFiles(disk, directory);
    const names = await disk.list(directory);
    const found: SnapshotFile[] = [];
    for (const name of names) {
      const path = `${directory}/${name}`;
      const parsed = parseName(name);
      const isWhole = parsed?.kind === 'snap' && (await hasSize(disk, path, parsed.id.sizeBytes));
      if (parsed && isWhole) found.push({ ...parsed.id, path });
      else if (parsed && isStaged(parsed, names)) {
        files.#arriving.set(parsed.id.groupId, parsed.id);
      } else if (parsed || LOCAL.test(name)) await disk.remove(path);
    }
    files.#complete = found;
    return files;
  }

  /** Complete snapshots of a group, the newest first. */
  list(groupId: number): readonly SnapshotFile[] {
    return this.#complete
      .filter((file) => file.groupId === groupId)
      .sort((a, b) => b.index - a.index || b.term - a.term);
  }

  /** Snapshots of which something has arrived, one at most for each group. */
  get arriving(): readonly SnapshotId[] {
    return [...this.#arriving.values()];
  }

  /** A new file for what a replica of this node has applied; the replica becomes its source. */
  newFile(
    groupId: number,
    meta: { readonly index: number; readonly term: number; readonly replicaId: number },
  ): NewSnapshotFile {
    const { index, term, replicaId } = meta;
    this.#locals += 1;
    const path = `${this.#directory}/${this.#locals}.local`;
    let isPublished = false;
    const discard = async (): Promise<void> => {
      if (!isPublished) await this.#disk.remove(path);
    };
    return {
      path,
      discard,
      publish: async ({ sizeBytes, crc32c }) => {
        const id = { groupId, index, term, sourceId: String(replicaId), sizeBytes, crc32c };
        try {
          await this.#syncWhole(path, sizeBytes);
          const file = await this.#inOrder(() => this.#completed(path, id));
          isPublished = true;
          return file;
        } catch (thrown) {
          await discard();
          throw thrown;
        }
      },
    };
  }

  /**
   * Begins to receive a snapshot, or goes on with it. What has arrived of another one for the group
   * is dropped, and so is an earlier `StagedSnapshot` of the same: use one at a time. One that is
   * complete here lacks nothing but `finish`. Reads once what is there.
   */
  stage(id: SnapshotId): Promise<StagedSnapshot> {
    return this.#inOrder(async () => {
      const complete = this.list(id.groupId).find((file) => sameSnapshot(file, id));
      if (complete) return stagedAlready(complete);
      await this.#staging.get(id.groupId)?.close();
      this.#staging.delete(id.groupId);
      await this.#removeParts(id.groupId, (part) => !sameSnapshot(part, id));
      const files = await openStaging(this.#disk, this.#directory, id);
      const staging = await SnapshotStaging.resume(id, files);
      this.#staging.set(id.groupId, staging);
      this.#arriving.set(id.groupId, id);
      return this.#staged(staging);
    });
  }

  /**
   * Whether a complete file is still what its checksum says, by reading all of it from disk, slice
   * by slice; one that is not is removed.
   */
  async verify(file: SnapshotFile): Promise<boolean> {
    const content = await this.#disk.openFile(file.path, 'read');
    try {
      const isSound = (await checksumOfAll(content)) === file.crc32c;
      if (isSound && content.sizeBytes === file.sizeBytes) return true;
    } finally {
      await content.close();
    }
    await this.remove(file);
    return false;
  }

  /** Removes a complete file. Nothing happens where there is none. */
  remove(file: SnapshotFile): Promise<void> {
    return this.#inOrder(async () => {
      this.#complete = this.#complete.filter((one) => one.path !== file.path);
      await this.#disk.remove(file.path);
    });
  }

  /** Drops what has arrived for a group. */
  removeStaged(groupId: number): Promise<void> {
    return this.#inOrder(() => this.#dropStaged(groupId));
  }

  /** Removes all files of a group: it is removed, or starts anew. */
  removeGroup(groupId: number): Promise<void> {
    return this.#inOrder(async () => {
      await this.#dropStaged(groupId);
      for (const file of this.list(groupId)) {
        this.#complete = this.#complete.filter((one) => one !== file);
        await this.#disk.remove(file.path);
      }
    });
  }

  /** Stops receiving; what has arrived stays. */
  close(): Promise<void> {
    return this.#inOrder(async () => {
      for (const staging of this.#staging.values()) await staging.close();
      this.#staging.clear();
    });
  }

  #staged(staging: SnapshotStaging): StagedSnapshot {
    const { id } = staging;
    const { groupId } = id;
    return {
      id,
      get nextOffset(): number {
        return staging.nextOffset;
      },
      write: (offset, bytes, checksum) => staging.write(offset, bytes, checksum),
      finish: () => this.#inOrder(() => this.#finish(staging)),
      discard: () =>
        this.#inOrder(async () => {
          await staging.close();
          if (this.#staging.get(groupId) === staging) await this.#dropStaged(groupId);
        }),
      close: () => staging.close(),
    };
  }

  async #finish(staging: SnapshotStaging): Promise<SnapshotFile> {
    const { id, nextOffset, crc32c } = staging;
    assert(!staging.isEnded, 'a staged snapshot that was closed is finished');
    assert(nextOffset === id.sizeBytes, () => `${nextOffset} of ${id.sizeBytes} bytes are here`);
    if (crc32c !== id.crc32c) {
      await this.#dropStaged(id.groupId);
      const message = `snapshot ${id.index} of group ${id.groupId} has another checksum`;
      throw new FlotillaError('LOG_DAMAGED', message);
    }
    await staging.close();
    const file = await this.#completed(`${this.#directory}/${nameOf(id, 'part')}`, id);
    await this.#dropStaged(id.groupId);
    return file;
  }

  /** Names and lists a file whose bytes are on disk. */
  async #completed(path: string, id: SnapshotId): Promise<SnapshotFile> {
    const file = { ...id, path: `${this.#directory}/${nameOf(id, 'snap')}` };
    await this.#disk.rename(path, file.path);
    this.#complete = [...this.#complete.filter((one) => one.path !== file.path), file];
    return file;
  }

  async #syncWhole(path: string, sizeBytes: number): Promise<void> {
    const file = await this.#disk.openFile(path, 'write');
    try {
      if (file.sizeBytes !== sizeBytes) {
        const message = `a snapshot has ${file.sizeBytes} bytes on disk, not ${sizeBytes}`;
        throw new FlotillaError('LOG_DAMAGED', message);
      }
      await file.sync();
    } finally {
      await file.close();
    }
  }

  async #dropStaged(groupId: number): Promise<void> {
    await this.#staging.get(groupId)?.close();
    this.#staging.delete(groupId);
    await this.#removeParts(groupId, () => true);
    this.#arriving.delete(groupId);
  }

  /** The marks last: they alone are nothing, data without them would be begun anew. */
  async #removeParts(groupId: number, isUnwanted: (id: SnapshotId) => boolean): Promise<void> {
    for (const name of (await this.#disk.list(this.#directory)).reverse()) {
      const parsed = parseName(name);
      if (parsed === undefined || parsed.kind === 'snap' || parsed.id.groupId !== groupId) continue;
      if (isUnwanted(parsed.id)) await this.#disk.remove(`${this.#directory}/${name}`);
    }
  }

  #inOrder<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#tail.then(work);
    this.#tail = done.catch(() => undefined);
    return done;
  }
}

/** A staging of which everything is here, as a crash after the last step of one leaves it. */
function stagedAlready(file: SnapshotFile): StagedSnapshot {
  return {
    id: file,
    nextOffset: file.sizeBytes,
    write: async () => undefined,
    finish: async () => file,
    discard: async () => undefined,
    close: async () => undefined,
  };
}

/** Whether the file is of an arriving snapshot whose data and marks are both there. */
function isStaged({ id, kind }: SnapshotName, names: readonly string[]): boolean {
  if (kind === 'snap') return false;
  return names.includes(nameOf(id, 'part')) && names.includes(nameOf(id, 'mark'));
}

async function hasSize(disk: Disk, path: string, sizeBytes: number): Promise<boolean> {
  const file = await disk.openFile(path, 'read');
  try {
    return file.sizeBytes === sizeBytes;
  } finally {
    await file.close();
  }
}

/**
 * The log store over a key-value database: what is put into a batch, when it is durable, and when
 * readers see it. `openLogStore` opens one.
 *
 * A write costs one copy of its payloads into the batch's buffer, one meta record per group of the
 * batch, and a share of one sync. A batch that changes a term or vote also waits for LOW-WATER.
 */
import { type Entry, type LogReader, UnavailableError } from '../raft/types.js';
import { assert, defined } from '../shared/assert.js';
import type { Timer } from '../shared/environment.js';
import { FlotillaError, isFlotillaError } from '../shared/errors.js';
import type { Kv } from '../shared/kv.js';
import type { Logger } from '../shared/logger.js';
import { recordFailure } from '../shared/sealed-record.js';
import { assertBlobName, type BlobFiles } from './blob-files.js';
import { isDiskFull } from './disk-full.js';
import type { EntryCache } from './entry-cache.js';
import { decodeEntry } from './entry-codec.js';
import { assertSameGenesis } from './genesis-record.js';
import type { IntactGroup } from './group-check.js';
import { GroupReader } from './group-reader.js';
import type { IdentityFile, IdentityRecord, KnownGroup } from './identity-file.js';
import { assertGroupId, entryKey } from './keys.js';
import { LogSizes } from './log-sizes.js';
import { newLogState } from './log-state.js';
import type {
  GroupConfiguration,
  GroupDamage,
  GroupGenesis,
  GroupWrite,
  LogStore,
  StoreIdentity,
} from './log-store.js';
import type { LowWaterFile } from './low-water-file.js';
import { damagedError, refuseUsedReplica } from './replica-ids.js';
import type { SpaceGuard } from './space-guard.js';
import { groupIn, isUrgent, publish, StoreBatch, type StoredGroup } from './store-batch.js';
import { Sweeper } from './sweeper.js';
import { WriteLoop } from './write-loop.js';

/** What an earlier run did not come to delete. */
export type Leftover =
  | {
      readonly kind: 'entries';
      readonly groupId: number;
      readonly first: number;
      readonly end: number;
    }
  | { readonly kind: 'group'; readonly groupId: number };

/** The files beside the database. */
export interface KvLogStoreFiles {
  readonly identityFile: IdentityFile;
  readonly lowWater: LowWaterFile;
  readonly blobs: BlobFiles;
}

export interface KvLogStoreParts {
  readonly kv: Kv;
  readonly cache: EntryCache;
  readonly files: KvLogStoreFiles;
  readonly identity: IdentityRecord;
  readonly groups: readonly IntactGroup[];
  readonly damaged: readonly GroupDamage[];
  readonly leftovers: readonly Leftover[];
  readonly space: SpaceGuard;
  /** Gives the reserve of disk space back. */
  readonly releaseReserve: () => Promise<unknown>;
  readonly logger: Logger;
  readonly onPoisoned: (error: FlotillaError) => void;
  /** Calls its argument again and again, to write the low-water file and to look at the space. */
  readonly everyPeriod: (task: () => void) => Timer;
}

/** Puts a change into a batch, or throws and leaves the batch as it was. */
type Job = (batch: StoreBatch) => void;

export class KvLogStore implements LogStore {
  readonly #parts: KvLogStoreParts;
  readonly #groups = new Map<number, StoredGroup>();
  readonly #damaged = new Map<number, GroupDamage>();
  readonly #loop: WriteLoop<Job, StoreBatch>;
  readonly #sweeper: Sweeper;
  /** Groups whose old entries are still being deleted: a new log must not begin before. */
  readonly #clearing = new Map<number, Promise<void>>();
  readonly #timer: Timer;
  #identity: IdentityRecord;
  #committing: StoreBatch | undefined;
  #closing: Promise<void> | undefined;

  constructor(parts: KvLogStoreParts) {
    this.#parts = parts;
    this.#identity = parts.identity;
    for (const damage of parts.damaged) this.#damaged.set(damage.groupId, damage);
    for (const { genesis, state, sizes } of parts.groups) {
      const reader = this.#newReader(genesis, state);
      const keysEnd = state.meta.lastIndex + 1;
      this.#groups.set(genesis.groupId, { reader, sizes, keysEnd });
    }
    this.#loop = new WriteLoop({
      begin: () => new StoreBatch(),
      add: (batch, job) => job(batch),
      commit: (batch) => this.#commit(batch),
    });
    this.#sweeper = new Sweeper(parts.kv, parts.logger, () => this.poisoned === undefined);
    for (const leftover of parts.leftovers) this.#sweep(leftover);
    this.#timer = parts.everyPeriod(() => {
      parts.files.lowWater.save().catch((thrown: unknown) => void this.#poison(thrown));
      void parts.space.sample();
    });
  }

  get identity(): StoreIdentity {
    const { storeId, incarnation } = this.#identity;
    return { storeId, incarnation };
  }

  get space(): LogStore['space'] {
    return this.#parts.space.state;
  }

  get poisoned(): Error | undefined {
    return this.#loop.poisoned;
  }

  groups(): readonly GroupGenesis[] {
    return [...this.#groups.values()]
      .map(({ reader }) => reader.genesis)
      .sort((a, b) => a.groupId - b.groupId);
  }

  damaged(): readonly GroupDamage[] {
    return [...this.#damaged.values()];
  }

  async createGroup(genesis: GroupGenesis): Promise<void> {
    const { groupId } = genesis;
    assertGroupId(groupId);
    const clearing = this.#clearing.get(groupId);
    if (clearing) await clearing;
    await this.#loop.submit((batch) => this.#addGroup(batch, genesis), 0);
  }

  async replaceGroup(genesis: GroupGenesis): Promise<void> {
    const { groupId, replicaId } = genesis;
    assertGroupId(groupId);
    const existing = this.#groups.get(groupId)?.reader.genesis;
    if (existing?.replicaId !== replicaId) {
      const known = this.#identity.groups.get(groupId);
      refuseUsedReplica(genesis, known?.replicaId);
      if (known?.isRemoved === false) await this.removeGroup(groupId);
    }
    await this.createGroup(genesis);
  }

  removeGroup(groupId: number): Promise<void> {
    let isRemoved = false;
    const removed = this.#loop.submit((batch) => {
      isRemoved = this.#removeGroup(batch, groupId);
    }, 0);
    const swept = removed.then(() => (isRemoved ? this.#sweepGroup(groupId) : undefined));
    this.#setClearing(groupId, swept);
    return removed;
  }

  reader(groupId: number): LogReader {
    return this.#group(groupId).reader;
  }

  configuration(groupId: number): GroupConfiguration {
    return this.#group(groupId).reader.state.configuration;
  }

  logSizeBytes(groupId: number): number {
    return this.#group(groupId).sizes.totalBytes;
  }

  write(write: GroupWrite): Promise<void> {
    let sizeBytes = 0;
    for (const entry of write.entries) sizeBytes += entry.data.length;
    return this.#loop.submit((batch) => {
      this.#refuseDamaged(write.groupId);
      batch.write(groupIn(batch, this.#groups, write.groupId), write);
    }, sizeBytes);
  }

  async putBlob(name: string, bytes: Uint8Array): Promise<void> {
    assertBlobName(name);
    const copy = new Uint8Array(bytes);
    await this.#loop.submit((batch) => batch.blobs.set(name, copy), copy.length);
  }

  async getBlob(name: string): Promise<Uint8Array | undefined> {
    try {
      return await this.#parts.files.blobs.read(name);
    } catch (thrown) {
      throw recordFailure(`blob ${name}`, thrown);
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { kv, files, logger, space } = this.#parts;
    await this.#loop.close();
    this.#timer.cancel();
    await this.#sweeper.close();
    await space.close();
    await files.lowWater.save().catch((error: unknown) => {
      logger.warn({ error }, 'the low-water file stays behind what the database holds');
    });
    await kv.close();
    // The next open writes before it can read: without this it would find no room for that.
    if (isDiskFull(this.poisoned)) await this.#parts.releaseReserve();
  }

  #addGroup(batch: StoreBatch, genesis: GroupGenesis): void {
    const { groupId } = genesis;
    this.#refuseDamaged(groupId);
    assert(!batch.removed.has(groupId), () => `group ${groupId} is being removed`);
    const existing = (batch.staged.get(groupId)?.group ?? this.#groups.get(groupId))?.reader;
    if (existing) {
      assertSameGenesis(existing.genesis, genesis);
      return;
    }
    refuseUsedReplica(genesis, this.#identity.groups.get(groupId)?.replicaId);
    const reader = this.#newReader(genesis, newLogState(genesis));
    batch.create({ reader, sizes: new LogSizes(), keysEnd: 0 });
  }

  /** Returns false where the group is removed already. */
  #removeGroup(batch: StoreBatch, groupId: number): boolean {
    if (batch.removed.has(groupId)) return false;
    const known = this.#identity.groups.get(groupId);
    const created = batch.staged.get(groupId)?.group.reader.genesis;
    if (!created && defined(known, `group ${groupId}`).isRemoved) return false;
    batch.remove(groupId, created?.replicaId ?? known?.replicaId ?? 0);
    return true;
  }

  async #commit(batch: StoreBatch): Promise<void> {
    this.#committing = batch;
    try {
      await this.#persist(batch);
    } catch (thrown) {
      this.#poison(thrown);
      throw thrown;
    }
    this.#committing = undefined;
    this.#publish(batch);
  }

  /**
   * Database first: the files only ever claim what it has synced. But what is removed is so in
   * IDENTITY before the database forgets it: a group without its records is taken for damaged.
   */
  async #persist(batch: StoreBatch): Promise<void> {
    const { kv, files } = this.#parts;
    if (batch.removed.size > 0) await this.#identify(removedGroups(batch), batch.removed);
    batch.finish();
    if (batch.operations.length > 0) await kv.batch(batch.operations, { sync: batch.mustSync });
    if (batch.mustSync) await this.#raiseLowWater(batch);
    const created = createdGroups(batch);
    if (created.length > 0) await this.#identify(created);
    for (const [name, bytes] of batch.blobs) await files.blobs.write(name, bytes);
  }

  /** Writes down what has become of groups. */
  async #identify(
    changed: readonly (readonly [number, KnownGroup])[],
    removed: ReadonlyMap<number, unknown> = new Map(),
  ): Promise<void> {
    const { groups, quarantined } = this.#identity;
    this.#identity = {
      ...this.#identity,
      groups: new Map([...groups, ...changed]),
      quarantined: new Map([...quarantined].filter(([groupId]) => !removed.has(groupId))),
    };
    await this.#parts.files.identityFile.write(this.#identity);
  }

  /**
   * Only groups of this batch: LevelDB syncs the log file that it writes to, and a batch of
   * another group that was not synced may be in the file before.
   */
  async #raiseLowWater(batch: StoreBatch): Promise<void> {
    const { lowWater } = this.#parts.files;
    let urgent = batch.removed.size > 0;
    for (const groupId of batch.removed.keys()) lowWater.forget(groupId);
    for (const [groupId, staged] of batch.staged) {
      lowWater.note(groupId, staged.state.meta);
      urgent ||= isUrgent(staged);
    }
    if (urgent) await lowWater.save();
  }

  #publish(batch: StoreBatch): void {
    const { cache } = this.#parts;
    for (const groupId of batch.removed.keys()) {
      this.#groups.delete(groupId);
      this.#damaged.delete(groupId);
      cache.drop(groupId);
    }
    for (const [groupId, staged] of batch.staged) {
      const { first, end } = publish(staged);
      for (const { isReset, entries } of staged.written) {
        if (isReset) cache.drop(groupId);
        cache.put(groupId, entries);
      }
      this.#groups.set(groupId, staged.group);
      if (first < end) this.#sweep({ kind: 'entries', groupId, first, end });
    }
  }

  #sweep(leftover: Leftover): void {
    const { groupId } = leftover;
    if (leftover.kind === 'group') {
      this.#setClearing(groupId, this.#sweepGroup(groupId));
      return;
    }
    const { first, end } = leftover;
    this.#sweeper
      .deleteEntries(groupId, first, end)
      .catch((thrown: unknown) => void this.#poison(thrown));
  }

  #sweepGroup(groupId: number): Promise<void> {
    return this.#sweeper.deleteGroup(groupId).catch((thrown: unknown) => void this.#poison(thrown));
  }

  /** `swept` may reject with what the caller of a removal hears anyway. */
  #setClearing(groupId: number, swept: Promise<void>): void {
    const clearing = Promise.allSettled([this.#clearing.get(groupId), swept]).then(() => {
      if (this.#clearing.get(groupId) === clearing) this.#clearing.delete(groupId);
    });
    this.#clearing.set(groupId, clearing);
  }

  #newReader(genesis: GroupGenesis, state: GroupReader['state']): GroupReader {
    const { groupId } = genesis;
    const group = new GroupReader(
      genesis,
      state,
      (index) => this.#parts.cache.get(groupId, index) ?? this.#readEntry(group, index),
    );
    return group;
  }

  #readEntry(group: GroupReader, index: number): Entry {
    const { groupId } = group.genesis;
    const key = entryKey(groupId, index);
    const value = this.#read(key);
    const what = `entry ${index} of group ${groupId}`;
    if (!value) throw new FlotillaError('LOG_DAMAGED', `${what} is not in the database`);
    let entry: Entry;
    try {
      entry = decodeEntry(key, value);
    } catch (thrown) {
      throw recordFailure(what, thrown);
    }
    if (entry.term === group.term(index)) return entry;
    if (this.#committing?.staged.has(groupId)) {
      throw new UnavailableError(`${what} is being replaced`);
    }
    throw new FlotillaError('LOG_DAMAGED', `${what} has term ${entry.term} in the database`);
  }

  /** Whether what cannot be read is lost, the checks of the next open tell (S5). */
  #read(key: Uint8Array): Uint8Array | undefined {
    try {
      return this.#parts.kv.getSync(key);
    } catch (thrown) {
      if (isFlotillaError(thrown)) throw thrown;
      throw this.#poison(thrown);
    }
  }

  #group(groupId: number): StoredGroup {
    this.#refuseDamaged(groupId);
    return defined(this.#groups.get(groupId), `group ${groupId}`);
  }

  #refuseDamaged(groupId: number): void {
    const damage = this.#damaged.get(groupId);
    if (damage) throw damagedError(damage);
  }

  /** Returns what the store is poisoned with. */
  #poison(thrown: unknown): FlotillaError {
    if (this.#loop.poisoned) return this.#loop.poisoned;
    const { logger, onPoisoned } = this.#parts;
    const error = this.#loop.poison(thrown);
    logger.error({ error: thrown }, 'the log store failed: no more writes');
    onPoisoned(error);
    return error;
  }
}

function removedGroups(batch: StoreBatch): [number, KnownGroup][] {
  return [...batch.removed].map(([groupId, replicaId]) => [
    groupId,
    { replicaId, isRemoved: true },
  ]);
}

function createdGroups(batch: StoreBatch): [number, KnownGroup][] {
  return [...batch.staged]
    .filter(([, { created }]) => created)
    .map(([groupId, { group }]) => [
      groupId,
      { replicaId: group.reader.genesis.replicaId, isRemoved: false },
    ]);
}

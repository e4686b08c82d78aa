/**
 * The log store over a key-value database: what is put into a batch, when it is durable, and when
 * readers see it. `openLogStore` opens one.
 *
 * A write costs one copy of its payloads into the batch's buffer, one meta record per group of the
 * batch, and a share of one sync. A batch that changes a term or vote also waits for LOW-WATER.
 */
import { type Entry, type LogReader, UnavailableError } from '../raft/types.js';
import { defined } from '../shared/assert.js';
import type { Timer } from '../shared/environment.js';
import { FlotillaError } from '../shared/errors.js';
import type { Kv, KvOperation } from '../shared/kv.js';
import type { Logger } from '../shared/logger.js';
import { recordFailure } from '../shared/sealed-record.js';
import { assertBlobName, type BlobFiles } from './blob-files.js';
import type { EntryCache } from './entry-cache.js';
import { decodeEntry, encodeEntries } from './entry-codec.js';
import { assertSameGenesis, encodeGenesis } from './genesis-record.js';
import type { IntactGroup } from './group-check.js';
import { GroupReader } from './group-reader.js';
import type { IdentityFile, IdentityRecord } from './identity-file.js';
import { assertGroupId, entryKey, genesisKey, metaKey } from './keys.js';
import { advance, type LogState, NEW_LOG_STATE } from './log-state.js';
import type {
  GroupDamage,
  GroupGenesis,
  GroupWrite,
  LogStore,
  StoreIdentity,
} from './log-store.js';
import type { LowWaterFile } from './low-water-file.js';
import { encodeMeta, type GroupMeta } from './meta-record.js';
import { WriteLoop } from './write-loop.js';

export interface KvLogStoreParts {
  readonly kv: Kv;
  readonly cache: EntryCache;
  readonly files: {
    readonly identityFile: IdentityFile;
    readonly lowWater: LowWaterFile;
    readonly blobs: BlobFiles;
  };
  readonly identity: IdentityRecord;
  readonly groups: readonly IntactGroup[];
  readonly damaged: readonly GroupDamage[];
  readonly logger: Logger;
  /** Calls its argument again and again, to write the low-water file. */
  readonly everyPeriod: (task: () => void) => Timer;
}

/** Puts a change into a batch, or throws and leaves the batch as it was. */
type Job = (batch: Batch) => void;

/** A group's part of a batch. */
interface StagedGroup {
  readonly group: GroupReader;
  readonly created: boolean;
  /** As written, one array a write. */
  readonly entries: (readonly Entry[])[];
  state: LogState;
}

interface Batch {
  readonly operations: KvOperation[];
  readonly staged: Map<number, StagedGroup>;
  readonly blobs: Map<string, Uint8Array>;
  sync: boolean;
}

export class KvLogStore implements LogStore {
  readonly #parts: KvLogStoreParts;
  readonly #groups = new Map<number, GroupReader>();
  readonly #loop: WriteLoop<Job, Batch>;
  readonly #lowWaterTimer: Timer;
  #identity: IdentityRecord;
  #committing: Batch | undefined;
  #closing: Promise<void> | undefined;

  constructor(parts: KvLogStoreParts) {
    this.#parts = parts;
    this.#identity = parts.identity;
    for (const { genesis, state } of parts.groups) {
      this.#groups.set(genesis.groupId, this.#newReader(genesis, state));
    }
    this.#loop = new WriteLoop({
      begin: newBatch,
      add: (batch, job) => job(batch),
      commit: (batch) => this.#commit(batch),
    });
    this.#lowWaterTimer = parts.everyPeriod(() => {
      parts.files.lowWater.save().catch((thrown: unknown) => this.#poison(thrown));
    });
  }

  get identity(): StoreIdentity {
    const { storeId, incarnation } = this.#identity;
    return { storeId, incarnation };
  }

  get poisoned(): Error | undefined {
    return this.#loop.poisoned;
  }

  groups(): readonly GroupGenesis[] {
    return [...this.#groups.values()]
      .map((group) => group.genesis)
      .sort((a, b) => a.groupId - b.groupId);
  }

  damaged(): readonly GroupDamage[] {
    return this.#parts.damaged;
  }

  async createGroup(genesis: GroupGenesis): Promise<void> {
    assertGroupId(genesis.groupId);
    await this.#loop.submit((batch) => this.#addGroup(batch, genesis), 0);
  }

  reader(groupId: number): LogReader {
    this.#refuseDamaged(groupId);
    return defined(this.#groups.get(groupId), `group ${groupId}`);
  }

  write(write: GroupWrite): Promise<void> {
    let sizeBytes = 0;
    for (const entry of write.entries) sizeBytes += entry.data.length;
    return this.#loop.submit((batch) => this.#addWrite(batch, write), sizeBytes);
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
    const { kv, files, logger } = this.#parts;
    await this.#loop.close();
    this.#lowWaterTimer.cancel();
    await files.lowWater.save().catch((error: unknown) => {
      logger.warn({ error }, 'the low-water file stays behind what the database holds');
    });
    await kv.close();
  }

  #addWrite(batch: Batch, write: GroupWrite): void {
    const { groupId } = write;
    this.#refuseDamaged(groupId);
    const staged = batch.staged.get(groupId) ?? this.#stage(groupId);
    const state = advance(staged.state, write);
    staged.entries.push(encodeEntries(groupId, write.entries, batch.operations));
    staged.state = state;
    batch.staged.set(groupId, staged);
    if (write.mustSync) batch.sync = true;
  }

  #addGroup(batch: Batch, genesis: GroupGenesis): void {
    const { groupId } = genesis;
    this.#refuseDamaged(groupId);
    const existing = batch.staged.get(groupId)?.group ?? this.#groups.get(groupId);
    if (existing) {
      assertSameGenesis(existing.genesis, genesis);
      return;
    }
    const group = this.#newReader(genesis, NEW_LOG_STATE);
    const key = genesisKey(groupId);
    batch.operations.push({ type: 'put', key, value: encodeGenesis(genesis) });
    batch.staged.set(groupId, { group, created: true, entries: [], state: group.state });
    batch.sync = true;
  }

  #stage(groupId: number): StagedGroup {
    const group = defined(this.#groups.get(groupId), `group ${groupId}`);
    return { group, created: false, entries: [], state: group.state };
  }

  async #commit(batch: Batch): Promise<void> {
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

  /** Database first: the files only ever claim what it has synced. */
  async #persist(batch: Batch): Promise<void> {
    const { kv, files } = this.#parts;
    for (const [groupId, staged] of batch.staged) {
      staged.state = nextInSequence(staged.state);
      const value = encodeMeta(groupId, staged.state.meta);
      batch.operations.push({ type: 'put', key: metaKey(groupId), value });
    }
    if (batch.operations.length > 0) await kv.batch(batch.operations, { sync: batch.sync });
    if (batch.sync) await this.#raiseLowWater(batch);
    const created = [...batch.staged].filter(([, staged]) => staged.created);
    if (created.length > 0) {
      const groups = new Set([...this.#identity.groups, ...created.map(([groupId]) => groupId)]);
      this.#identity = { ...this.#identity, groups };
      await files.identityFile.write(this.#identity);
    }
    for (const [name, bytes] of batch.blobs) await files.blobs.write(name, bytes);
  }

  /**
   * Only groups of this batch: LevelDB syncs the log file that it writes to, and a batch of
   * another group that was not synced may be in the file before.
   */
  async #raiseLowWater(batch: Batch): Promise<void> {
    const { lowWater } = this.#parts.files;
    let urgent = false;
    for (const [groupId, { group, created, state }] of batch.staged) {
      lowWater.note(groupId, state.meta);
      urgent ||= created || changesBallot(group.state.meta, state.meta);
    }
    if (urgent) await lowWater.save();
  }

  #publish(batch: Batch): void {
    for (const [groupId, { group, state, entries }] of batch.staged) {
      group.publish(state);
      for (const written of entries) this.#parts.cache.put(groupId, written);
      this.#groups.set(groupId, group);
    }
  }

  #newReader(genesis: GroupGenesis, state: LogState): GroupReader {
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
    const value = this.#parts.kv.getSync(key);
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

  #refuseDamaged(groupId: number): void {
    const damage = this.#parts.damaged.find((candidate) => candidate.groupId === groupId);
    if (!damage) return;
    const message = `the log of group ${groupId} is damaged (${damage.reason}): ${damage.message}`;
    throw new FlotillaError('LOG_DAMAGED', message);
  }

  #poison(thrown: unknown): void {
    if (this.poisoned) return;
    this.#loop.poison(thrown);
    this.#parts.logger.error({ error: thrown }, 'the log store met a write error: no more writes');
  }
}

function newBatch(): Batch {
  return { operations: [], staged: new Map(), blobs: new Map(), sync: false };
}

function nextInSequence({ meta, terms }: LogState): LogState {
  return { meta: { ...meta, batchSequence: meta.batchSequence + 1 }, terms };
}

function changesBallot(before: GroupMeta, after: GroupMeta): boolean {
  return after.term !== before.term || after.vote !== before.vote;
}

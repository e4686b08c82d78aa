/**
 * The memory twin of the log store, for tests of what is built on one: the same rules and the same
 * order of completions. Nothing of it survives but by `reopen`.
 */
import type { Entry, LogReader } from '../raft/types.js';
import { defined } from '../shared/assert.js';
import { assertBlobName } from './blob-files.js';
import { assertSameGenesis } from './genesis-record.js';
import { GroupReader } from './group-reader.js';
import { assertGroupId } from './keys.js';
import { LogSizes } from './log-sizes.js';
import { advance, type LogState, newLogState } from './log-state.js';
import type {
  GroupConfiguration,
  GroupDamage,
  GroupGenesis,
  GroupWrite,
  LogStore,
  StoreIdentity,
} from './log-store.js';
import { damagedError, refuseUsedReplica } from './replica-ids.js';
import { WriteLoop } from './write-loop.js';

interface MemoryGroup {
  readonly reader: GroupReader;
  /** By index; only those from first to last index count. */
  readonly entries: Map<number, Entry>;
  readonly sizes: LogSizes;
}

/** What a store holds, handed from one incarnation to the next. */
interface MemoryContent {
  readonly groups: Map<number, MemoryGroup>;
  readonly blobs: Map<string, Uint8Array>;
  readonly damaged: Map<number, GroupDamage>;
  /** The highest replica id that each group has had. */
  readonly replicaIds: Map<number, number>;
}

/** Puts a change into a batch, or throws. */
type Job = (batch: Batch) => void;

interface Batch {
  /** States of groups after what is in the batch. */
  readonly states: Map<number, LogState>;
  /** Groups that the batch creates, and undefined for those that it removes. */
  readonly changed: Map<number, MemoryGroup | undefined>;
  /** Makes the batch visible, in order. */
  readonly effects: (() => void)[];
}

export class MemoryLogStore implements LogStore {
  readonly identity: StoreIdentity;
  /** Tests change it. */
  space: LogStore['space'] = 'ok';
  readonly #content: MemoryContent;
  readonly #loop: WriteLoop<Job, Batch>;
  #failure: Error | undefined;

  constructor(
    identity: StoreIdentity = { storeId: 'memory', incarnation: 1 },
    content: MemoryContent = {
      groups: new Map(),
      blobs: new Map(),
      damaged: new Map(),
      replicaIds: new Map(),
    },
  ) {
    this.identity = identity;
    this.#content = content;
    this.#loop = new WriteLoop({
      begin: () => ({ states: new Map(), changed: new Map(), effects: [] }),
      add: (batch, job) => job(batch),
      commit: (batch) => this.#commit(batch),
    });
  }

  /** The same content under the next incarnation, as after a restart. Close this one first. */
  reopen(): MemoryLogStore {
    const { storeId, incarnation } = this.identity;
    return new MemoryLogStore({ storeId, incarnation: incarnation + 1 }, this.#content);
  }

  /** The next batch fails with `error`, which poisons the store. */
  failNextWrite(error: Error): void {
    this.#failure = error;
  }

  /** The group is damaged from now on, as if an open had found it so. */
  damage(groupId: number, reason: GroupDamage['reason'] = 'entry-checksum'): void {
    const { genesis } = this.#group(groupId).reader;
    const { replicaId } = genesis;
    this.#content.damaged.set(groupId, { groupId, replicaId, reason, message: 'as told' });
    this.#content.groups.delete(groupId);
  }

  get poisoned(): Error | undefined {
    return this.#loop.poisoned;
  }

  groups(): readonly GroupGenesis[] {
    return [...this.#content.groups.values()]
      .map(({ reader }) => reader.genesis)
      .sort((a, b) => a.groupId - b.groupId);
  }

  damaged(): readonly GroupDamage[] {
    return [...this.#content.damaged.values()];
  }

  async createGroup(genesis: GroupGenesis): Promise<void> {
    assertGroupId(genesis.groupId);
    await this.#loop.submit((batch) => this.#addGroup(batch, genesis), 0);
  }

  async replaceGroup(genesis: GroupGenesis): Promise<void> {
    const { groupId, replicaId } = genesis;
    assertGroupId(groupId);
    await this.#loop.submit((batch) => {
      const existing = this.#find(batch, groupId);
      if (existing?.reader.genesis.replicaId !== replicaId) {
        refuseUsedReplica(genesis, this.#content.replicaIds.get(groupId));
        this.#remove(batch, groupId);
      }
      this.#addGroup(batch, genesis);
    }, 0);
  }

  async removeGroup(groupId: number): Promise<void> {
    await this.#loop.submit((batch) => {
      const replicaId = this.#content.replicaIds.get(groupId);
      defined(this.#find(batch, groupId) ?? replicaId, `group ${groupId}`);
      this.#remove(batch, groupId);
    }, 0);
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
    return this.#loop.submit((batch) => this.#addWrite(batch, write), 0);
  }

  async putBlob(name: string, bytes: Uint8Array): Promise<void> {
    assertBlobName(name);
    const copy = new Uint8Array(bytes);
    const add: Job = (batch) => batch.effects.push(() => this.#content.blobs.set(name, copy));
    await this.#loop.submit(add, 0);
  }

  async getBlob(name: string): Promise<Uint8Array | undefined> {
    assertBlobName(name);
    const bytes = this.#content.blobs.get(name);
    return bytes && new Uint8Array(bytes);
  }

  close(): Promise<void> {
    return this.#loop.close();
  }

  #group(groupId: number): MemoryGroup {
    const damage = this.#content.damaged.get(groupId);
    if (damage) throw damagedError(damage);
    return defined(this.#content.groups.get(groupId), `group ${groupId}`);
  }

  #find(batch: Batch, groupId: number): MemoryGroup | undefined {
    if (batch.changed.has(groupId)) return batch.changed.get(groupId);
    return this.#content.groups.get(groupId);
  }

  #addGroup(batch: Batch, genesis: GroupGenesis): void {
    const { groupId, replicaId } = genesis;
    const existing = this.#find(batch, groupId);
    if (existing) {
      assertSameGenesis(existing.reader.genesis, genesis);
      return;
    }
    if (!batch.changed.has(groupId)) this.#refuseDamaged(groupId);
    refuseUsedReplica(genesis, this.#content.replicaIds.get(groupId));
    const entries = new Map<number, Entry>();
    const entryAt = (index: number): Entry => defined(entries.get(index), `entry ${index}`);
    const state = newLogState(genesis);
    const reader = new GroupReader(genesis, state, entryAt);
    const group = { reader, entries, sizes: new LogSizes() };
    batch.changed.set(groupId, group);
    batch.states.set(groupId, state);
    batch.effects.push(() => {
      this.#content.groups.set(groupId, group);
      this.#content.replicaIds.set(groupId, replicaId);
    });
  }

  #remove(batch: Batch, groupId: number): void {
    batch.changed.set(groupId, undefined);
    batch.states.delete(groupId);
    batch.effects.push(() => {
      this.#content.groups.delete(groupId);
      this.#content.damaged.delete(groupId);
    });
  }

  #refuseDamaged(groupId: number): void {
    const damage = this.#content.damaged.get(groupId);
    if (damage) throw damagedError(damage);
  }

  #addWrite(batch: Batch, write: GroupWrite): void {
    const { groupId, entries, snapshot } = write;
    if (!batch.changed.has(groupId)) this.#refuseDamaged(groupId);
    const group = defined(this.#find(batch, groupId), `group ${groupId}`);
    const state = advance(batch.states.get(groupId) ?? group.reader.state, write);
    batch.states.set(groupId, state);
    batch.effects.push(() => {
      const before = group.reader.firstIndex();
      if (snapshot) group.entries.clear();
      for (const entry of entries) group.entries.set(entry.index, entry);
      if (snapshot) group.sizes.dropBefore(Number.MAX_SAFE_INTEGER);
      group.sizes.put(entries);
      group.sizes.dropBefore(state.meta.firstIndex);
      group.reader.publish(state);
      if (snapshot) return;
      for (let index = before; index < state.meta.firstIndex; index++) group.entries.delete(index);
    });
  }

  async #commit(batch: Batch): Promise<void> {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure) throw failure;
    for (const makeVisible of batch.effects) makeVisible();
  }
}

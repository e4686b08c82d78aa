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
import { advance, type LogState, NEW_LOG_STATE } from './log-state.js';
import type {
  GroupDamage,
  GroupGenesis,
  GroupWrite,
  LogStore,
  StoreIdentity,
} from './log-store.js';
import { WriteLoop } from './write-loop.js';

interface MemoryGroup {
  readonly reader: GroupReader;
  /** The entry of index i is at i - 1. */
  readonly entries: Entry[];
}

/** What a store holds, handed from one incarnation to the next. */
interface MemoryContent {
  readonly groups: Map<number, MemoryGroup>;
  readonly blobs: Map<string, Uint8Array>;
}

/** Puts a change into a batch, or throws. */
type Job = (batch: Batch) => void;

interface Batch {
  /** States of groups after what is in the batch. */
  readonly states: Map<number, LogState>;
  readonly created: Map<number, MemoryGroup>;
  /** Makes the batch visible, in order. */
  readonly effects: (() => void)[];
}

export class MemoryLogStore implements LogStore {
  readonly identity: StoreIdentity;
  readonly #content: MemoryContent;
  readonly #loop: WriteLoop<Job, Batch>;
  #failure: Error | undefined;

  constructor(
    identity: StoreIdentity = { storeId: 'memory', incarnation: 1 },
    content: MemoryContent = { groups: new Map(), blobs: new Map() },
  ) {
    this.identity = identity;
    this.#content = content;
    this.#loop = new WriteLoop({
      begin: () => ({ states: new Map(), created: new Map(), effects: [] }),
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

  get poisoned(): Error | undefined {
    return this.#loop.poisoned;
  }

  groups(): readonly GroupGenesis[] {
    return [...this.#content.groups.values()]
      .map(({ reader }) => reader.genesis)
      .sort((a, b) => a.groupId - b.groupId);
  }

  damaged(): readonly GroupDamage[] {
    return [];
  }

  async createGroup(genesis: GroupGenesis): Promise<void> {
    assertGroupId(genesis.groupId);
    await this.#loop.submit((batch) => this.#addGroup(batch, genesis), 0);
  }

  reader(groupId: number): LogReader {
    return defined(this.#content.groups.get(groupId), `group ${groupId}`).reader;
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

  #addGroup(batch: Batch, genesis: GroupGenesis): void {
    const { groupId } = genesis;
    const existing = batch.created.get(groupId) ?? this.#content.groups.get(groupId);
    if (existing) {
      assertSameGenesis(existing.reader.genesis, genesis);
      return;
    }
    const entries: Entry[] = [];
    const entryAt = (index: number): Entry => defined(entries[index - 1], `entry ${index}`);
    const group = { reader: new GroupReader(genesis, NEW_LOG_STATE, entryAt), entries };
    batch.created.set(groupId, group);
    batch.effects.push(() => this.#content.groups.set(groupId, group));
  }

  #addWrite(batch: Batch, write: GroupWrite): void {
    const { groupId, entries } = write;
    const found = batch.created.get(groupId) ?? this.#content.groups.get(groupId);
    const group = defined(found, `group ${groupId}`);
    const state = advance(batch.states.get(groupId) ?? group.reader.state, write);
    batch.states.set(groupId, state);
    batch.effects.push(() => {
      if (entries[0]) group.entries.length = entries[0].index - 1;
      for (const entry of entries) group.entries.push(entry);
      group.reader.publish(state);
    });
  }

  async #commit(batch: Batch): Promise<void> {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure) throw failure;
    for (const makeVisible of batch.effects) makeVisible();
  }
}

/**
 * What one synced batch of the log store holds: parts of many groups, each with the state that its
 * log has once the batch is written.
 */
import type { Entry } from '../raft/types.js';
import { defined } from '../shared/assert.js';
import type { KvOperation } from '../shared/kv.js';
import { encodeConfiguration } from './configuration-record.js';
import { encodeEntries } from './entry-codec.js';
import { encodeGenesis } from './genesis-record.js';
import type { GroupReader } from './group-reader.js';
import { configurationKey, genesisKey, metaKey } from './keys.js';
import type { LogSizes } from './log-sizes.js';
import { advance, type LogState } from './log-state.js';
import type { GroupWrite } from './log-store.js';
import { encodeMeta, type GroupMeta } from './meta-record.js';

/** A group that the store holds. */
export interface StoredGroup {
  readonly reader: GroupReader;
  readonly sizes: LogSizes;
  /** No entry was written at or beyond it, since the open at least. */
  keysEnd: number;
}

/** A group's part of a batch. */
export interface StagedGroup {
  readonly group: StoredGroup;
  readonly created: boolean;
  /** One for each write, in order. */
  readonly written: { readonly isReset: boolean; readonly entries: readonly Entry[] }[];
  state: LogState;
  /** The record of the state's configuration, when that changes. */
  configuration: Uint8Array | undefined;
}

export class StoreBatch {
  readonly operations: KvOperation[] = [];
  readonly staged = new Map<number, StagedGroup>();
  /** Groups that the batch removes, with the highest replica id that each has had. */
  readonly removed = new Map<number, number>();
  readonly blobs = new Map<string, Uint8Array>();
  #mustSync = false;

  get mustSync(): boolean {
    return this.#mustSync || this.removed.size > 0;
  }

  /** Throws and changes nothing when the write breaks a rule of the log. */
  write(group: StoredGroup, write: GroupWrite): void {
    const { groupId } = write;
    const staged = this.staged.get(groupId) ?? newStaged(group, false);
    const state = advance(staged.state, write);
    if (state.configuration !== staged.state.configuration) {
      staged.configuration = encodeConfiguration(groupId, state.configuration);
    }
    const entries = encodeEntries(groupId, write.entries, this.operations);
    staged.written.push({ isReset: write.snapshot !== undefined, entries });
    // What the log no longer starts with is deleted once that is durable, and not before.
    if (write.mustSync || state.meta.firstIndex !== staged.state.meta.firstIndex) {
      this.#mustSync = true;
    }
    staged.state = state;
    this.staged.set(groupId, staged);
  }

  create(group: StoredGroup): void {
    const { genesis } = group.reader;
    const key = genesisKey(genesis.groupId);
    this.operations.push({ type: 'put', key, value: encodeGenesis(genesis) });
    this.staged.set(genesis.groupId, newStaged(group, true));
    this.#mustSync = true;
  }

  /** Takes the group out; its entries stay for a sweep. */
  remove(groupId: number, replicaId: number): void {
    this.staged.delete(groupId);
    this.removed.set(groupId, replicaId);
    for (const key of [genesisKey(groupId), metaKey(groupId), configurationKey(groupId)]) {
      this.operations.push({ type: 'del', key });
    }
  }

  /** Adds the records that say how each log stands after the batch. To be called once, last. */
  finish(): void {
    for (const [groupId, staged] of this.staged) {
      staged.state = nextInSequence(staged.state);
      const meta = encodeMeta(groupId, staged.state.meta);
      this.operations.push({ type: 'put', key: metaKey(groupId), value: meta });
      const value = staged.configuration;
      if (value) this.operations.push({ type: 'put', key: configurationKey(groupId), value });
    }
  }
}

/** Whether the change must be in LOW-WATER before it is acknowledged: not only a longer log. */
export function isUrgent({ created, group, state }: StagedGroup): boolean {
  const before: GroupMeta = group.reader.state.meta;
  const { term, vote, firstIndex } = state.meta;
  return (
    created || term !== before.term || vote !== before.vote || firstIndex !== before.firstIndex
  );
}

/** Shows what has become durable. Returns the entries that nothing needs any more. */
export function publish({ group, written, state }: StagedGroup): { first: number; end: number } {
  const first = group.reader.firstIndex();
  for (const { isReset, entries } of written) {
    if (isReset) group.sizes.dropBefore(Number.MAX_SAFE_INTEGER);
    group.sizes.put(entries);
    const last = entries[entries.length - 1];
    if (last) group.keysEnd = Math.max(group.keysEnd, last.index + 1);
  }
  group.reader.publish(state);
  const { firstIndex } = state.meta;
  group.sizes.dropBefore(firstIndex);
  return { first, end: Math.min(firstIndex, group.keysEnd) };
}

/** The group as a batch finds it, which it must. */
export function groupIn(
  batch: StoreBatch,
  groups: ReadonlyMap<number, StoredGroup>,
  groupId: number,
): StoredGroup {
  const stored = batch.removed.has(groupId) ? undefined : groups.get(groupId);
  return defined(batch.staged.get(groupId)?.group ?? stored, `group ${groupId}`);
}

function newStaged(group: StoredGroup, created: boolean): StagedGroup {
  const { state } = group.reader;
  return { group, created, written: [], state, configuration: undefined };
}

function nextInSequence(state: LogState): LogState {
  const { meta } = state;
  return { ...state, meta: { ...meta, batchSequence: meta.batchSequence + 1 } };
}

// Goal: what the tests of this room share: environments, genesis, entries.
// Method: timers that fire when a test says so; disks in memory or in a temporary directory.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Entry, HardState } from '../../../src/raft/types.js';
import type { Disk, Environment, Timer } from '../../../src/shared/environment.js';
import type {
  GroupConfiguration,
  GroupGenesis,
  GroupWrite,
} from '../../../src/storage/log-store.js';

/** Timers that fire by hand. */
export class ManualScheduler {
  readonly #tasks = new Set<() => void>();

  after(_delayMs: number, task: () => void): Timer {
    return this.every(0, task);
  }

  every(_periodMs: number, task: () => void): Timer {
    this.#tasks.add(task);
    return { cancel: () => this.#tasks.delete(task) };
  }

  soon(task: () => void): void {
    queueMicrotask(task);
  }

  get pending(): number {
    return this.#tasks.size;
  }

  /** Fires every timer once. */
  fire(): void {
    for (const task of [...this.#tasks]) task();
  }
}

export type StorageEnvironment = Pick<Environment, 'disk' | 'random' | 'scheduler'>;

let storesMade = 0;

export function environmentOn(disk: Disk, scheduler = new ManualScheduler()): StorageEnvironment {
  const random = { next: () => 0.5, uuid: () => `store-${++storesMade}` };
  return { disk, random, scheduler };
}

/** A directory of its own that `remove` deletes. */
export function temporaryDirectory(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'flotilla-storage-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export function genesisOf(groupId: number, replicaId = 1): GroupGenesis {
  return {
    groupId,
    replicaId,
    confState: {
      voters: [1, 2, 3],
      votersOutgoing: [],
      learners: [4],
      learnersNext: [],
      autoLeave: false,
    },
    members: [1, 2, 3, 4].map((id) => ({ replicaId: id, nodeId: id, storeId: `s${id}` })),
  };
}

/** A configuration that is another one for each index. */
export function configurationOf(index: number): GroupConfiguration {
  const sets = { votersOutgoing: [1], learners: [], learnersNext: [2], autoLeave: true };
  return {
    index,
    confState: { voters: [1, index + 2], ...sets },
    members: [{ replicaId: index + 2, nodeId: 9, storeId: `s${index}` }],
  };
}

export function entry(index: number, term: number, data = `${index}@${term}`): Entry {
  return { type: 'EntryNormal', index, term, data: new TextEncoder().encode(data) };
}

/** Entries from `first` to `last`, all of one term. */
export function entriesOf(first: number, last: number, term: number): Entry[] {
  return Array.from({ length: last - first + 1 }, (_, offset) => entry(first + offset, term));
}

export function hardStateOf(term: number, vote = 0, commit = 0): HardState {
  return { term, vote, commit };
}

/** A synced write; with entries and no hard state of its own, the term is theirs. */
export function writeOf(
  groupId: number,
  entries: readonly Entry[],
  hardState?: HardState,
  mustSync = true,
): GroupWrite {
  return { groupId, entries, mustSync, ...(hardState && { hardState }) };
}

/** `index@term` of each, as the default data says too. */
export function described(entries: readonly Entry[]): string[] {
  return entries.map(({ index, term }) => `${index}@${term}`);
}

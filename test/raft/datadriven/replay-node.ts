/**
 * One replica of a replayed scenario: the core, its storage in memory, a state machine that
 * appends the bytes of every entry, and, in asynchronous mode, the work that its storage has been
 * handed and has not done yet.
 *
 * A node survives the crash of its core: storage and state machine stay, everything else goes.
 */

import { decodeConfChange } from '../../../src/raft/conf-change-codec.js';
import {
  describeEntries,
  describeHardState,
  describeMessage,
  describeReady,
} from '../../../src/raft/describe.js';
import { MemoryStorage } from '../../../src/raft/memory-storage.js';
import { RawNode } from '../../../src/raft/raw-node.js';
import {
  type Entry,
  type HardState,
  LOCAL_APPEND_THREAD,
  LOCAL_APPLY_THREAD,
  type LogReader,
  type Message,
  NONE,
  type RaftConfig,
  type Ready,
  type ReplicaId,
  type Snapshot,
} from '../../../src/raft/types.js';
import { DirectiveError } from './directive-error.js';
import { asEtcdMessage, asEtcdReady } from './etcd-message.js';
import type { ReplayOutput } from './output.js';

/** What a scenario chooses; the node adds its id, its storage and its source of randomness. */
export type ReplayConfig = Omit<
  RaftConfig,
  'id' | 'storage' | 'applied' | 'random' | 'nowMs' | 'restarted'
>;

/** The snapshot of a replica that has never heard of anything. */
export const EMPTY_SNAPSHOT: Snapshot = {
  meta: {
    index: 0,
    term: 0,
    confState: {
      voters: [],
      votersOutgoing: [],
      learners: [],
      learnersNext: [],
      autoLeave: false,
    },
  },
  data: new Uint8Array(0),
};

/** What one write to the log makes durable, all of it or nothing. */
interface StorageWrite {
  readonly hardState: HardState | undefined;
  readonly entries: readonly Entry[];
  readonly snapshot: Snapshot | undefined;
}

function writeOfReady(ready: Ready): StorageWrite {
  return { hardState: ready.hardState, entries: ready.entries, snapshot: ready.snapshot };
}

function writeOfMessage(message: Message): StorageWrite {
  const { term, vote, commit } = message;
  const isEmpty = term === 0 && vote === NONE && commit === 0;
  return {
    hardState: isEmpty ? undefined : { term, vote, commit },
    entries: message.entries,
    snapshot: message.snapshot,
  };
}

function isLocalTarget(id: ReplicaId): boolean {
  return id === LOCAL_APPEND_THREAD || id === LOCAL_APPLY_THREAD;
}

/** Whether a message never crosses the network: it cannot get lost, nor outlive a crash. */
export function isLocalMessage(message: Message): boolean {
  return message.from === message.to || isLocalTarget(message.from) || isLocalTarget(message.to);
}

export class ReplayNode {
  readonly id: ReplicaId;
  readonly config: ReplayConfig;
  readonly #storage = new MemoryStorage();
  /** State of the state machine after every applied entry, the newest last. */
  readonly #history: Snapshot[];
  readonly #appendWork: Message[] = [];
  readonly #applyWork: Message[] = [];
  /** The replica's monotonic clock. Only a directive moves it. */
  nowMs = 0;
  #core: RawNode | undefined;

  /** A new replica; with a snapshot it begins as if that had been installed. */
  constructor(id: ReplicaId, config: ReplayConfig, snapshot: Snapshot | undefined) {
    this.id = id;
    this.config = config;
    this.#history = [snapshot ?? EMPTY_SNAPSHOT];
    if (snapshot !== undefined) {
      this.#storage.applySnapshot(snapshot);
    }
    this.#core = this.#open(false);
  }

  /** Throws a `DirectiveError` between crash and restart. */
  get core(): RawNode {
    if (this.#core === undefined) {
      throw new DirectiveError(`replica ${this.id} is down`);
    }
    return this.#core;
  }

  get isDown(): boolean {
    return this.#core === undefined;
  }

  get hasReady(): boolean {
    return this.#core?.hasReady() ?? false;
  }

  get hasAppendWork(): boolean {
    return this.#appendWork.length > 0;
  }

  get hasApplyWork(): boolean {
    return this.#applyWork.length > 0;
  }

  /** The newest state of the state machine. */
  get snapshot(): Snapshot {
    return this.#history.at(-1) ?? EMPTY_SNAPSHOT;
  }

  #open(restarted: boolean): RawNode {
    const storage = this.#storage;
    const { confState } = this.snapshot.meta;
    const reader: LogReader = {
      initialState: () => ({ hardState: storage.initialState().hardState, confState }),
      entries: (low, high, maxSizeBytes) => storage.entries(low, high, maxSizeBytes),
      term: (index) => storage.term(index),
      firstIndex: () => storage.firstIndex(),
      lastIndex: () => storage.lastIndex(),
      snapshot: () => this.snapshot,
    };
    return new RawNode({
      ...this.config,
      id: this.id,
      storage: reader,
      applied: this.snapshot.meta.index,
      random: () => 0,
      nowMs: () => this.nowMs,
      restarted,
    });
  }

  /** Takes a Ready, prints it and does all that it asks for. Returns what is to be sent. */
  processReady(output: ReplayOutput): readonly Message[] {
    const ready = this.core.ready();
    output.write(describeReady(asEtcdReady(ready)));
    if (this.config.asyncStorageWrites !== true) {
      this.#write(writeOfReady(ready));
      this.#apply(ready.committed);
      this.core.advance(ready);
    }
    const messages = [...ready.messages, ...ready.messagesAfterPersist];
    this.#appendWork.push(...messages.filter((each) => each.to === LOCAL_APPEND_THREAD));
    this.#applyWork.push(...messages.filter((each) => each.to === LOCAL_APPLY_THREAD));
    return messages.filter((message) => !isLocalTarget(message.to));
  }

  /** Does the oldest piece of append work. Returns the responses, to be delivered. */
  processAppendThread(output: ReplayOutput): readonly Message[] {
    const work = this.#appendWork.shift();
    if (work === undefined) {
      output.write('no append work to perform');
      return [];
    }
    this.#write(writeOfMessage(work));
    return printWork(work, output);
  }

  /** Does the oldest piece of apply work. Returns the responses, to be delivered. */
  processApplyThread(output: ReplayOutput): readonly Message[] {
    const work = this.#applyWork.shift();
    if (work === undefined) {
      output.write('no apply work to perform');
      return [];
    }
    this.#apply(work.entries);
    return printWork(work, output);
  }

  /**
   * Stops the core. Of the writes that were on their way to the log, the oldest `keepWrites` are
   * durable; nothing that waited for any of them is ever sent. In synchronous mode the Ready that
   * was not taken is the only such write.
   */
  crash(keepWrites: number): { kept: number; lost: number } {
    const pending = this.#appendWork.map(writeOfMessage);
    if (this.config.asyncStorageWrites !== true && this.core.hasReady()) {
      pending.push(writeOfReady(this.core.ready()));
    }
    const kept = pending.slice(0, keepWrites);
    for (const write of kept) {
      this.#write(write);
    }
    this.#appendWork.length = 0;
    this.#applyWork.length = 0;
    this.#core = undefined;
    return { kept: kept.length, lost: pending.length - kept.length };
  }

  /** Starts the core from what is durable. Prints what that is. */
  restart(output: ReplayOutput): void {
    if (this.#core !== undefined) {
      throw new DirectiveError(`replica ${this.id} is not down`);
    }
    this.#core = this.#open(true);
    const { hardState } = this.#storage.initialState();
    const applied = this.snapshot.meta.index;
    output.writeLine(`HardState ${describeHardState(hardState)}`);
    output.writeLine(`LastIndex:${this.#storage.lastIndex()} Applied:${applied}`);
  }

  /** Drops the log up to and including `index`. */
  compact(index: number): void {
    this.#storage.compact(index);
  }

  printLog(output: ReplayOutput): void {
    const first = this.#storage.firstIndex();
    const last = this.#storage.lastIndex();
    if (last < first) {
      output.write(`log is empty: first index=${first}, last index=${last}`);
      return;
    }
    const entries = this.#storage.entries(first, last + 1, Number.MAX_SAFE_INTEGER);
    output.write(describeEntries(entries));
  }

  #write(write: StorageWrite): void {
    if (write.hardState !== undefined) {
      this.#storage.setHardState(write.hardState);
    }
    if (write.snapshot === undefined) {
      this.#storage.append(write.entries);
      return;
    }
    if (write.entries.length > 0) {
      throw new DirectiveError("can't apply snapshot and entries at the same time");
    }
    this.#storage.applySnapshot(write.snapshot);
    this.#history.push(write.snapshot);
  }

  #apply(entries: readonly Entry[]): void {
    for (const entry of entries) {
      const { meta, data } = this.snapshot;
      const isNormal = entry.type === 'EntryNormal';
      const confState = isNormal
        ? meta.confState
        : this.core.applyConfChange(decodeConfChange(entry.data));
      this.#history.push({
        meta: { index: entry.index, term: entry.term, confState },
        data: isNormal ? Buffer.concat([data, entry.data]) : data,
      });
    }
  }
}

function printWork(work: Message, output: ReplayOutput): readonly Message[] {
  const { responses = [], ...bare } = work;
  output.writeLine('Processing:');
  output.writeLine(describeMessage(asEtcdMessage(bare)));
  output.writeLine('Responses:');
  for (const response of responses) {
    output.writeLine(describeMessage(asEtcdMessage(response)));
  }
  return responses;
}

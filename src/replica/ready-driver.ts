/**
 * Carries out what the core has ready, in the order that it asks for: send, persist, send what had
 * to wait, apply. It decides nothing.
 *
 * At most one `Ready` is outstanding, so that whatever arrives during an fsync goes into the next
 * batch (natural group commit). What a crash may take back rides on that batch as well: a commit
 * index, a cut of the log.
 *
 * A configuration that was applied is synced with the next batch, or at once where none is due, and
 * always together with a commit index that covers it. After a loss of power this replica then goes
 * on without those who left, whose logs may be gone by then (M12). A configuration without that
 * commit index would be ahead of the log that leads to it.
 */
import type { Outbox, RawNode } from '../raft/raw-node.js';
import type { Entry, HardState, Message, Ready, Snapshot, SoftState } from '../raft/types.js';
import type {
  GroupConfiguration,
  GroupSnapshot,
  GroupWrite,
  LogStore,
} from '../storage/log-store.js';
import type { ApplyQueue } from './apply-queue.js';
import type { Reads } from './reads.js';

export interface ReadyDriverOptions {
  readonly groupId: number;
  readonly node: RawNode;
  readonly logStore: Pick<LogStore, 'write'>;
  readonly queue: Pick<ApplyQueue<unknown>, 'push' | 'replaceState'>;
  readonly reads: Reads;
  /** The last index that is durable when the driver begins. */
  readonly persistedIndex: number;
  /** Term, vote and commit that are durable when the driver begins. */
  readonly hardState: HardState;
  readonly send: (messages: readonly Message[]) => void;
  readonly onSoftState: (softState: SoftState) => void;
  /** Sees each entry that is appended here, before it is persisted. */
  readonly onAppend: (entries: readonly Entry[]) => void;
  /** Whether somebody waits for the result of applying. */
  readonly isUrgent: () => boolean;
  /** How the log is to be begun anew behind a snapshot. */
  readonly recordOf: (snapshot: Snapshot) => GroupSnapshot;
  /** Replaces the state; the log has begun anew already (S3). */
  readonly install: (snapshot: GroupSnapshot) => Promise<void>;
  /** Asks for `advance` soon. */
  readonly schedule: () => void;
  readonly onError: (error: unknown) => void;
}

/** What the next batch takes along. */
interface Unsaved {
  hardState?: HardState;
  configuration?: GroupConfiguration;
  compactedIndex?: number;
}

export class ReadyDriver {
  readonly #options: ReadyDriverOptions;
  readonly #node: RawNode;
  #persisting = false;
  #persistedIndex: number;
  #unsaved: Unsaved = {};
  /** The newest that is durable, or on its way to the disk. */
  #hardState: HardState;
  #writing: Promise<void> | undefined;
  #stopped = false;

  constructor(options: ReadyDriverOptions) {
    this.#options = options;
    this.#node = options.node;
    this.#persistedIndex = options.persistedIndex;
    this.#hardState = options.hardState;
  }

  /**
   * While a `Ready` is being persisted only that leaves which need not wait for the disk:
   * heartbeats, appends, reads (G2).
   */
  advance(): void {
    if (this.#stopped) return;
    if (this.#persisting) this.#handleOutbox(this.#node.takeOutbox());
    else if (this.#node.hasReady()) this.#handle(this.#node.ready());
    else if (this.#mustSync) this.#saveConfiguration();
  }

  /** Asks for a turn where the core has something to be done. */
  scheduleIfReady(): void {
    if (this.#stopped) return;
    if (this.#persisting || this.#mustSync || this.#node.hasReady()) this.#options.schedule();
  }

  /** The configuration that is in force from its index on; synced in the next turn (M12). */
  saveConfiguration(configuration: GroupConfiguration): void {
    this.#unsaved.configuration = configuration;
  }

  /** The log may begin after `index`, which is applied durably; written with the next batch. */
  compact(index: number): void {
    this.#unsaved.compactedIndex = index;
  }

  /** Where the log will begin when all that is due is written; 0 where that changes nothing. */
  get compactedIndex(): number {
    return this.#unsaved.compactedIndex ?? 0;
  }

  /** Nothing is handed out any more. Resolves when the write under way is through. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#writing;
  }

  /** So that a restart after an orderly stop knows what is committed. */
  async saveRest(): Promise<void> {
    const isSaved = Object.keys(this.#unsaved).length === 0;
    if (!isSaved) await this.#write({ entries: [], mustSync: this.#mustSync });
  }

  /** Whether something waits to be written that must not wait for other reasons to sync. */
  get #mustSync(): boolean {
    return this.#unsaved.configuration !== undefined;
  }

  /** There is nothing else to be written. */
  #saveConfiguration(): void {
    this.#persisting = true;
    this.#writing = this.#write({ entries: [], mustSync: true })
      .then(() => {
        this.#persisting = false;
        this.scheduleIfReady();
      })
      .catch(this.#options.onError);
  }

  #handle(ready: Ready): void {
    const { queue, isUrgent, onSoftState, onAppend, onError } = this.#options;
    if (ready.softState !== undefined) onSoftState(ready.softState);
    onAppend(ready.entries);
    this.#handleOutbox(ready);
    if (ready.hardState !== undefined) this.#unsaved.hardState = ready.hardState;
    // What is durable here already need not wait for this batch, which may replace a suffix.
    const firstNew = ready.entries[0]?.index ?? Number.MAX_SAFE_INTEGER;
    const durableIndex = Math.min(this.#persistedIndex, firstNew - 1);
    const durable = ready.committed.filter((entry) => entry.index <= durableIndex);
    const waiting = ready.committed.slice(durable.length);
    queue.push(durable, isUrgent());
    this.#persisting = true;
    if (!ready.mustSync && !this.#mustSync && ready.snapshot === undefined) {
      this.#afterPersist(ready, waiting);
      return;
    }
    this.#writing = this.#persist(ready)
      .then(() => this.#afterPersist(ready, waiting))
      .catch(onError);
  }

  async #persist(ready: Ready): Promise<void> {
    const { entries, snapshot } = ready;
    if (snapshot === undefined) return this.#write({ entries, mustSync: true });
    const { queue, install, recordOf } = this.#options;
    const record = recordOf(snapshot);
    await queue.replaceState(async () => {
      // Both speak of the log that goes (P4).
      delete this.#unsaved.configuration;
      delete this.#unsaved.compactedIndex;
      await this.#write({ snapshot: record, entries, mustSync: true });
      this.#persistedIndex = record.index;
      await install(record);
    });
  }

  #write(write: Pick<GroupWrite, 'entries' | 'snapshot' | 'mustSync'>): Promise<void> {
    const { groupId, logStore } = this.#options;
    const unsaved = this.#unsaved;
    this.#unsaved = {};
    this.#hardState = withCommit(
      unsaved.hardState ?? this.#hardState,
      (write.snapshot ?? unsaved.configuration)?.index ?? 0,
    );
    const isTold = unsaved.hardState !== undefined || unsaved.configuration !== undefined;
    const hardState = isTold ? { hardState: this.#hardState } : {};
    return logStore.write({ groupId, ...unsaved, ...hardState, ...write });
  }

  #afterPersist(ready: Ready, waiting: readonly Entry[]): void {
    this.#persisting = false;
    const last = ready.entries.at(-1);
    if (last !== undefined) this.#persistedIndex = last.index;
    if (this.#stopped) return;
    const { send, queue, isUrgent } = this.#options;
    send(ready.messagesAfterPersist);
    this.#node.persisted(ready);
    queue.push(waiting, isUrgent());
    this.scheduleIfReady();
  }

  #handleOutbox(outbox: Outbox): void {
    const { reads, send } = this.#options;
    for (const requestId of outbox.readsAborted) reads.aborted(requestId);
    for (const read of outbox.readStates) reads.confirmed(read.requestId, read.index);
    send(outbox.messages);
  }
}

/**
 * What was applied is committed, also where the commit index came back from a restart older than
 * what had been applied from it (S2).
 */
function withCommit(hardState: HardState, index: number): HardState {
  return { ...hardState, commit: Math.max(hardState.commit, index) };
}

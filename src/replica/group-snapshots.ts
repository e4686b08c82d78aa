/**
 * A group's snapshots on this node: made when a follower needs one, sent, kept while they are of
 * use, installed.
 */
import type { LogReader, Message, ProgressStatus, Snapshot } from '../raft/types.js';
import { defined } from '../shared/assert.js';
import type { Clock } from '../shared/environment.js';
import { FlotillaError, toFlotillaError } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import type { StateMachine } from '../shared/state-machine.js';
import type { SnapshotFile, SnapshotFiles } from '../storage/snapshot-files.js';
import { encodeMembers } from './member-codec.js';
import type { Members } from './members.js';
import type { SnapshotTransfer, TransferOutcome } from './snapshot-sender.js';
import type { TransferProgress } from './transfer-meter.js';

/** What a node needs to send, receive and keep snapshots. */
export interface SnapshotParts {
  readonly files: SnapshotFiles;
  readonly send: (nodeId: number, message: Message, file: SnapshotFile) => SnapshotTransfer;
  /** What is arriving for a group. */
  readonly receiving: (groupId: number) => TransferProgress | undefined;
}

export interface GroupSnapshotsOptions {
  readonly groupId: number;
  readonly replicaId: number;
  readonly parts: SnapshotParts;
  readonly members: Members;
  readonly stateMachine: Pick<StateMachine<unknown>, 'writeSnapshot' | 'installSnapshot'>;
  /** Runs a task when nothing is being applied. */
  readonly whenQuiet: (task: () => void) => void;
  readonly appliedIndex: () => number;
  /** The durable log. */
  readonly reader: Pick<LogReader, 'firstIndex' | 'term'>;
  /** A transfer to the replica has ended (P2). */
  readonly onSent: (replicaId: number, ok: boolean) => void;
  readonly clock: Clock;
  readonly logger: Logger;
  /** After making one has failed, the next try comes no sooner. */
  readonly retryPauseMs: number;
  /** A follower that was not heard of for so long needs no log kept for it. */
  readonly silenceMaxMs: number;
}

/** The log behind a snapshot is kept until its receiver goes on from there (S9, S-39). */
interface Use {
  readonly file: SnapshotFile;
  readonly transfer: SnapshotTransfer;
  lastActiveMs: number;
}

export class GroupSnapshots {
  readonly #options: GroupSnapshotsOptions;
  /** By receiver. */
  readonly #uses = new Map<number, Use>();
  #making: Promise<void> | undefined;
  #isMakingDue = false;
  #madeUntilMs = 0;
  #closed = false;

  constructor(options: GroupSnapshotsOptions) {
    this.#options = options;
  }

  /** Whether any replica is being brought up by a snapshot. */
  get isInUse(): boolean {
    return this.#uses.size > 0;
  }

  /** Entries behind these indexes must stay in the log. */
  get neededAfter(): readonly number[] {
    return [...this.#uses.values()].map(({ file }) => file.index);
  }

  /** The newest file that the log goes on from; 0 for none. */
  get newestIndex(): number {
    return this.#newestFile()?.index ?? 0;
  }

  /** By receiver. */
  get sending(): ReadonlyMap<number, TransferProgress> {
    return new Map([...this.#uses].map(([id, { transfer }]) => [id, transfer.progress]));
  }

  /**
   * A snapshot that the log goes on from, for a follower that the log does not reach; undefined
   * where one has to be made first, which is begun (P1).
   */
  current(): Snapshot | undefined {
    const { configuration } = this.#options.members;
    const file = this.#newestFile();
    // A configuration that came later is not the one of the file's index.
    if (file === undefined || file.index < configuration.index) {
      this.make();
      return undefined;
    }
    const { confState, members } = configuration;
    const meta = { index: file.index, term: file.term, confState };
    return { meta, data: encodeMembers(members) };
  }

  /** Makes a snapshot of what is applied, unless one is being made. Applying goes on. */
  make(): void {
    const { whenQuiet, clock } = this.#options;
    if (this.#isMakingDue || this.#closed || clock.monotonicMs() < this.#madeUntilMs) return;
    this.#isMakingDue = true;
    whenQuiet(() => {
      this.#making = this.#make().finally(() => {
        this.#isMakingDue = false;
        this.#making = undefined;
      });
    });
  }

  /** Sends what `current` named, to where the core wants it; `onSent` tells how it ended. */
  send(nodeId: number, message: Message): void {
    const { parts, onSent, clock } = this.#options;
    const meta = defined(message.snapshot, 'the snapshot of a MsgSnap').meta;
    const file = this.file(meta.index, meta.term);
    if (file === undefined) {
      onSent(message.to, false);
      return;
    }
    this.#uses.get(message.to)?.transfer.cancel();
    const transfer = parts.send(nodeId, message, file);
    const use = { file, transfer, lastActiveMs: clock.monotonicMs() };
    this.#uses.set(message.to, use);
    void transfer.outcome.then((outcome) => this.#sent(message.to, use, outcome));
  }

  /** A complete file of exactly this state. */
  file(index: number, term: number): SnapshotFile | undefined {
    const { parts, groupId } = this.#options;
    return parts.files.list(groupId).find((file) => file.index === index && file.term === term);
  }

  /**
   * Lets go of the log behind snapshots whose receivers have caught up, are gone, or were not heard
   * of for long. `progress` is empty where this replica does not lead.
   */
  review(progress: readonly ProgressStatus[]): void {
    if (this.#uses.size === 0) return;
    const { clock, silenceMaxMs, onSent } = this.#options;
    const nowMs = clock.monotonicMs();
    for (const [replicaId, use] of this.#uses) {
      const follower = progress.find(({ id }) => id === replicaId);
      if (follower?.recentActive) use.lastActiveMs = nowMs;
      const isSilent = nowMs - use.lastActiveMs > silenceMaxMs;
      if (follower !== undefined && follower.state !== 'StateReplicate' && !isSilent) continue;
      use.transfer.cancel();
      this.#uses.delete(replicaId);
      if (isSilent) onSent(replicaId, false);
    }
  }

  /** Replaces the state by a snapshot whose file is whole here. */
  async install(index: number, term: number): Promise<void> {
    const { stateMachine, groupId, logger } = this.#options;
    const file = this.file(index, term);
    if (file === undefined) {
      throw new FlotillaError('LOG_DAMAGED', `the file of snapshot ${index} is gone`);
    }
    const { appliedIndex } = await stateMachine.installSnapshot(file.path);
    if (appliedIndex !== index) {
      throw new FlotillaError('LOG_DAMAGED', `snapshot ${index} holds state ${appliedIndex}`);
    }
    logger.info({ groupId, index, sizeBytes: file.sizeBytes }, 'a snapshot is installed');
    await this.#removeOthers(file).catch((thrown: unknown) => {
      // The state is whole; what is left of older ones goes with the next snapshot.
      logger.warn({ groupId, error: toFlotillaError(thrown).message }, 'old snapshots stay');
    });
  }

  /** Removes files that nobody can go on from. */
  async discardOld(): Promise<void> {
    const newest = this.#newestFile();
    const { parts, groupId, appliedIndex, reader } = this.#options;
    for (const file of parts.files.list(groupId)) {
      const isOld = file.index < reader.firstIndex() - 1 || file.index < (newest?.index ?? 0);
      if (isOld && file.index <= appliedIndex() && !this.#isInUse(file)) {
        await parts.files.remove(file);
      }
    }
  }

  /** Ends all transfers, and waits for the file that is being made. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const { transfer } of this.#uses.values()) transfer.cancel();
    this.#uses.clear();
    await this.#making;
  }

  /** Of what this replica has applied, and its log continues. */
  #newestFile(): SnapshotFile | undefined {
    const { parts, groupId, appliedIndex, reader } = this.#options;
    const applied = appliedIndex();
    const oldest = reader.firstIndex() - 1;
    return parts.files
      .list(groupId)
      .find((file) => file.index <= applied && file.index >= oldest && file.index > 0);
  }

  async #make(): Promise<void> {
    const { parts, groupId, replicaId, stateMachine, logger, clock } = this.#options;
    const index = this.#options.appliedIndex();
    if (index === 0 || this.#closed) return;
    const meta = { index, term: this.#options.reader.term(index), replicaId };
    const file = parts.files.newFile(groupId, meta);
    try {
      const written = await stateMachine.writeSnapshot(file.path);
      if (written.appliedIndex !== index) {
        throw new FlotillaError('INTERNAL', `state ${written.appliedIndex} where ${index} was due`);
      }
      await file.publish(written);
      logger.info({ groupId, index, sizeBytes: written.sizeBytes }, 'a snapshot is made');
      await this.discardOld();
    } catch (thrown) {
      const { message: error } = toFlotillaError(thrown);
      logger.warn({ groupId, index, error }, 'a snapshot could not be made');
      this.#madeUntilMs = clock.monotonicMs() + this.#options.retryPauseMs;
      await file.discard().catch(() => undefined);
    }
  }

  #sent(replicaId: number, use: Use, outcome: TransferOutcome): void {
    const { parts, onSent, groupId, logger } = this.#options;
    // A newer transfer to the replica has taken over; its own end is what counts.
    if (this.#uses.get(replicaId) !== use) return;
    if (outcome !== 'done') this.#uses.delete(replicaId);
    if (outcome === 'damaged') {
      logger.error({ groupId, path: use.file.path }, 'a snapshot file is damaged: it is removed');
      parts.files.remove(use.file).catch(() => undefined);
    }
    onSent(replicaId, outcome === 'done');
  }

  async #removeOthers(kept: SnapshotFile): Promise<void> {
    const { parts, groupId } = this.#options;
    for (const file of parts.files.list(groupId)) {
      if (file !== kept && !this.#isInUse(file)) await parts.files.remove(file);
    }
  }

  #isInUse(file: SnapshotFile): boolean {
    return [...this.#uses.values()].some((use) => use.file.path === file.path);
  }
}

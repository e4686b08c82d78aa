import { decodeConfChange } from '../../../src/raft/conf-change-codec.js';
import { type Outbox, RawNode } from '../../../src/raft/raw-node.js';
import type {
  ConfState,
  Entry,
  Message,
  ReadState,
  Ready,
  Snapshot,
} from '../../../src/raft/types.js';
import { assert, defined } from '../../../src/shared/assert.js';
import { extendHash } from './history-hash.js';
import type { StoredConfiguration, StoreWrite } from './log-image.js';
import type { Machine } from './machine.js';
import { PendingReads, type ReadOutcome } from './pending-reads.js';
import { RegisterMachine } from './register-machine.js';
import type { ReplicaContext } from './replica-context.js';
import { SimStore } from './sim-store.js';
import { SnapshotSource } from './snapshot-source.js';
import type { StateImage } from './state-image.js';
import { type ProposalOutcome, Waiters } from './waiters.js';

export const ELECTION_TICKS = 10;
export const TICK_MS = 100;
export const ELECTION_TIMEOUT_MS = ELECTION_TICKS * TICK_MS;
/** How much longer a snapshot takes to be written than a batch of entries. */
const INSTALL_FACTOR = 10;
const SLOW_APPLY_MS = [100, 600] as const;

/** What there is only while the process runs. */
interface Process {
  readonly node: RawNode;
  readonly waiters: Waiters;
  readonly reads: PendingReads;
  readonly snapshots: SnapshotSource;
  outstanding: Ready | undefined;
  /** What rides on the next batch: nothing of it needs a sync of its own (S2). */
  unsaved: Pick<StoreWrite, 'hardState' | 'configuration' | 'compactedIndex'>;
  isTurnScheduled: boolean;
  persistedIndex: number;
  applyQueue: Entry[];
  isApplyScheduled: boolean;
  slowUntilMs: number;
  machine: RegisterMachine;
  appliedHash: number;
  configuration: StoredConfiguration;
  entriesSinceCheckpoint: number;
}

/**
 * One replica and its host, on one machine: the order of `ready`, writing, sending and applying is
 * the product's (`RaftGroup`), everything takes time, and a crash may come between any two steps.
 */
export class SimReplica {
  readonly id: number;
  readonly computer: Machine;
  readonly store: SimStore;
  readonly #context: ReplicaContext;
  #process: Process | undefined;
  #starts = 0;
  #isDestroyed = false;

  constructor(context: ReplicaContext, id: number, computer: Machine, genesis: ConfState) {
    this.#context = context;
    this.id = id;
    this.computer = computer;
    this.store = new SimStore(genesis, {
      machine: new RegisterMachine(context.swarm.workload.keys),
      configuration: { index: 0, confState: genesis },
      hash: 0,
    });
  }

  get isRunning(): boolean {
    return this.#process !== undefined;
  }

  /** Its data is gone for good, and its id with it (M8). */
  get isDestroyed(): boolean {
    return this.#isDestroyed;
  }

  /** How often it was started. */
  get starts(): number {
    return this.#starts;
  }

  get node(): RawNode | undefined {
    return this.#process?.node;
  }

  /** The state machine, while the process runs. */
  get registers(): RegisterMachine | undefined {
    return this.#process?.machine;
  }

  get configuration(): StoredConfiguration | undefined {
    return this.#process?.configuration;
  }

  get outstanding(): Ready | undefined {
    return this.#process?.outstanding;
  }

  /** How much waits here, for the bounds on memory. */
  get backlog(): { readonly waiters: number; readonly reads: number; readonly toApply: number } {
    const { waiters, reads, applyQueue } = this.#running();
    return { waiters: waiters.size, reads: reads.size, toApply: applyQueue.length };
  }

  start(): void {
    assert(this.#process === undefined && !this.#isDestroyed, `replica ${this.id} cannot start`);
    const image = this.#imageAtStart();
    const { swarm } = this.#context;
    const machine = image.machine.copy();
    this.store.saveState(image);
    const snapshots = new SnapshotSource(this.#context, this.computer, () => this.#image());
    this.store.snapshotMaker = () => this.#takeSnapshot(snapshots);
    this.#starts += 1;
    const node = new RawNode({
      id: this.id,
      storage: this.store,
      applied: machine.applied,
      electionTicks: ELECTION_TICKS,
      heartbeatTicks: swarm.heartbeatTicks,
      random: () => this.computer.random.next(),
      preVote: swarm.preVote,
      checkQuorum: swarm.checkQuorum,
      maxSizePerMessageBytes: swarm.maxSizePerMessageBytes,
      maxCommittedSizeBytes: swarm.maxCommittedSizeBytes,
      maxInflightMessages: swarm.maxInflightMessages,
      maxUncommittedBytes: swarm.maxUncommittedBytes,
      maxPendingReads: swarm.maxPendingReads,
      nowMs: () => this.computer.nowMs,
      leases: this.#context.leases,
      restarted: this.#starts > 1,
    });
    this.#process = {
      node,
      waiters: new Waiters(),
      reads: new PendingReads(),
      snapshots,
      outstanding: undefined,
      unsaved: {},
      isTurnScheduled: false,
      persistedIndex: this.store.lastIndex(),
      applyQueue: [],
      isApplyScheduled: false,
      slowUntilMs: 0,
      machine,
      appliedHash: image.hash,
      configuration: this.store.disk.configuration,
      entriesSinceCheckpoint: 0,
    };
    this.#redoConfigurations(this.#process);
    this.#context.observers.started(this);
    this.#tickAfter(this.computer.random.between(0, TICK_MS));
    this.#pump();
  }

  /** The process is gone. */
  crash(): void {
    this.#process = undefined;
    this.computer.forgetOverdue();
    this.store.crash(this.computer.random.chance(0.5));
  }

  /** Nothing of it will ever come back. */
  destroy(): void {
    this.crash();
    this.#isDestroyed = true;
  }

  /** A message from another replica. Lost where the process is down. */
  receive(message: Message): void {
    this.#inProcess(() => this.#do((process) => void process.node.step(message)));
  }

  /** Something that the host does with the core, now or when the process goes on. */
  act(action: (node: RawNode) => void): void {
    this.#inProcess(() => this.#do((process) => action(process.node)));
  }

  /** Nobody is told anything where the process is down, or dies before it is decided. */
  propose(data: Uint8Array, settle: (outcome: ProposalOutcome) => void): void {
    this.#inProcess(() =>
      this.#do(({ node, waiters }) => {
        const result = node.propose(data);
        if (result.kind === 'accepted') waiters.add(result.index, result.term, settle);
        else settle({ kind: 'refused', lead: result.kind === 'not-leader' ? result.lead : 0 });
      }),
    );
  }

  /** A linearizable read of a key: by the lease where there is one, else by a round (R1, R10). */
  read(key: number, byLease: boolean, settle: (outcome: ReadOutcome) => void): void {
    this.#inProcess(() =>
      this.#do((process) => {
        const { node, reads } = process;
        const index = byLease ? node.leaseIndex() : undefined;
        if (index !== undefined) {
          const { term } = node.basicStatus().hardState;
          reads.addConfirmed({ key, index, leaseTerm: term, settle });
          this.#serveReads(process);
          return;
        }
        const requestId = reads.add({ key, index: undefined, leaseTerm: undefined, settle });
        if (node.readIndex(requestId) === 'rejected') reads.abort(requestId);
      }),
    );
  }

  /** For this long its state machine takes one entry at a time, and its time for that. */
  slowDown(durationMs: number): void {
    const process = this.#process;
    if (process !== undefined) process.slowUntilMs = this.#context.world.nowMs + durationMs;
  }

  /** Drops the beginning of the log, as far as state on disk and snapshots on their way allow. */
  compact(trailingEntries: number): void {
    const process = this.#process;
    if (process === undefined || process.outstanding?.snapshot !== undefined) return;
    const { hardState } = this.store.disk;
    const floor = Math.min(this.store.stateImage.machine.applied, hardState.commit);
    const index = Math.min(floor - trailingEntries, process.snapshots.oldestInUse);
    if (index < this.store.firstIndex()) return;
    process.unsaved = { ...process.unsaved, compactedIndex: index };
    this.#context.seen.compactions += 1;
  }

  #running(): Process {
    return defined(this.#process, `the process of replica ${this.id}`);
  }

  /** The state machine's own, or the snapshot that the log was reset to before it was installed. */
  #imageAtStart(): StateImage {
    const { stateImage, disk } = this.store;
    if (stateImage.machine.applied >= disk.firstIndex - 1) return stateImage;
    return defined(disk.snapshot, `the snapshot that replica ${this.id} begins with`);
  }

  /** A configuration that was applied need not have been stored: the log still has it. */
  #redoConfigurations(process: Process): void {
    const { disk } = this.store;
    const from = Math.max(process.configuration.index + 1, disk.firstIndex);
    for (let index = from; index <= process.machine.applied; index += 1) {
      const entry = disk.entryAt(index);
      if (entry !== undefined && entry.type !== 'EntryNormal') {
        this.#applyConfiguration(process, entry);
      }
    }
  }

  /** Nothing happens here once the process is gone, or while it is paused. */
  #after(delayMs: number, work: () => void): void {
    const process = this.#process;
    this.#context.world.schedule(delayMs, () => {
      if (this.#process === process) this.#inProcess(work);
    });
  }

  #inProcess(work: () => void): void {
    const process = this.#process;
    if (process === undefined) return;
    this.computer.run(() => {
      if (this.#process === process) work();
    });
  }

  /** One step of the process: input, then whatever follows from it, then the checks. */
  #do(work: (process: Process) => void): void {
    const process = this.#running();
    work(process);
    this.#pump();
    this.#context.observers.afterStep(this, process.node.basicStatus());
  }

  #tickAfter(ownMs: number): void {
    this.#after(this.computer.worldMs(ownMs), () => {
      this.#tickAfter(TICK_MS);
      this.#do(({ node }) => node.tick());
    });
  }

  #pump(): void {
    const process = this.#running();
    if (process.isTurnScheduled) return;
    if (process.outstanding === undefined && !process.node.hasReady()) return;
    process.isTurnScheduled = true;
    this.#after(0, () => {
      process.isTurnScheduled = false;
      this.#turn(process);
      // While a batch is under way, only new input gives something to send.
      if (process.outstanding === undefined) this.#pump();
      this.#context.observers.afterStep(this, process.node.basicStatus());
    });
  }

  #turn(process: Process): void {
    const { node } = process;
    if (process.outstanding !== undefined) this.#handleOutbox(process, node.takeOutbox());
    else if (node.hasReady()) this.#take(process, node.ready());
  }

  #take(process: Process, ready: Ready): void {
    const hashes = this.#hashesOf(ready);
    this.#context.observers.ready(this, ready, hashes);
    process.outstanding = ready;
    this.#handleOutbox(process, ready);
    const { hardState } = ready;
    if (hardState !== undefined) process.unsaved = { ...process.unsaved, hardState };
    // Applied is only what is durable here as well (ADR 3).
    const firstNew = ready.entries[0]?.index ?? Number.MAX_SAFE_INTEGER;
    const durableIndex = Math.min(process.persistedIndex, firstNew - 1);
    const waiting = ready.committed.filter((entry) => entry.index > durableIndex);
    this.#queueApply(process, ready.committed.slice(0, ready.committed.length - waiting.length));
    if (!ready.mustSync && ready.snapshot === undefined) {
      this.#afterPersist(process, ready, waiting);
      return;
    }
    this.#persist(process, ready, hashes, () => this.#afterPersist(process, ready, waiting));
  }

  /** One batch, and what rides on it. The disk does one after the other. */
  #persist(
    process: Process,
    { entries, snapshot: received }: Ready,
    hashes: readonly number[],
    done: () => void,
  ): void {
    const image = received && this.#context.imageOf(received);
    // Configuration and cut speak of the log that the snapshot replaces (P4).
    const unsaved = image ? { hardState: process.unsaved.hardState } : process.unsaved;
    process.unsaved = {};
    const snapshot = image && { image, hash: image.hash };
    this.store.write({ ...unsaved, snapshot, entries, hashes }, () => this.#do(done));
    const { syncMaxMs } = this.#context.disk;
    const maxMs = image === undefined ? syncMaxMs : INSTALL_FACTOR * syncMaxMs;
    this.#after(this.computer.random.between(0, maxMs), () => this.store.finish());
  }

  #afterPersist(process: Process, ready: Ready, waiting: readonly Entry[]): void {
    const last = ready.entries.at(-1)?.index ?? ready.snapshot?.meta.index;
    if (last !== undefined) process.persistedIndex = last;
    if (ready.snapshot !== undefined) this.#install(process, ready.snapshot);
    process.outstanding = undefined;
    this.#send(process, ready.messagesAfterPersist);
    process.node.persisted(ready);
    this.#queueApply(process, waiting);
  }

  #handleOutbox(process: Process, outbox: Outbox): void {
    for (const requestId of outbox.readsAborted) process.reads.abort(requestId);
    for (const read of outbox.readStates) this.#confirmRead(process, read);
    this.#send(process, outbox.messages);
  }

  #send(process: Process, messages: readonly Message[]): void {
    for (const message of messages) {
      this.#context.observers.sending(this, message);
      if (message.type !== 'MsgSnap') this.#context.send(this, message);
      else process.snapshots.transfer(this, message);
    }
  }

  #hashesOf(ready: Ready): number[] {
    const first = ready.entries[0];
    if (first === undefined) return [];
    const snapshot = ready.snapshot && this.#context.imageOf(ready.snapshot);
    const before = first.index - 1;
    const isBehindSnapshot = snapshot?.machine.applied === before;
    let hash = isBehindSnapshot ? snapshot.hash : this.store.disk.hashAt(before);
    assert(hash !== undefined, `replica ${this.id} appends at ${first.index}, after a gap`);
    return ready.entries.map((entry) => {
      hash = extendHash(hash ?? 0, entry);
      return hash;
    });
  }

  /** The log was reset durably; now the state machine follows (S3). */
  #install(process: Process, snapshot: Snapshot): void {
    const image = this.#context.imageOf(snapshot);
    const { index } = snapshot.meta;
    this.#context.seen.installs += 1;
    this.store.saveState(image);
    process.machine = image.machine.copy();
    process.appliedHash = image.hash;
    process.configuration = image.configuration;
    process.applyQueue = [];
    // What was applied while the batch was under way speaks of the log that is gone.
    process.unsaved = { hardState: process.unsaved.hardState };
    process.waiters.passed(index);
    this.#context.observers.installed(this, index, image.hash);
    this.#serveReads(process);
  }

  #queueApply(process: Process, entries: readonly Entry[]): void {
    for (const entry of entries) process.applyQueue.push(entry);
    this.#scheduleApply(process);
  }

  #scheduleApply(process: Process): void {
    if (process.isApplyScheduled || process.applyQueue.length === 0) return;
    process.isApplyScheduled = true;
    const { random } = this.computer;
    const isSlow = this.#context.world.nowMs < process.slowUntilMs;
    const delayMs = isSlow
      ? random.between(...SLOW_APPLY_MS)
      : random.between(0, this.#context.disk.applyMaxMs);
    this.#after(delayMs, () => {
      process.isApplyScheduled = false;
      this.#do(() => this.#applySome(process, isSlow ? 1 : random.integer(1, 16)));
    });
  }

  #applySome(process: Process, count: number): void {
    const entries = process.applyQueue.splice(0, count);
    const last = entries.at(-1);
    if (last === undefined) return;
    for (const entry of entries) this.#apply(process, entry);
    process.node.applied(last.index);
    this.#serveReads(process);
    process.entriesSinceCheckpoint += entries.length;
    this.#checkpoint(process);
    this.#scheduleApply(process);
  }

  #apply(process: Process, entry: Entry): void {
    process.appliedHash = extendHash(process.appliedHash, entry);
    this.#context.observers.apply(this, entry, process.appliedHash);
    const result = process.machine.apply(entry);
    if (entry.type !== 'EntryNormal') this.#applyConfiguration(process, entry);
    process.waiters.applied(entry.index, entry.term, result);
  }

  /** What the stored configuration covers already must not be carried out a second time. */
  #applyConfiguration(process: Process, entry: Entry): void {
    if (entry.index <= process.configuration.index) return;
    const confState = process.node.applyConfChange(decodeConfChange(entry.data));
    process.configuration = { index: entry.index, confState };
    this.#context.observers.configured(this, entry.index, confState);
    process.unsaved = { ...process.unsaved, configuration: process.configuration };
  }

  /** The state machine's own disk follows now and then. */
  #checkpoint(process: Process): void {
    const { checkpointEntries } = this.#context.swarm.admin;
    if (process.entriesSinceCheckpoint < checkpointEntries) return;
    process.entriesSinceCheckpoint = 0;
    const image = this.#image();
    if (image !== undefined) this.store.saveState(image);
  }

  /** The state as it is; undefined while the configuration is ahead of what was applied again. */
  #image(): StateImage | undefined {
    const { machine, configuration, appliedHash } = this.#running();
    if (configuration.index > machine.applied) return undefined;
    return { machine: machine.copy(), configuration, hash: appliedHash };
  }

  #takeSnapshot(snapshots: SnapshotSource): Snapshot | undefined {
    const process = this.#process;
    if (process === undefined) return undefined;
    return snapshots.take(this.store.firstIndex(), (delayMs, work) => this.#after(delayMs, work));
  }

  #confirmRead(process: Process, { requestId, index }: ReadState): void {
    process.reads.confirm(requestId, index);
    this.#serveReads(process);
  }

  #serveReads(process: Process): void {
    for (const read of process.reads.takeServable(process.machine.applied)) {
      const { leaseTerm, settle, key } = read;
      if (leaseTerm !== undefined && !this.#leaseStillHolds(process, leaseTerm)) {
        settle({ kind: 'refused' });
        continue;
      }
      if (leaseTerm !== undefined) this.#context.observers.leaseRead(this, leaseTerm);
      const value = process.machine.read(key);
      settle({ kind: 'ok', value, appliedIndex: process.machine.applied });
    }
  }

  /** Checked after the read: the process may have been stopped since it began (R6). */
  #leaseStillHolds({ node }: Process, term: number): boolean {
    return node.leaseIndex() !== undefined && node.basicStatus().hardState.term === term;
  }
}

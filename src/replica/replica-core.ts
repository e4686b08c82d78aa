/** The core of a replica over its own log, from the index up to which its state was applied. */
import { RawNode } from '../raft/raw-node.js';
import type { LogReader, Snapshot } from '../raft/types.js';
import { assert } from '../shared/assert.js';
import type { Environment } from '../shared/environment.js';
import { FlotillaError } from '../shared/errors.js';
import { LIMITS } from '../shared/limits.js';
import type { Logger } from '../shared/logger.js';
import type { StateMachine } from '../shared/state-machine.js';
import type { GroupGenesis, LogStore } from '../storage/log-store.js';
import type { SnapshotFile, SnapshotFiles } from '../storage/snapshot-files.js';
import type { Timing } from './timing.js';

export interface ReplicaParts {
  readonly genesis: GroupGenesis;
  readonly logStore: LogStore;
  readonly environment: Environment;
  readonly timing: Timing;
  readonly logger: Logger;
  readonly leases?: boolean;
  /**
   * Whether this process had a replica of the group open before. What that promised is not known
   * any more, as after a restart (R7). @default false
   */
  readonly isReopened?: boolean;
}

/**
 * Opens the state machine. One that is behind the beginning of the log, since a crash came between
 * the two steps of an install or since it keeps nothing itself, is rolled forward by the snapshot
 * that is there (S-41). Rejects with LOG_DAMAGED where there is none.
 */
export async function openStateMachine(
  { genesis: { groupId }, logStore }: Pick<ReplicaParts, 'genesis' | 'logStore'>,
  stateMachine: StateMachine<unknown>,
  files: SnapshotFiles | undefined,
): Promise<number> {
  const reader = logStore.reader(groupId);
  let { appliedIndex } = await stateMachine.open();
  const before = reader.firstIndex() - 1;
  if (appliedIndex < before) {
    const [file] = snapshotsBelow(reader, files?.list(groupId) ?? []);
    if (file === undefined) {
      throw new FlotillaError(
        'LOG_DAMAGED',
        `the state of group ${groupId} ends at ${appliedIndex}, its log begins after ${before}, ` +
          `and no snapshot is there to close the gap`,
      );
    }
    appliedIndex = (await stateMachine.installSnapshot(file.path)).appliedIndex;
  }
  assert(
    appliedIndex <= reader.lastIndex(),
    () => `group ${groupId} applied ${appliedIndex} of ${reader.lastIndex()} entries`,
  );
  return appliedIndex;
}

/**
 * The snapshots that a log continues, in the order given. What was received and not yet taken up
 * may be of another term than the entry here: then it is of another history (L5).
 */
export function snapshotsBelow(
  reader: LogReader,
  files: readonly SnapshotFile[],
): readonly SnapshotFile[] {
  const before = reader.firstIndex() - 1;
  return files.filter(
    ({ index, term }) =>
      index >= before && index <= reader.lastIndex() && reader.term(index) === term,
  );
}

export interface CoreView {
  readonly appliedIndex: () => number;
  /** The newest snapshot, or undefined while there is none to send (P1). */
  readonly snapshot: () => Snapshot | undefined;
}

export function makeCore(parts: ReplicaParts, view: CoreView): RawNode {
  const { genesis, logStore, environment, timing, logger, leases, isReopened } = parts;
  const { groupId, replicaId } = genesis;
  const { clock, random } = environment;
  const { leaseMs: durationMs, promiseMs, driftFraction } = timing;
  return new RawNode({
    id: replicaId,
    storage: coreReader(logStore.reader(groupId), view),
    applied: view.appliedIndex(),
    electionTicks: timing.electionTicks,
    heartbeatTicks: timing.heartbeatTicks,
    random: () => random.next(),
    maxUncommittedBytes: LIMITS.uncommittedBytesMax.value,
    maxPendingReads: LIMITS.pendingReadsMax.value,
    nowMs: () => clock.monotonicMs(),
    restarted: isReopened === true || logStore.identity.incarnation > 1,
    ...(leases && { leases: { durationMs, promiseMs, driftFraction } }),
    trace: (line) => logger.debug({ groupId }, line),
  });
}

/** The durable log as the core is to see it. */
function coreReader(reader: LogReader, view: CoreView): LogReader {
  return {
    // A commit index is written without an fsync (S2) and may come back older than what was applied
    // from it. Applied entries are committed, so the higher of the two is the truth.
    initialState: () => {
      const { hardState, confState } = reader.initialState();
      const commit = Math.max(hardState.commit, view.appliedIndex());
      return { hardState: { ...hardState, commit }, confState };
    },
    entries: (low, high, maxSizeBytes) => reader.entries(low, high, maxSizeBytes),
    term: (index) => reader.term(index),
    firstIndex: () => reader.firstIndex(),
    lastIndex: () => reader.lastIndex(),
    snapshot: () => view.snapshot(),
  };
}

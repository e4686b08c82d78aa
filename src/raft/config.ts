import {
  type LeaseConfig,
  LOCAL_APPEND_THREAD,
  type LogReader,
  type RaftConfig,
  type ReplicaId,
} from './types.js';

const KIB = 1024;
const MIB = 1024 * KIB;

/** A `RaftConfig` that was checked, with its defaults filled in. */
export interface CheckedConfig {
  readonly id: ReplicaId;
  readonly storage: LogReader;
  /** Undefined: the state machine stands where the log begins. */
  readonly applied: number | undefined;
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  readonly random: () => number;
  readonly preVote: boolean;
  readonly checkQuorum: boolean;
  readonly maxSizePerMessageBytes: number;
  readonly maxCommittedSizeBytes: number;
  readonly maxInflightMessages: number;
  readonly maxInflightBytes: number;
  readonly maxUncommittedBytes: number;
  readonly maxPendingReads: number;
  readonly asyncStorageWrites: boolean;
  readonly stepDownOnRemoval: boolean;
  readonly nowMs: () => number;
  readonly leases: LeaseConfig | undefined;
  readonly restarted: boolean;
  readonly confChangeValidation: 'refuse' | 'empty-entry' | 'none';
  readonly forwardProposals: boolean;
  readonly trace: ((line: string) => void) | undefined;
}

/** Throws a `RangeError` that names the field and the bound that it breaks. */
export function checkConfig(config: RaftConfig): CheckedConfig {
  const maxSizePerMessageBytes = config.maxSizePerMessageBytes ?? 512 * KIB;
  const checked: CheckedConfig = {
    id: config.id,
    storage: config.storage,
    applied: config.applied,
    electionTicks: config.electionTicks,
    heartbeatTicks: config.heartbeatTicks,
    random: config.random,
    preVote: config.preVote ?? true,
    checkQuorum: config.checkQuorum ?? true,
    maxSizePerMessageBytes,
    maxCommittedSizeBytes: config.maxCommittedSizeBytes ?? maxSizePerMessageBytes,
    maxInflightMessages: config.maxInflightMessages ?? 64,
    maxInflightBytes: config.maxInflightBytes ?? Math.max(8 * MIB, maxSizePerMessageBytes),
    maxUncommittedBytes: config.maxUncommittedBytes ?? 64 * MIB,
    maxPendingReads: config.maxPendingReads ?? 16_384,
    asyncStorageWrites: config.asyncStorageWrites ?? false,
    stepDownOnRemoval: config.stepDownOnRemoval ?? true,
    nowMs: config.nowMs ?? (() => 0),
    leases: config.leases,
    restarted: config.restarted ?? false,
    confChangeValidation: config.confChangeValidation ?? 'refuse',
    forwardProposals: config.forwardProposals ?? false,
    trace: config.trace,
  };
  requireInteger('id', checked.id, 1);
  requireThat(checked.id < LOCAL_APPEND_THREAD, `id ${checked.id} is reserved`);
  requireInteger('heartbeatTicks', checked.heartbeatTicks, 1);
  requireInteger('electionTicks', checked.electionTicks, checked.heartbeatTicks + 1);
  if (checked.applied !== undefined) requireInteger('applied', checked.applied, 0);
  requireInteger('maxInflightMessages', checked.maxInflightMessages, 1);
  requireInteger('maxPendingReads', checked.maxPendingReads, 1);
  requireInteger('maxSizePerMessageBytes', checked.maxSizePerMessageBytes, 0);
  requireInteger('maxCommittedSizeBytes', checked.maxCommittedSizeBytes, 1);
  requireInteger('maxUncommittedBytes', checked.maxUncommittedBytes, 1);
  requireInteger('maxInflightBytes', checked.maxInflightBytes, checked.maxSizePerMessageBytes);
  if (checked.leases !== undefined) {
    requireThat(config.nowMs !== undefined, 'leases need nowMs');
    checkLeases(checked.leases);
  }
  return checked;
}

/** A lease counts from before the promise, and has to end before it on the worst of clocks (R6). */
function checkLeases({ durationMs, promiseMs, driftFraction }: LeaseConfig): void {
  requireInteger('leases.durationMs', durationMs, 1);
  requireInteger('leases.promiseMs', promiseMs, 1);
  requireThat(
    driftFraction >= 0 && driftFraction < 1,
    `leases.driftFraction must be at least 0 and less than 1, not ${driftFraction}`,
  );
  requireThat(
    durationMs * (1 + driftFraction) <= promiseMs * (1 - driftFraction),
    `leases.durationMs ${durationMs} does not end before promiseMs ${promiseMs} on clocks that ` +
      `drift by ${driftFraction}`,
  );
}

function requireInteger(field: string, value: number, min: number): void {
  requireThat(
    Number.isSafeInteger(value) && value >= min,
    `${field} must be an integer of at least ${min}, not ${value}`,
  );
}

function requireThat(condition: boolean, message: string): void {
  if (!condition) throw new RangeError(`raft configuration: ${message}`);
}

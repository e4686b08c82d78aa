/** All times of consensus, derived from one number: the minimum election timeout T. */
import { FlotillaError } from '../shared/errors.js';

export interface Timing {
  readonly electionTimeoutMs: number;
  /** One logical tick: T / 10. */
  readonly tickMs: number;
  /** Elections start after [electionTicks, 2 x electionTicks) without a leader. */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  /** How long a leader may serve reads after a quorum's clocks last saw it: 0.75 T (R6). */
  readonly leaseMs: number;
  /** How long a voter that has answered a heartbeat helps nobody else to commit: T (R7). */
  readonly promiseMs: number;
  /** By how much the rates of two clocks may differ from true time (R9). */
  readonly driftFraction: number;
  /** A transfer of leadership that takes longer is given up: T (T1). */
  readonly transferTimeoutMs: number;
}

export const DEFAULT_ELECTION_TIMEOUT_MS = 1_000;
export const LAN_ELECTION_TIMEOUT_MS = 300;

const ELECTION_TICKS = 10;
const HEARTBEAT_TICKS = 2;
const LEASE_FRACTION = 0.75;
export const DRIFT_FRACTION = 0.05;
const ELECTION_TIMEOUT_MIN_MS = 100;
const ELECTION_TIMEOUT_MAX_MS = 60_000;

/** Throws INVALID_REQUEST where `electionTimeoutMs` is out of range. */
export function deriveTiming(electionTimeoutMs: number): Timing {
  const inRange =
    electionTimeoutMs >= ELECTION_TIMEOUT_MIN_MS && electionTimeoutMs <= ELECTION_TIMEOUT_MAX_MS;
  if (!Number.isInteger(electionTimeoutMs) || !inRange) {
    throw new FlotillaError(
      'INVALID_REQUEST',
      `The election timeout must be a whole number of milliseconds from ` +
        `${ELECTION_TIMEOUT_MIN_MS} to ${ELECTION_TIMEOUT_MAX_MS}, not ${electionTimeoutMs}`,
      { field: 'cluster.electionTimeoutMs' },
    );
  }
  const timing = {
    electionTimeoutMs,
    tickMs: electionTimeoutMs / ELECTION_TICKS,
    electionTicks: ELECTION_TICKS,
    heartbeatTicks: HEARTBEAT_TICKS,
    leaseMs: Math.floor(LEASE_FRACTION * electionTimeoutMs),
    promiseMs: electionTimeoutMs,
    driftFraction: DRIFT_FRACTION,
    transferTimeoutMs: electionTimeoutMs,
  };
  checkTiming(timing);
  return timing;
}

/**
 * Throws INVALID_REQUEST, naming the inequality, where times do not fit together: then leases could
 * be broken, or leaders could not hold on to their office.
 */
export function checkTiming(timing: Timing): void {
  const { electionTimeoutMs, tickMs, leaseMs, promiseMs, driftFraction } = timing;
  const heartbeatMs = timing.heartbeatTicks * tickMs;
  const demands: readonly (readonly [holds: boolean, what: string])[] = [
    [driftFraction >= 0 && driftFraction < 1, '0 <= clock drift < 1'],
    // The leader's clock may run slow while the voter's runs fast.
    [
      leaseMs * (1 + driftFraction) < promiseMs * (1 - driftFraction),
      'lease x (1 + drift) < promise x (1 - drift)',
    ],
    [promiseMs <= electionTimeoutMs, 'promise <= election timeout'],
    [2 * heartbeatMs < leaseMs, '2 x heartbeat < lease'],
    [timing.electionTicks * tickMs <= electionTimeoutMs, 'election ticks <= election timeout'],
    [timing.transferTimeoutMs <= electionTimeoutMs, 'transfer timeout <= election timeout'],
  ];
  const broken = demands.find(([holds]) => !holds);
  if (broken === undefined) return;
  throw new FlotillaError('INVALID_REQUEST', `The timing breaks an inequality: ${broken[1]}`, {
    field: 'cluster.electionTimeoutMs',
  });
}

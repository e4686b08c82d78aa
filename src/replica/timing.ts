/** All times of consensus, derived from one number: the minimum election timeout T. */
import { FlotillaError } from '../shared/errors.js';

export interface Timing {
  readonly electionTimeoutMs: number;
  /** One logical tick: T / 10. */
  readonly tickMs: number;
  /** Elections start after [electionTicks, 2 x electionTicks) without a leader. */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
}

export const DEFAULT_ELECTION_TIMEOUT_MS = 1_000;
export const LAN_ELECTION_TIMEOUT_MS = 300;

const ELECTION_TICKS = 10;
const HEARTBEAT_TICKS = 2;
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
  return {
    electionTimeoutMs,
    tickMs: electionTimeoutMs / ELECTION_TICKS,
    electionTicks: ELECTION_TICKS,
    heartbeatTicks: HEARTBEAT_TICKS,
  };
}

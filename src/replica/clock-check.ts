/**
 * Versions of records come from the leader's wall clock. A node whose clock is far ahead of most
 * others does not seek to lead, so that it does not drag all versions ahead with it (decisions.md).
 */
import type { PeerStatus } from '../transport/transport.js';

const AHEAD_MAX_MS = 10_000;
/** Election timeouts without a leader after which a clock that is ahead is the lesser evil. */
const LEADERLESS_MAX_TIMEOUTS = 5;

/**
 * How long a group has had no leader, in ticks. A replica on a node whose clock is ahead waits for
 * another to lead, but not for ever: the others may lack an entry that is committed, or be down.
 * Versions stay safe with it, since each leader goes on above the highest that it knows.
 */
export class LeaderlessTime {
  readonly #ticksMax: number;
  #ticks = 0;

  constructor(electionTicks: number) {
    this.#ticksMax = LEADERLESS_MAX_TIMEOUTS * electionTicks;
  }

  /** Whether the group has waited long enough for somebody whose clock is right. */
  get isOver(): boolean {
    return this.#ticks >= this.#ticksMax;
  }

  tick(hasLeader: boolean): void {
    this.#ticks = hasLeader ? 0 : this.#ticks + 1;
  }
}

/**
 * Whether this node's wall clock is more than ten seconds ahead of most nodes, as far as their
 * greetings told. Itself counts as one of them; who has not greeted counts as right.
 */
export function isClockAhead(peers: readonly PeerStatus[]): boolean {
  const nodes = peers.length + 1;
  const behind = peers.filter(({ clockAheadMs = 0 }) => clockAheadMs < -AHEAD_MAX_MS).length;
  return behind > nodes / 2;
}

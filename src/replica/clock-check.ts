/**
 * Versions of records come from the leader's wall clock. A node whose clock is far ahead of most
 * others does not seek to lead, so that it does not drag all versions ahead with it (decisions.md).
 */
import type { PeerStatus } from '../transport/transport.js';

const AHEAD_MAX_MS = 10_000;

/**
 * Whether this node's wall clock is more than ten seconds ahead of most nodes, as far as their
 * greetings told. Itself counts as one of them; who has not greeted counts as right.
 */
export function isClockAhead(peers: readonly PeerStatus[]): boolean {
  const nodes = peers.length + 1;
  const behind = peers.filter(({ clockAheadMs = 0 }) => clockAheadMs < -AHEAD_MAX_MS).length;
  return behind > nodes / 2;
}

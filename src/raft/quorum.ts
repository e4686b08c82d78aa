/**
 * Majorities: what is committed and who won, for plain and for joint configurations (M1).
 *
 * Everything here is a pure function of its arguments. Costs are O(n log n) at most in the number
 * of voters; configurations of up to seven voters are decided without allocating.
 */

/** The voters of one configuration, ascending and without repetition. Empty: no constraint. */
export type Majority = readonly number[];

/** Two configurations that must both agree. A plain configuration has an empty `outgoing`. */
export interface JointConfig {
  readonly incoming: Majority;
  readonly outgoing: Majority;
}

/** `pending`: votes that are still missing decide. */
export type VoteResult = 'pending' | 'lost' | 'won';

const SCRATCH_LENGTH = 7;
const scratch = new Float64Array(SCRATCH_LENGTH);

/** How many of `voterCount` voters are a majority: more than half. */
function majoritySize(voterCount: number): number {
  return Math.floor(voterCount / 2) + 1;
}

/**
 * The largest index that a majority has acknowledged.
 *
 * `acked(id)` is the highest index that the voter holds durably, `undefined` when nothing is known
 * of it, which counts as 0. The empty majority commits everything: `Number.MAX_SAFE_INTEGER`.
 */
export function committedIndex(
  majority: Majority,
  acked: (id: number) => number | undefined,
): number {
  const count = majority.length;
  if (count === 0) {
    return Number.MAX_SAFE_INTEGER;
  }
  const ascending = count <= SCRATCH_LENGTH ? scratch : new Float64Array(count);
  for (let filled = 0; filled < count; filled++) {
    const index = acked(majority[filled] ?? 0) ?? 0;
    let place = filled;
    while (place > 0 && (ascending[place - 1] ?? 0) > index) {
      ascending[place] = ascending[place - 1] ?? 0;
      place--;
    }
    ascending[place] = index;
  }
  return ascending[count - majoritySize(count)] ?? 0;
}

/**
 * The outcome of an election in one configuration. Votes of replicas outside it are ignored. The
 * empty majority is `won`, so that it never decides within a joint configuration.
 */
export function voteResult(majority: Majority, votes: ReadonlyMap<number, boolean>): VoteResult {
  const count = majority.length;
  if (count === 0) {
    return 'won';
  }
  let granted = 0;
  let missing = 0;
  for (let at = 0; at < count; at++) {
    const vote = votes.get(majority[at] ?? 0);
    if (vote === undefined) {
      missing++;
    } else if (vote) {
      granted++;
    }
  }
  const needed = majoritySize(count);
  if (granted >= needed) {
    return 'won';
  }
  return granted + missing >= needed ? 'pending' : 'lost';
}

/** The largest index that is committed in both halves. */
export function jointCommittedIndex(
  joint: JointConfig,
  acked: (id: number) => number | undefined,
): number {
  return Math.min(committedIndex(joint.incoming, acked), committedIndex(joint.outgoing, acked));
}

/** Won when both halves are won, lost as soon as one of them is. */
export function jointVoteResult(
  joint: JointConfig,
  votes: ReadonlyMap<number, boolean>,
): VoteResult {
  const incoming = voteResult(joint.incoming, votes);
  const outgoing = voteResult(joint.outgoing, votes);
  if (incoming === outgoing) {
    return incoming;
  }
  return incoming === 'lost' || outgoing === 'lost' ? 'lost' : 'pending';
}

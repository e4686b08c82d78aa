import type { ConfState } from '../../../../src/raft/types.js';

/** Whether more than half of the voters, in both halves of a joint configuration, are `true`. */
export function isQuorum(confState: ConfState, holds: (id: number) => boolean): boolean {
  return (
    isMajority(confState.voters, holds) &&
    (confState.votersOutgoing.length === 0 || isMajority(confState.votersOutgoing, holds))
  );
}

function isMajority(ids: readonly number[], holds: (id: number) => boolean): boolean {
  let count = 0;
  for (const id of ids) if (holds(id)) count += 1;
  return 2 * count > ids.length;
}

/** Everyone whom the configuration names. */
export function membersOf(confState: ConfState): ReadonlySet<number> {
  const { voters, votersOutgoing, learners, learnersNext } = confState;
  return new Set([...voters, ...votersOutgoing, ...learners, ...learnersNext]);
}

/** A group's log without its entries, as an immutable value, and the one transition it has. */
import { assert } from '../shared/assert.js';
import type { GroupWrite } from './log-store.js';
import { type GroupMeta, NEW_GROUP_META } from './meta-record.js';
import { TermRuns } from './term-runs.js';

export interface LogState {
  readonly meta: GroupMeta;
  readonly terms: TermRuns;
}

export const NEW_LOG_STATE: LogState = { meta: NEW_GROUP_META, terms: TermRuns.after(0, 0) };

/**
 * The state after `write`. Throws an `InvariantError`, with nothing changed, when the write breaks
 * what every Raft log keeps: entries follow the log without a gap and never replace a committed
 * one (L1), terms neither decrease nor run ahead of the hard state (S1), term and commit never go
 * back, a vote is cast once per term (E3), and the commit index points at an entry (S1).
 */
export function advance(state: LogState, write: GroupWrite): LogState {
  const { meta } = state;
  const { entries } = write;
  const first = entries[0];
  const last = entries[entries.length - 1];
  if (first) assertFollows(meta, first.index, entries);
  const terms = state.terms.replaceFrom(entries);
  const { term, vote, commit } = write.hardState ?? meta;
  const next: GroupMeta = {
    ...meta,
    term,
    vote,
    commit,
    lastIndex: last ? last.index : meta.lastIndex,
    lastTerm: last ? last.term : meta.lastTerm,
  };
  assertHardState(meta, next);
  return { meta: next, terms };
}

/** Terms, indexes and replica ids: what a record can hold. */
function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function assertFollows(meta: GroupMeta, from: number, entries: GroupWrite['entries']): void {
  assert(
    from > meta.commit && from <= meta.lastIndex + 1,
    () => `entries from ${from}: commit is ${meta.commit}, the last index ${meta.lastIndex}`,
  );
  let expected = from;
  for (const entry of entries) {
    assert(entry.index === expected, () => `entry ${entry.index} where ${expected} is due`);
    assert(isCount(expected) && isCount(entry.term), () => `entry ${expected}, ${entry.term}`);
    expected += 1;
  }
}

function assertHardState(before: GroupMeta, after: GroupMeta): void {
  assert(
    isCount(after.term) && isCount(after.vote) && isCount(after.commit),
    () => `hard state ${after.term}, ${after.vote}, ${after.commit}`,
  );
  assert(after.term >= before.term, () => `term goes back from ${before.term} to ${after.term}`);
  assert(
    after.term > before.term || before.vote === 0 || after.vote === before.vote,
    () => `vote in term ${after.term} changes from ${before.vote} to ${after.vote}`,
  );
  assert(
    after.commit >= before.commit && after.commit <= after.lastIndex,
    () => `commit goes from ${before.commit} to ${after.commit}, the last is ${after.lastIndex}`,
  );
  assert(
    after.lastTerm <= after.term,
    () => `an entry has term ${after.lastTerm}, the hard state ${after.term}`,
  );
}
